"""Measures the package beside the floor and a plain store, in one run, as ratios.

    python benches/bench.py

The contenders take turns on one file system; a figure is the median over the rounds of the ratio within a
round. A missed target is said, and fails nothing.

The floor of a save is pydantic's dump and, right after it on the same thread, the bare system calls on the
bytes just dumped. Floor and save alternate, one of each, in a directory each. So both meet the caches that
the interpreter and the other have left, the same processor at the same pace, and the same neighbours; timed
apart, each in a tight loop, dump and calls add up to less than any program pays that makes both. Every other
advantage stays with the floor: its clock runs inside Rust and stops between dump and calls, it knows the
next name, holds no directory open, checks nothing and returns nothing.

Nothing is deleted before the end. ext4 without a journal does not use an inode again within minutes of its
deletion: it searches past all of them, at every file that it makes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from rich.console import Console

import machine
import plain_store
from llenergymeasure import ExperimentResult, _store, load_result, save_result
from measure import Contender, Row, interleave, median_us, named, show
from sample import MODEL, make_result

MINUTE = "2026-02-18T14-30"
NAME = f"{MODEL.replace('/', '-').lower()}_vllm_{MINUTE}"
DEPTHS = (1, 100, 1000, 10_000)
"""The n of an n-th save of one name."""
WINDOW = 20
"""Saves that are timed at each depth: the n-th and those after it."""

FIRST_SAVE = """
import sys, time
from pathlib import Path
from llenergymeasure import ExperimentResult, save_result
record, directory, minute = sys.argv[1:]
time.strftime = lambda *_: minute
result = ExperimentResult.model_validate_json(Path(record).read_bytes())
begin = time.perf_counter_ns()
path = save_result(result, directory, durable=False)
print((time.perf_counter_ns() - begin) / 1000, path)
"""
IMPORT = """
import time
{baseline}
begin = time.perf_counter_ns()
import llenergymeasure
{then}
print((time.perf_counter_ns() - begin) / 1000)
"""
NAMES = "from pydantic import BaseModel, Field, ValidationError"
ONE_MODEL = "from pydantic import BaseModel\nclass Model(BaseModel):\n    field: int"
SLOW_FLOOR_US = 150
"""A floor above this is the file system's doing, and flatters every ratio to it."""


@dataclass(frozen=True)
class Bench:
    """What every measurement needs: a directory of its own, and how much to do."""

    directory: Path
    saves: int
    rounds: int
    result: ExperimentResult

    @property
    def record(self) -> Path:
        """A file with the result, for fresh processes."""
        return self.directory / "record.json"

    def fresh(self) -> Path:
        """Make an empty directory."""
        return Path(tempfile.mkdtemp(dir=self.directory))

    def taken(self, count: int) -> Path:
        """Make a directory in which the first names are taken."""
        root = self.fresh()
        for n in range(count):
            (root / (f"{NAME}_{n}" if n else NAME)).mkdir()
        return root

    def beside_floor(
        self, root: Path, floor_root: Path, count: int, label: object = "", *, durable: bool = False
    ) -> dict[str, float]:
        """Save into one directory and let the floor save into another, in turns; microseconds of each."""
        encode, clock = ExperimentResult.__pydantic_serializer__.to_json, time.perf_counter_ns
        ours, floor, both = [], [], []
        for suffix in range(_entries(floor_root), _entries(floor_root) + count):
            begin = clock()
            record = encode(self.result, indent=2)
            dump = clock() - begin
            (calls,) = _store.floor(str(floor_root), record, start=suffix, count=1, durable=durable)
            floor.append(calls)
            both.append(dump + calls)
            begin = clock()
            saved = save_result(self.result, root, durable=durable)
            ours.append(clock() - begin)
        _check(root, saved)
        times = {"ours": ours, "floor": floor, "floor + dump": both}
        return {f"{name} {label}".strip(): statistics.median(ns) / 1000 for name, ns in times.items()}


def main() -> None:
    """Measure everything, and show it."""
    options = _parse()
    # A plain kill would leave the directory behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    console = Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else 140)
    with tempfile.TemporaryDirectory(prefix=".llem-bench-", dir=options.dir) as temp:
        bench = Bench(Path(temp), options.results, options.rounds, make_result())
        (bench.directory / ".gitignore").write_text("*\n", encoding="utf-8")  # a commit may come in between
        bench.record.write_bytes(ExperimentResult.__pydantic_serializer__.to_json(bench.result, indent=2))
        about = {"record": f"{bench.record.stat().st_size} bytes", **machine.describe(bench.directory)}
        for name, value in about.items():
            console.print(f"[bold]{name:>16}[/]  {value}", highlight=False)
        for warning in machine.warnings_of(about):
            console.print(f"[bold red]{warning}[/]")
        with _frozen_clock():
            tables = {
                "One save, one load, one import": [*saves(bench), *loads(bench), *imports(bench), *wheel()],
                "The n-th save of one name, durable=False": depths(bench),
            }
    slow = _slow_floor(tables)
    for title, rows in tables.items():
        console.print(show(title, [row.doubted("floor") for row in rows] if slow else rows))
    if slow:
        console.print(f"[bold red]{slow}[/]")
    if options.json:
        rows = list(itertools.chain.from_iterable(tables.values()))
        report = json.dumps(
            {"machine": about, "slow_floor": slow, "rows": [row.as_json() for row in rows]}, indent=2
        )
        if options.json == "-":
            print(report)
        else:
            Path(options.json).write_text(report + "\n", encoding="utf-8")


def saves(bench: Bench) -> list[Row]:
    """Single saves against the floor and a dump, and against a plain store."""
    few = max(1, bench.saves // 2)  # a durable save takes several times as long

    # A name for each save: this is the plain store at its best, before its search grows.
    configs = [{**bench.result.effective_config, "model": f"{MODEL}-{n}"} for n in range(bench.saves)]
    others = [bench.result.model_copy(update={"effective_config": config}) for config in configs]

    def plain() -> float:
        root, upcoming = bench.fresh(), iter(others)
        return median_us(lambda: plain_store.save(next(upcoming), root), len(others))

    contenders = [
        lambda: bench.beside_floor(bench.fresh(), bench.fresh(), bench.saves),
        lambda: bench.beside_floor(bench.fresh(), bench.fresh(), few, "durable", durable=True),
        named("plain", plain),
    ]
    interleave(contenders, 1)  # warm up
    times = interleave(contenders, bench.rounds)
    relaxed, durable, plainly = times["ours"], times["ours durable"], times["plain"]
    return [
        Row.ratio("save, durable=False ÷ (floor + dump)", relaxed, times["floor + dump"], 1.25),
        Row.ratio(
            "save, durable=True ÷ (durable floor + dump)", durable, times["floor + dump durable"], 1.15
        ),
        Row.ratio("save, durable=False ÷ plain store, each the first of its name", relaxed, plainly),
        Row.ratio("save, durable=True ÷ plain store, each the first of its name", durable, plainly),
    ]


def loads(bench: Bench) -> list[Row]:
    """Loads against a read and pydantic's validation."""
    root = bench.fresh()
    paths = [save_result(bench.result, root, durable=False) for _ in range(bench.saves)]

    def plain(path: Path) -> ExperimentResult:
        with open(path, "rb") as file:  # noqa: PTH123 - the floor is what costs least
            return ExperimentResult.model_validate_json(file.read())

    def each(load: Callable[[Path], object]) -> float:
        upcoming = iter(paths)
        return median_us(lambda: load(next(upcoming)), len(paths))

    contenders = [named("ours", lambda: each(load_result)), named("floor", lambda: each(plain))]
    interleave(contenders, 1)
    times = interleave(contenders, bench.rounds)
    return [Row.ratio("load ÷ (open + read + model_validate_json)", times["ours"], times["floor"], 1.5)]


def imports(bench: Bench) -> list[Row]:
    """Time the package's import after each of some imports of pydantic, in fresh interpreters."""
    # Compiled once, as installed packages are, whatever the environment says; the warm-up does it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bench.fresh()), "PYTHONDONTWRITEBYTECODE": ""}

    def fresh_import(baseline: str, then: str = "") -> Callable[[], float]:
        script = IMPORT.format(baseline=baseline, then=then)
        return lambda: float(_output([sys.executable, "-c", script], environment))

    # Both packages put off what they can; what is put off is waited for at the first use, and counted there.
    use = "llenergymeasure.ExperimentResult, llenergymeasure.save_result"
    scripts = {
        "import, beyond import pydantic, both lazy": fresh_import("import pydantic"),
        "import and first use, beyond pydantic's BaseModel, Field, ValidationError": fresh_import(NAMES, use),
        "import and first use, beyond a definition of one model": fresh_import(ONE_MODEL, use),
        "import, first use and schema built, beyond that too": fresh_import(
            ONE_MODEL, f"{use}; llenergymeasure.ExperimentResult.model_rebuild()"
        ),
    }
    contenders = [named(metric, script) for metric, script in scripts.items()]
    interleave(contenders, 1)
    times = interleave(contenders, max(10, bench.rounds))
    # The others have no target: they say what of the time is pydantic's own.
    targets = dict.fromkeys(list(scripts)[:2], 30.0)
    return [
        Row(metric, [us / 1000 for us in times[metric]], "ms", targets.get(metric), times[metric])
        for metric in scripts
    ]


def wheel() -> list[Row]:
    """Weigh the newest wheel in `dist/`, if there is one."""
    wheels = sorted(Path("dist").glob("llenergymeasure_store-*.whl"), key=lambda path: path.stat().st_mtime)
    return [Row("newest wheel in dist/", [wheels[-1].stat().st_size / 1e6], "MB", 6.0)] if wheels else []


def depths(bench: Bench) -> list[Row]:
    """Time the n-th save of one name, by a process that has been saving and by a fresh one."""
    first, last = min(DEPTHS), max(DEPTHS)
    contenders: list[Contender] = []
    for n in DEPTHS:
        ours, floor, plain = (_at_depth(bench, n) for _ in range(3))
        contenders += [
            partial(_beside_floor_at, bench, n, ours, floor),
            named(f"plain {n}", partial(_plain_at, bench, plain)),
        ]
    contenders += [
        named(f"fresh {n}", partial(_fresh_process_at, bench, _at_depth(bench, n))) for n in (first, last)
    ]
    interleave(contenders, 1)
    times = interleave(contenders, min(bench.rounds, 11))  # each makes thousands of directories

    def growth(who: str, label: str, target: float | None = None) -> Row:
        return Row.ratio(f"{last}th ÷ 1st: {label}", times[f"{who} {last}"], times[f"{who} {first}"], target)

    rows = [
        growth("ours", "ours", 1.3),
        growth("floor", "the floor"),
        growth("plain", "plain store"),
        growth("fresh", "ours, the first save of a fresh process"),
    ]
    for n in DEPTHS:
        saved = times[f"ours {n}"]
        rows.append(
            Row.ratio(f"save no. {n}: ours ÷ (floor there + dump)", saved, times[f"floor + dump {n}"])
        )
        rows.append(Row.ratio(f"save no. {n}: ours ÷ plain store", saved, times[f"plain {n}"]))
    return rows


def _at_depth(bench: Bench, n: int) -> Callable[[], Path]:
    """Give a directory of its own in which all names before the n-th are taken.

    A new one for each round, save at the greatest n, where a few hundred more make no difference.
    """
    if n < max(DEPTHS):
        return lambda: bench.taken(n - 1)
    root = bench.taken(n - 1)
    return lambda: root


def _entries(root: Path) -> int:
    return sum(1 for _ in root.iterdir())


def _beside_floor_at(
    bench: Bench, n: int, ours: Callable[[], Path], floor: Callable[[], Path]
) -> dict[str, float]:
    root, floor_root = ours(), floor()
    if _entries(root):
        # The process has been saving under this name.
        save_result(bench.result, root, durable=False)
    return bench.beside_floor(root, floor_root, WINDOW, n)


def _plain_at(bench: Bench, directory: Callable[[], Path]) -> float:
    root = directory()
    # Its search makes it so slow in the end that few saves are a fair sample.
    few = _entries(root) >= max(DEPTHS) - 1
    return median_us(lambda: plain_store.save(bench.result, root), 3 if few else WINDOW)


def _fresh_process_at(bench: Bench, directory: Callable[[], Path]) -> float:
    root = directory()
    report = _output([sys.executable, "-c", FIRST_SAVE, str(bench.record), str(root), MINUTE])
    us, _, path = report.strip().partition(" ")
    _check(root, Path(path))
    return float(us)


def _check(root: Path, saved: Path) -> None:
    """Stop where a save went to another name than the next one: not the n-th save was measured then."""
    suffix = _entries(root) - 1
    expected = f"{NAME}_{suffix}" if suffix else NAME
    if saved.parent.name != expected:
        sys.exit(f"a save went to {saved.parent.name}, not to {expected}")


def _slow_floor(tables: dict[str, list[Row]]) -> str | None:
    """Say so where making files is so slow that what a store adds to it disappears."""
    floor = statistics.median(next(iter(tables.values()))[0].against_us)
    if floor < SLOW_FLOOR_US:
        return None
    return (
        f"Floor and dump take {floor:.0f} µs where some 100 are usual, which flatters the ratios to them. "
        "Where files were deleted on ext4 without a journal, run again five minutes later."
    )


def _frozen_clock() -> mock._patch[Callable[..., str]]:
    """Keep all saves within one minute, whose name they share; the real call is made, for its cost."""
    strftime = time.strftime

    def frozen(form: str) -> str:
        strftime(form)
        return MINUTE

    return mock.patch.object(time, "strftime", frozen)


def _output(command: list[str], environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--dir", type=Path, default=Path(), help="where to measure (default: here)")
    parser.add_argument("--json", nargs="?", const="-", help="write all as JSON, to a file or stdout")
    parser.add_argument("--results", type=int, default=100, help="saves and loads a round (default: 100)")
    parser.add_argument("--rounds", type=int, default=21, help="rounds (default: 21)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
