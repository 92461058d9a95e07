"""Measure the package against other ways to keep a result, in one run, as ratios.

    PYTHONPATH=benches python -m peers.run --published .venv-peers-0.7.0/bin/python

The contenders take turns on one file system, each in a process of its own. Each number is the median over the
rounds of the ratio within a round. The bench reports a missed target, or a contender that it cannot measure,
and does not fail.

The bench deletes nothing before the end. ext4 without a journal does not reuse an inode within minutes of its
deletion, and searches past all such inodes for every new file.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from pathlib import Path

from rich.markup import escape

import machine
from llenergymeasure import ExperimentResult
from measure import Contender as Turn
from measure import Times, interleave, named
from output import add_options, console_for, end_on_sigterm, print_machine, scratch, write_json
from peers.contenders import CONTENDERS, Contender
from peers.process import Absent, Worker, start
from peers.report import Line, show
from sample import make_result

FEWEST = 5
"""The least results per round, for the slowest contenders."""


def main() -> None:
    """Measure and print all contenders."""
    options = _parse()
    end_on_sigterm()
    console = console_for(options, 150)
    # The workers end before their directory is removed.
    with scratch(options.dir) as directory, contextlib.ExitStack() as stack:
        record = directory / "record.json"
        record.write_bytes(ExperimentResult.__pydantic_serializer__.to_json(make_result(), indent=2))
        about = {"record": f"{record.stat().st_size} bytes", **machine.describe(directory)}
        warnings = print_machine(console, about)
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
    report = {
        "machine": about,
        "warnings": warnings,
        "rounds": options.rounds,
        "contenders": [line.as_json() for line in lines],
        "absent": absent,
    }
    write_json(report, options.json)


def measure(workers: dict[Contender, Worker], results: int, rounds: int, absent: dict[str, str]) -> Times:
    """Measure each contender once a round; add one that fails to the absent, and measure it no more."""

    def turn(contender: Contender, worker: Worker, count: int) -> Turn:
        def once() -> float:
            if contender.name in absent:
                return math.nan
            os.sync()  # else this contender writes out the data of others
            try:
                return worker.measure(count)
            except Absent as reason:
                absent[contender.name] = str(reason)
                return math.nan

        return named(contender.name, once)

    # The first turn loads modules and fills caches, and finds contenders that cannot save.
    interleave([turn(c, worker, FEWEST) for c, worker in workers.items()], 1)
    times = interleave([turn(c, worker, count_of(c, results)) for c, worker in workers.items()], rounds)
    return {name: us for name, us in times.items() if name not in absent}


def count_of(contender: Contender, results: int) -> int:
    """Return the number of results that a contender saves per round."""
    return max(FEWEST, round(results * contender.share))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-peers", description=__doc__.partition("\n")[0] if __doc__ else None
    )
    parser.add_argument(
        "--published", type=Path, required=True, help="the Python that has llenergymeasure 0.7.0"
    )
    parser.add_argument("--dir", type=Path, default=Path(), help="directory to measure in (default: here)")
    parser.add_argument("--results", type=int, default=1000, help="results per round (default: 1000)")
    add_options(parser, rounds=11)
    return parser.parse_args()


if __name__ == "__main__":
    main()
