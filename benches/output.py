"""The frame that all benches share: a scratch directory, the machine's description, and JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

import machine

__all__ = ["add_options", "console_for", "end_on_sigterm", "print_machine", "scratch", "write_json"]


def add_options(parser: argparse.ArgumentParser, *, rounds: int) -> None:
    """Add the options that all benches have."""
    parser.add_argument("--json", nargs="?", const="-", help="write everything as JSON, to a file or stdout")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds (default: {rounds})")


def end_on_sigterm() -> None:
    """Exit on SIGTERM with all cleanup: a plain kill would leave directories and disks behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def console_for(options: argparse.Namespace, width: int = 140) -> Console:
    """Return the console for tables, which leaves stdout to JSON if that goes there."""
    return Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else width)


@contextlib.contextmanager
def scratch(directory: Path, prefix: str = ".llem-bench-") -> Iterator[Path]:
    """Make a temporary directory that git ignores, and remove it."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=directory) as temp:
        root = Path(temp).resolve()
        (root / ".gitignore").write_text("*\n", encoding="utf-8")
        yield root


def print_machine(console: Console, about: dict[str, str]) -> list[str]:
    """Print the description of the machine with its warnings, and return the warnings."""
    for name, value in about.items():
        console.print(f"[bold]{name:>16}[/]  {value}", highlight=False)
    warnings = machine.warnings_of(about)
    for warning in warnings:
        console.print(f"[bold red]{warning}[/]")
    return warnings


def write_json(report: object, target: str | None) -> None:
    """Write a report to a file, to stdout for `-`, or nowhere for None."""
    text = json.dumps(report, indent=2)
    if target == "-":
        print(text)
    elif target is not None:
        Path(target).write_text(text + "\n", encoding="utf-8")
