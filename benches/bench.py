"""Measures the package beside the floor and a plain store, in one run, as ratios.

    python benches/bench.py --floor target/release/llem-floor

The contenders take turns on one file system; a figure is the median over the rounds of the ratio within a
round. A missed target is said, and fails nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rich.console import Console

import machine
import plain_store
from llenergymeasure import ExperimentResult, load_result, save_result
from measure import Contender, Row, Times, interleave, median_us, show
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
print((time.perf_counter_ns() - begin) / 1000)
"""
BASELINES = {
    "import pydantic": "import pydantic",
    "from pydantic import BaseModel, Field, ValidationError": "from pydantic import BaseModel, Field, ValidationError",
    "a module that defines one model": "from pydantic import BaseModel\nclass Model(BaseModel):\n    field: int",
}


@dataclass(frozen=True)
class Bench:
    """What every measurement needs: a directory of its own, the floor's program, and how much to do."""

    directory: Path
    floor_program: Path
    saves: int
    rounds: int
    result: ExperimentResult

    @property
    def record(self) -> Path:
        """The file whose bytes the floor saves."""
        return self.directory / "record.json"

    def fresh(self) -> Path:
        """Make an empty directory."""
        return Path(tempfile.mkdtemp(dir=self.directory))

    def floor(self, directory: Path, count: int, start: int = 0, *, durable: bool = False) -> float:
        """Save as the floor does; microseconds a save."""
        command = [self.floor_program, directory, self.record, str(count), "--start", str(start)]
        report = _output([*map(str, command), *(["--durable"] if durable else [])])
        return float(json.loads(report)["median_ns"]) / 1000

    def dump(self) -> float:
        """Serialise with pydantic alone; microseconds a dump."""
        encode = ExperimentResult.__pydantic_serializer__.to_json
        return median_us(lambda: encode(self.result, indent=2), 50)


def main() -> None:
    """Measure everything, and show it."""
    options = _parse()
    # A plain kill would leave the directory behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    console = Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else 140)
    with tempfile.TemporaryDirectory(prefix=".llem-bench-", dir=options.dir) as temp:
        bench = Bench(Path(temp), options.floor.resolve(), options.results, options.rounds, make_result())
        bench.record.write_bytes(ExperimentResult.__pydantic_serializer__.to_json(bench.result, indent=2))
        about = {"record": f"{bench.record.stat().st_size} bytes", **machine.describe(bench.directory)}
        for name, value in about.items():
            console.print(f"[bold]{name:>16}[/]  {value}", highlight=False)
        for warning in machine.warnings_of(about):
            console.print(f"[bold red]{warning}[/]")
        with console.status("measuring"), _frozen_clock():
            tables = {
                "One save, one load, one import": [*saves(bench), *loads(bench), *imports(bench), *wheel()],
                "The n-th save of one name, durable=False": depths(bench),
            }
    for title, rows in tables.items():
        console.print(show(title, rows))
    if options.json:
        rows = list(itertools.chain.from_iterable(tables.values()))
        report = json.dumps({"machine": about, "rows": [row.as_json() for row in rows]}, indent=2)
        if options.json == "-":
            print(report)
        else:
            Path(options.json).write_text(report + "\n", encoding="utf-8")


def saves(bench: Bench) -> list[Row]:
    """Single saves against the floor and a dump, and against a plain store."""

    def ours(*, durable: bool) -> Contender:
        return lambda _: _on_fresh(
            bench,
            lambda root: median_us(
                lambda: save_result(bench.result, root, durable=durable), _count(bench, durable=durable)
            ),
        )

    def floor(*, durable: bool) -> Contender:
        return lambda _: _on_fresh(
            bench, lambda root: bench.floor(root, _count(bench, durable=durable), durable=durable)
        )

    # A name for each save: this is the plain store at its best, before its search grows.
    configs = [{**bench.result.effective_config, "model": f"{MODEL}-{n}"} for n in range(bench.saves)]
    others = [bench.result.model_copy(update={"effective_config": config}) for config in configs]

    def plain(_: int) -> float:
        upcoming = iter(others)
        return _on_fresh(
            bench, lambda root: median_us(lambda: plain_store.save(next(upcoming), root), len(others))
        )

    contenders: dict[str, Contender] = {
        "floor": floor(durable=False),
        "dump": lambda _: bench.dump(),
        "ours": ours(durable=False),
        "plain": plain,
        "ours, durable": ours(durable=True),
        "floor, durable": floor(durable=True),
    }
    interleave(contenders, 1)  # warm up
    times = interleave(contenders, bench.rounds)
    relaxed, durable = times["ours"], times["ours, durable"]
    return [
        Row.ratio("save, durable=False ÷ (floor + dump)", relaxed, _sum(times, "floor", "dump"), 1.25),
        Row.ratio("save, durable=True ÷ (durable floor + dump)", durable, _sum(times, "floor, durable", "dump"), 1.15),
        Row.ratio("save, durable=False ÷ plain store, 1st of a name", relaxed, times["plain"]),
        Row.ratio("save, durable=True ÷ plain store, 1st of a name", durable, times["plain"]),
    ]


def loads(bench: Bench) -> list[Row]:
    """Loads against a read and pydantic's validation."""
    root = bench.fresh()
    paths = [save_result(bench.result, root, durable=False) for _ in range(bench.saves)]

    def plain(path: Path) -> ExperimentResult:
        with open(path, "rb") as file:  # noqa: PTH123 - the floor is what costs least
            return ExperimentResult.model_validate_json(file.read())

    def each(load: Callable[[Path], object]) -> Contender:
        def run(_: int) -> float:
            upcoming = iter(paths)
            return median_us(lambda: load(next(upcoming)), len(paths))

        return run

    contenders = {"ours": each(load_result), "floor": each(plain)}
    interleave(contenders, 1)
    times = interleave(contenders, bench.rounds)
    return [Row.ratio("load ÷ (open + read + model_validate_json)", times["ours"], times["floor"], 1.5)]


def imports(bench: Bench) -> list[Row]:
    """Time the package's import after each of some imports of pydantic, in fresh interpreters."""

    def fresh_import(baseline: str) -> Contender:
        script = IMPORT.format(baseline=baseline)
        return lambda _: float(_output([sys.executable, "-c", script]))

    contenders = {label: fresh_import(baseline) for label, baseline in BASELINES.items()}
    interleave(contenders, 1)
    times = interleave(contenders, max(10, bench.rounds))
    return [
        Row(
            f"import, beyond {label}",
            [us / 1000 for us in times[label]],
            "ms",
            None if "module" in label else 30.0,
            times[label],
        )
        for label in BASELINES
    ]


def wheel() -> list[Row]:
    """Weigh the newest wheel in `dist/`, if there is one."""
    wheels = sorted(Path("dist").glob("llenergymeasure-*.whl"), key=lambda path: path.stat().st_mtime)
    return [Row(f"wheel {wheels[-1].name}", [wheels[-1].stat().st_size / 1e6], "MB", 6.0)] if wheels else []


def depths(bench: Bench) -> list[Row]:
    """Time the n-th save of one name, by a process that has been saving and by a fresh one."""
    contenders: dict[str, Contender] = {"dump": lambda _: bench.dump()}
    for n in DEPTHS:
        # Every contender has its own directory, in which all the names before the n-th are taken.
        roots = {who: _taken(bench, n - 1) for who in ("ours", "floor", "plain")}
        contenders[f"ours {n}"] = _at_depth(roots["ours"], n, lambda root, n: _ours_at(bench, root, n))
        contenders[f"floor {n}"] = _at_depth(
            roots["floor"], n, lambda root, n: bench.floor(root, WINDOW, start=n - 1)
        )
        # The plain store's linear search makes it slow enough that few saves are a fair sample.
        contenders[f"plain {n}"] = _at_depth(
            roots["plain"],
            n,
            lambda root, n: median_us(lambda: plain_store.save(bench.result, root), WINDOW if n < max(DEPTHS) else 3),
        )
    for n in (1, max(DEPTHS)):
        contenders[f"fresh {n}"] = _at_depth(
            _taken(bench, n - 1), n, lambda root, n: _fresh_process_at(bench, root, n)
        )
    interleave(contenders, 1)
    times = interleave(contenders, bench.rounds)
    last = max(DEPTHS)
    rows = [
        Row.ratio(f"{last}th ÷ 1st: ours", times[f"ours {last}"], times["ours 1"], 1.3),
        Row.ratio(f"{last}th ÷ 1st: the floor", times[f"floor {last}"], times["floor 1"]),
        Row.ratio(f"{last}th ÷ 1st: plain store", times[f"plain {last}"], times["plain 1"]),
        Row.ratio(f"{last}th ÷ 1st: ours, the first save of a fresh process", times[f"fresh {last}"], times["fresh 1"]),
    ]
    for n in DEPTHS:
        ours = times[f"ours {n}"]
        rows.append(Row.ratio(f"save no. {n}: ours ÷ (floor at that n + dump)", ours, _sum(times, f"floor {n}", "dump")))
        rows.append(Row.ratio(f"save no. {n}: ours ÷ plain store", ours, times[f"plain {n}"]))
    return rows


def _taken(bench: Bench, count: int) -> Path:
    root = bench.fresh()
    for n in range(count):
        (root / (f"{NAME}_{n}" if n else NAME)).mkdir()
    return root


def _at_depth(root: Path, n: int, measure: Callable[[Path, int], float]) -> Contender:
    """Measure in a directory in which all before the n-th are taken, and leave it so."""
    before = {path.name for path in root.iterdir()}

    def run(_: int) -> float:
        us = measure(root, n)
        for path in root.iterdir():
            if path.name not in before:
                shutil.rmtree(path)
        return us

    return run


def _ours_at(bench: Bench, root: Path, n: int) -> float:
    if n > 1:
        # The process has been saving under this name: its last save was the one before the n-th.
        (root / (f"{NAME}_{n - 2}" if n > 2 else NAME)).rmdir()  # noqa: PLR2004 - the first has no suffix
        save_result(bench.result, root, durable=False)
    saved: list[Path] = []
    us = median_us(lambda: saved.append(save_result(bench.result, root, durable=False)), WINDOW)
    _check(saved[-1], n + WINDOW - 1)
    if n > 1:
        (root / f"{NAME}_{n - 2}" / "result.json").unlink()
    return us


def _fresh_process_at(bench: Bench, root: Path, n: int) -> float:
    us, _, path = _output([sys.executable, "-c", FIRST_SAVE, str(bench.record), str(root), MINUTE]).partition(" ")
    _check(Path(path.strip()), n)
    return float(us)


def _check(saved: Path, n: int) -> None:
    expected = f"{NAME}_{n - 1}" if n > 1 else NAME
    if saved.parent.name != expected:
        sys.exit(f"the {n}-th save went to {saved.parent.name}, not to {expected}: nothing was measured")


def _on_fresh(bench: Bench, measure: Callable[[Path], float]) -> float:
    root = bench.fresh()
    try:
        return measure(root)
    finally:
        shutil.rmtree(root)


def _count(bench: Bench, *, durable: bool) -> int:
    """A durable save takes several times as long."""
    return max(1, bench.saves // 4) if durable else bench.saves


def _sum(times: Times, one: str, other: str) -> list[float]:
    return [a + b for a, b in zip(times[one], times[other], strict=True)]


def _frozen_clock() -> mock._patch[Callable[..., str]]:
    """Keep all saves within one minute, whose name they share; the real call is made, for its cost."""
    strftime = time.strftime

    def frozen(form: str) -> str:
        strftime(form)
        return MINUTE

    return mock.patch.object(time, "strftime", frozen)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--floor", type=Path, required=True, help="the llem-floor program")
    parser.add_argument("--dir", type=Path, default=Path(), help="where to measure (default: the current directory)")
    parser.add_argument("--json", nargs="?", const="-", help="write everything as JSON, to a file or to stdout")
    parser.add_argument("--results", type=int, default=200, help="saves and loads a round (default: 200)")
    parser.add_argument("--rounds", type=int, default=11, help="rounds (default: 11)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
