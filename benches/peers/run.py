"""Measures the package beside other ways to keep a result, in one run, as ratios.

    PYTHONPATH=benches python -m peers.run --published .venv-peers-0.7.0/bin/python

The contenders take turns on one file system, each in a process of its own; a figure is the median over the
rounds of the ratio within a round. A missed target is said, and fails nothing; so is a contender that cannot
be measured.

Nothing is deleted before the end. ext4 without a journal does not use an inode again within minutes of its
deletion: it searches past all of them, at every file that it makes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markup import escape

import machine
from llenergymeasure import ExperimentResult
from measure import Contender as Turn
from measure import Times, interleave, named
from peers.contenders import CONTENDERS, Contender
from peers.process import Absent, Worker, start
from peers.report import Line, show
from sample import make_result

FEWEST = 5
"""Results a round, of whoever takes longest."""


def main() -> None:
    """Measure everyone, and show it."""
    options = _parse()
    # A plain kill would leave the directory behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    console = Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else 150)
    # The workers are ended before the directory that they work in is removed.
    with (
        tempfile.TemporaryDirectory(prefix=".llem-bench-", dir=options.dir) as temp,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(temp).resolve()
        (directory / ".gitignore").write_text("*\n", encoding="utf-8")  # a commit may come in between
        record = directory / "record.json"
        record.write_bytes(ExperimentResult.__pydantic_serializer__.to_json(make_result(), indent=2))
        about = {"record": f"{record.stat().st_size} bytes", **machine.describe(directory)}
        for name, value in about.items():
            console.print(f"[bold]{name:>16}[/]  {value}", highlight=False)
        warnings = machine.warnings_of(about)
        for warning in warnings:
            console.print(f"[bold red]{warning}[/]")
        pythons = {"peers": Path(sys.executable), "published": options.published.absolute()}
        absent: dict[str, str] = {}
        workers: dict[Contender, Worker] = {}
        for n, contender in enumerate(CONTENDERS):
            python = pythons[contender.environment]
            try:
                workers[contender] = stack.enter_context(start(contender, python, directory / str(n), record))
            except Absent as reason:
                absent[contender.name] = str(reason)
        times = measure(workers, options.results, options.rounds, absent)
    ours = {c.name: times[c.name] for c in workers if c.ours and c.name in times}
    lines = [
        Line(c, worker.version, count_of(c, options.results), times[c.name], ours, bool(warnings))
        for c, worker in workers.items()
        if c.name in times
    ]
    console.print(show(lines))
    for line in lines:
        console.print(f"[dim]{line.contender.name}: {escape(line.contender.setting)}[/]", highlight=False)
    for name, why in absent.items():
        console.print(f"[yellow]absent: {name}[/]: {escape(why)}", highlight=False)
    if options.json:
        report = {
            "machine": about,
            "warnings": warnings,
            "rounds": options.rounds,
            "contenders": [line.as_json() for line in lines],
            "absent": absent,
        }
        text = json.dumps(report, indent=2)
        if options.json == "-":
            print(text)
        else:
            Path(options.json).write_text(text + "\n", encoding="utf-8")


def measure(workers: dict[Contender, Worker], results: int, rounds: int, absent: dict[str, str]) -> Times:
    """Measure each once a round; who fails is put among the absent, and measured no more."""

    def turn(contender: Contender, worker: Worker, count: int) -> Turn:
        def once() -> float:
            if contender.name in absent:
                return math.nan
            os.sync()  # what others left unflushed is not this one's to write
            try:
                return worker.measure(count)
            except Absent as reason:
                absent[contender.name] = str(reason)
                return math.nan

        return named(contender.name, once)

    # Imports, caches and the first of everything; who has never saved is found out here.
    interleave([turn(c, worker, FEWEST) for c, worker in workers.items()], 1)
    times = interleave([turn(c, worker, count_of(c, results)) for c, worker in workers.items()], rounds)
    return {name: us for name, us in times.items() if name not in absent}


def count_of(contender: Contender, results: int) -> int:
    """Say how many results a contender saves a round."""
    return max(FEWEST, round(results * contender.share))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-peers", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    parser.add_argument(
        "--published", type=Path, required=True, help="the Python that has llenergymeasure 0.7.0"
    )
    parser.add_argument("--dir", type=Path, default=Path(), help="where to measure (default: here)")
    parser.add_argument("--json", nargs="?", const="-", help="write all as JSON, to a file or stdout")
    parser.add_argument("--results", type=int, default=1000, help="results a round (default: 1000)")
    parser.add_argument("--rounds", type=int, default=11, help="rounds (default: 11)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
