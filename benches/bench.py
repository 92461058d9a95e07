"""Measure the package against the baseline and a plain store, in one run, as ratios.

    python benches/bench.py

The contenders take turns on one file system. Each number is the median over the rounds of the ratio within a
round. The bench reports a missed target, and does not fail.

The baseline of a save is pydantic's dump and, right after it on the same thread, the bare system calls on the
same bytes. Baseline and save alternate, each in its own directory, so that both meet the same caches, speed
of the processor and neighbours. In separate tight loops, dump and calls would cost less than in any program
that makes both. Every other advantage stays with the baseline: its clock runs inside Rust and stops between
dump and calls, it knows the next name, holds no directory open, checks nothing and returns nothing.

The bench deletes nothing before the end. ext4 without a journal does not reuse an inode within minutes of its
deletion, and searches past all such inodes for every new file.
"""

from __future__ import annotations

import argparse
import itertools
import os
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

import machine
import plain_store
from llenergymeasure import ExperimentResult, _store, load_result, save_result
from measure import Contender, Row, interleave, median_us, named, show
from output import add_options, console_for, end_on_sigterm, print_machine, scratch, write_json
from sample import MODEL, make_result

MINUTE = "2026-02-18T14-30"
NAME = f"{MODEL.replace('/', '-').lower()}_vllm_{MINUTE}"
DEPTHS = (1, 100, 1000, 10_000)
"""The n of an n-th save of one name."""
WINDOW = 20
"""Saves at each depth: the n-th and those after it."""

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
SLOW_BASELINE_US = 150
"""A baseline above this is due to the file system, and flatters every ratio to it."""


@dataclass(frozen=True)
class Bench:
    """The directory, the result and the size of every measurement."""

    directory: Path
    saves: int
    rounds: int
    result: ExperimentResult

    @property
    def record(self) -> Path:
        """The file with the result, for fresh processes."""
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

    def time_with_baseline(
        self, root: Path, baseline_root: Path, count: int, label: object = "", *, durable: bool = False
    ) -> dict[str, float]:
        """Save into one directory and run the baseline in another, in turns; return microseconds of each."""
        encode, clock = ExperimentResult.__pydantic_serializer__.to_json, time.perf_counter_ns
        ours, baseline, both = [], [], []
        for suffix in range(_entries(baseline_root), _entries(baseline_root) + count):
            begin = clock()
            record = encode(self.result, indent=2)
            dump = clock() - begin
            (calls,) = _store.baseline_save(
                str(baseline_root), record, start=suffix, count=1, durable=durable
            )
            baseline.append(calls)
            both.append(dump + calls)
            begin = clock()
            saved = save_result(self.result, root, durable=durable)
            ours.append(clock() - begin)
        _check(root, saved)
        times = {"ours": ours, "baseline": baseline, "baseline + dump": both}
        return {f"{name} {label}".strip(): statistics.median(ns) / 1000 for name, ns in times.items()}


def main() -> None:
    """Measure and print everything."""
    options = _parse()
    end_on_sigterm()
    console = console_for(options)
    with scratch(options.dir) as directory:
        bench = Bench(directory, options.results, options.rounds, make_result())
        bench.record.write_bytes(ExperimentResult.__pydantic_serializer__.to_json(bench.result, indent=2))
        about = {"record": f"{bench.record.stat().st_size} bytes", **machine.describe(bench.directory)}
        print_machine(console, about)
        with _frozen_clock():
            tables = {
                "One save, one load, one import": [*saves(bench), *loads(bench), *imports(bench), *wheel()],
                "The n-th save of one name, durable=False": depths(bench),
            }
    slow = _slow_baseline(tables)
    for title, rows in tables.items():
        console.print(show(title, [row.doubted("baseline") for row in rows] if slow else rows))
    if slow:
        console.print(f"[bold red]{slow}[/]")
    all_rows = [row.as_json() for row in itertools.chain.from_iterable(tables.values())]
    write_json({"machine": about, "slow_baseline": slow, "rows": all_rows}, options.json)


def saves(bench: Bench) -> list[Row]:
    """Single saves against the baseline and a dump, and against a plain store."""
    few = max(1, bench.saves // 2)  # a durable save takes several times as long

    # A new name for each save: the plain store at its best, before its search grows.
    configs = [{**bench.result.effective_config, "model": f"{MODEL}-{n}"} for n in range(bench.saves)]
    others = [bench.result.model_copy(update={"effective_config": config}) for config in configs]

    def plain() -> float:
        root, upcoming = bench.fresh(), iter(others)
        return median_us(lambda: plain_store.save(next(upcoming), root), len(others))

    contenders = [
        lambda: bench.time_with_baseline(bench.fresh(), bench.fresh(), bench.saves),
        lambda: bench.time_with_baseline(bench.fresh(), bench.fresh(), few, "durable", durable=True),
        named("plain", plain),
    ]
    interleave(contenders, 1)  # warm up
    times = interleave(contenders, bench.rounds)
    relaxed, durable, plainly = times["ours"], times["ours durable"], times["plain"]
    return [
        Row.ratio("save, durable=False ÷ (baseline + dump)", relaxed, times["baseline + dump"], 1.25),
        Row.ratio(
            "save, durable=True ÷ (durable baseline + dump)", durable, times["baseline + dump durable"], 1.15
        ),
        Row.ratio("save, durable=False ÷ plain store, each the first of its name", relaxed, plainly),
        Row.ratio("save, durable=True ÷ plain store, each the first of its name", durable, plainly),
    ]


def loads(bench: Bench) -> list[Row]:
    """Loads against a read and pydantic's validation."""
    root = bench.fresh()
    paths = [save_result(bench.result, root, durable=False) for _ in range(bench.saves)]

    def plain(path: Path) -> ExperimentResult:
        with open(path, "rb") as file:  # noqa: PTH123 - the baseline is the cheapest way
            return ExperimentResult.model_validate_json(file.read())

    def each(load: Callable[[Path], object]) -> float:
        upcoming = iter(paths)
        return median_us(lambda: load(next(upcoming)), len(paths))

    contenders = [named("ours", lambda: each(load_result)), named("baseline", lambda: each(plain))]
    interleave(contenders, 1)
    times = interleave(contenders, bench.rounds)
    return [Row.ratio("load ÷ (open + read + model_validate_json)", times["ours"], times["baseline"], 1.5)]


def imports(bench: Bench) -> list[Row]:
    """Time the package's import after each of some imports of pydantic, in fresh interpreters."""
    # The warm-up compiles once, as for installed packages, whatever the environment sets.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bench.fresh()), "PYTHONDONTWRITEBYTECODE": ""}

    def fresh_import(baseline: str, then: str = "") -> Callable[[], float]:
        script = IMPORT.format(baseline=baseline, then=then)
        return lambda: float(_output([sys.executable, "-c", script], environment))

    # Both packages import lazily; the first use pays for it, and counts it.
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
    # The others have no target: they show the share of pydantic.
    targets = dict.fromkeys(list(scripts)[:2], 30.0)
    return [
        Row(metric, [us / 1000 for us in times[metric]], "ms", targets.get(metric), times[metric])
        for metric in scripts
    ]


def wheel() -> list[Row]:
    """Weigh the newest wheel in `dist/`, if there is one."""
    wheels = sorted(Path("dist").glob("llenergymeasure_store-*.whl"), key=lambda path: path.stat().st_mtime)
    return [Row("newest wheel in dist/", [wheels[-1].stat().st_size / 1e6], "MB", 8.0)] if wheels else []


def depths(bench: Bench) -> list[Row]:
    """Time the n-th save of one name, by a process that has been saving and by a fresh one."""
    first, last = min(DEPTHS), max(DEPTHS)
    contenders: list[Contender] = []
    for n in DEPTHS:
        ours, baseline, plain = (_at_depth(bench, n) for _ in range(3))
        contenders += [
            partial(_time_with_baseline_at, bench, n, ours, baseline),
            named(f"plain {n}", partial(_plain_at, bench, plain)),
        ]
    contenders += [
        named(f"fresh {n}", partial(_fresh_process_at, bench, _at_depth(bench, n))) for n in (first, last)
    ]
    interleave(contenders, 1)
    times = interleave(contenders, min(bench.rounds, 11))  # each makes thousands of directories

    def growth(name: str, label: str, target: float | None = None) -> Row:
        return Row.ratio(
            f"{last}th ÷ 1st: {label}", times[f"{name} {last}"], times[f"{name} {first}"], target
        )

    rows = [
        growth("ours", "ours", 1.3),
        growth("baseline", "the baseline"),
        growth("plain", "plain store"),
        growth("fresh", "ours, the first save of a fresh process"),
    ]
    for n in DEPTHS:
        saved = times[f"ours {n}"]
        rows.append(
            Row.ratio(f"save no. {n}: ours ÷ (baseline there + dump)", saved, times[f"baseline + dump {n}"])
        )
        rows.append(Row.ratio(f"save no. {n}: ours ÷ plain store", saved, times[f"plain {n}"]))
    return rows


def _at_depth(bench: Bench, n: int) -> Callable[[], Path]:
    """Return a function that makes a directory in which all names before the n-th are taken.

    It makes a new one for each round, except at the greatest n, where a few hundred more make no difference.
    """
    if n < max(DEPTHS):
        return lambda: bench.taken(n - 1)
    root = bench.taken(n - 1)
    return lambda: root


def _entries(root: Path) -> int:
    return sum(1 for _ in root.iterdir())


def _time_with_baseline_at(
    bench: Bench, n: int, ours: Callable[[], Path], baseline: Callable[[], Path]
) -> dict[str, float]:
    root, baseline_root = ours(), baseline()
    if _entries(root):
        # The process has been saving under this name.
        save_result(bench.result, root, durable=False)
    return bench.time_with_baseline(root, baseline_root, WINDOW, n)


def _plain_at(bench: Bench, directory: Callable[[], Path]) -> float:
    root = directory()
    # Its search is so slow at great depths that few saves are a fair sample.
    few = _entries(root) >= max(DEPTHS) - 1
    return median_us(lambda: plain_store.save(bench.result, root), 3 if few else WINDOW)


def _fresh_process_at(bench: Bench, directory: Callable[[], Path]) -> float:
    root = directory()
    report = _output([sys.executable, "-c", FIRST_SAVE, str(bench.record), str(root), MINUTE])
    us, _, path = report.strip().partition(" ")
    _check(root, Path(path))
    return float(us)


def _check(root: Path, saved: Path) -> None:
    """Exit if a save took another name than the next one, because it was not the n-th save."""
    suffix = _entries(root) - 1
    expected = f"{NAME}_{suffix}" if suffix else NAME
    if saved.parent.name != expected:
        sys.exit(f"a save went to {saved.parent.name}, not to {expected}")


def _slow_baseline(tables: dict[str, list[Row]]) -> str | None:
    """Return a warning if new files are so slow that the cost of a store disappears."""
    baseline = statistics.median(next(iter(tables.values()))[0].against_us)
    if baseline < SLOW_BASELINE_US:
        return None
    return (
        f"Baseline and dump take {baseline:.0f} µs where some 100 are usual, which flatters their ratios. "
        "After deletions on ext4 without a journal, run again five minutes later."
    )


def _frozen_clock() -> mock._patch[Callable[..., str]]:
    """Keep all saves within one minute, and so under one name; make the real call for its cost."""
    strftime = time.strftime

    def frozen(form: str) -> str:
        strftime(form)
        return MINUTE

    return mock.patch.object(time, "strftime", frozen)


def _output(command: list[str], environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--dir", type=Path, default=Path(), help="directory to measure in (default: here)")
    parser.add_argument("--results", type=int, default=100, help="saves and loads per round (default: 100)")
    add_options(parser, rounds=21)
    return parser.parse_args()


if __name__ == "__main__":
    main()
