"""Standard output that is closed, or that its reader has closed, in every command."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from llenergymeasure.cli.app import _COMMANDS, run
from llenergymeasure.cli.terminal.stream import ERR, OUT
from support.optional import needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    RunOn = Callable[[Any, tuple[str, ...]], tuple[int, str]]

CLOSED = "llem: cannot write to standard output: Bad file descriptor\n"
PRINTS = [
    ("--version",),
    ("save", "results/a/result.json", "-o", "out", "--quiet", "--print-paths"),
    ("ls", "results"),
    ("show", "results/a"),
    ("compare", "results/a", "results/b"),
    ("summary", "results"),
    ("export", "results", "-o", "x.csv", "--json"),
    pytest.param(("plot", "results", "-o", "x.svg", "--json"), marks=needs("matplotlib")),
    ("verify", "results"),
    ("clean", "results"),
    ("schema",),
    ("demo", "new"),
]
HELPS = [(), ("--help",), *((command, "--help") for command in _COMMANDS)]


@pytest.fixture
def run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, three: None) -> RunOn:  # noqa: ARG001
    """Run the program in this process on a standard output; return its status and standard error."""
    monkeypatch.chdir(tmp_path)

    def run_on(stdout: Any, args: tuple[str, ...]) -> tuple[int, str]:
        monkeypatch.setattr(OUT, "_gone", False)
        monkeypatch.setattr(OUT, "error", None)
        monkeypatch.setattr(ERR, "program", "llem")
        stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with mock.patch.multiple(sys, argv=["llem", *args], stdout=stdout, stderr=stderr):
            status = run()
            stderr.seek(0)
            said = stderr.read()
            if stdout is None:
                sys.stdout.close()
        return status, said

    return run_on


@pytest.mark.parametrize("args", [*PRINTS, *HELPS])
def test_llem_with_closed_output_reports_it(run_on: RunOn, args: tuple[str, ...]) -> None:
    status, said = run_on(None, args)
    assert (status, said.splitlines(keepends=True)[-1:]) == (1, [CLOSED])
    assert "Traceback" not in said


@pytest.mark.parametrize("args", [*PRINTS, *HELPS])
def test_llem_whose_reader_left_ends_quietly(run_on: RunOn, args: tuple[str, ...]) -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    with open(sender, "w", encoding="utf-8") as stream:  # noqa: PTH123
        status, said = run_on(stream, args)
    assert status == 0
    assert "rror" not in said
    assert "write" not in said


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("args", ["ls results", "--help", "ls --help"])
def test_llem_in_a_shell_reports_closed_output_only(tmp_path: Path, args: str) -> None:
    program = f"'{sys.executable}' -m llenergymeasure"

    def run_in_shell(script: str) -> tuple[str, str]:
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    assert run_in_shell(f"{program} {args} >&- || echo $? >&2") == ("", f"{CLOSED}1\n")
    assert run_in_shell(f"{{ {program} {args}; echo $? >&2; }} | :") == ("", "0\n")


def test_llem_that_prints_nothing_needs_no_output(run_on: RunOn) -> None:
    assert run_on(None, ("save", "results/a/result.json", "-o", "out", "--quiet")) == (0, "")
