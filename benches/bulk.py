"""Measure the ways to save many results against the baselines of one save, on fresh disks, as ratios.

    python benches/bulk.py                        # as root: ext4, xfs, btrfs, each with two kinds of flush
    python benches/bulk.py --disk ext4:5 --long   # one such disk, and a sweep of 100 000 results
    python benches/bulk.py --dir DIR              # on the file system that is there, which needs no root

The contenders of a table take turns on one file system. Before each turn, the bench writes out dirty pages,
on the whole machine if there are many, because `save_many` avoids syncfs while foreign data waits. A time is
that of a complete batch, divided by its results, so that stalls count on both sides of a ratio. Each number
is the median over the rounds of the ratio within a round. The bench reports a missed target, and does not
fail.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

import dirty
import disks
import machine
from llenergymeasure import ResultStore, _store
from llenergymeasure.cli.commands.bench.crew import Crew
from llenergymeasure.cli.commands.bench.disk import write_out
from llenergymeasure.cli.commands.bench.record import encode
from llenergymeasure.results.timeseries import Timeseries
from location import Location
from measure import Contender, Row, Times, interleave, show
from output import add_options, console_for, end_on_sigterm, print_machine, write_json
from sample import make_result

RESULT = make_result()
RECORD = encode(RESULT)
BATCH = 1000
WITH_SIDECARS = 200
AMID_FOREIGN = 100
WINDOW = 10_000
"""Results at the beginning and at the end of a long sweep."""
PROCESSES = 4
ONE_BY_ONE_SEC = 0.5
"""The longest time for saves one by one, of which a thousand may take half a minute."""
SIDECAR, SIDECAR_ROWS = 50_000, 6100
LITTLE_DIRTY = 8 << 20
LONG_DISK = 8 << 30
SWEEP = """
import json, re, sys, time
from pathlib import Path
from llenergymeasure import ExperimentResult, ResultStore
record, directory, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
result = ExperimentResult.model_validate_json(Path(record).read_bytes())
status, marks = Path("/proc/self/status"), []
def mark(done, total):
    if done == count or done >= 1000 * len(marks):
        # Not getrusage: its peak begins with that of the process that started this one.
        peak = int(re.search("VmHWM:\\s+(\\d+) kB", status.read_text())[1]) if status.exists() else None
        marks.append((done, time.perf_counter_ns(), peak))
mark(0, None)
results = (result.model_copy(update={"experiment_id": f"run-{n}"}) for n in range(count))
assert len(ResultStore(directory).save_many(results, progress=mark)) == count
print(json.dumps(marks))
"""


def main() -> None:
    """Measure and print everything."""
    options = _parse()
    end_on_sigterm()
    console = console_for(options)
    report = []
    for location in _locations(options, console):
        report.append(_measure(location, options, console))
        if options.json != "-":  # after each disk, because all take many minutes
            write_json(report, options.json)
    if options.json == "-":
        write_json(report, "-")


def _targets(location: Location, kind: str) -> tuple[float | None, float | None]:
    """Return the targets: the ratio of `save_many` to the baseline, and its speed-up over single saves."""
    if location.flush_ms:
        return None, 50
    return {"ext4": (1.5, 8), "xfs": (1.5, 8), "btrfs": (None, 10)}.get(kind, (None, None))


def _measure(location: Location, options: argparse.Namespace, console: Console) -> dict[str, object]:
    with location.fresh() as root:
        about = {"record": f"{len(RECORD)} bytes", **machine.describe(root)}
    console.rule(f"[bold]{location}", align="left")
    print_machine(console, about)
    targets = _targets(location, about["file system"].partition(" ")[0])
    tables = {
        f"{BATCH} results": partial(thousand, location, targets, options.rounds),
        f"{WITH_SIDECARS} results with sidecars of 50 KB": partial(sidecars, location, options.rounds),
        f"{AMID_FOREIGN} results amid 1.5 GB of foreign dirty pages": partial(
            foreign, location, options.rounds
        ),
    }
    if options.long:
        tables[f"{options.long} results from a generator"] = partial(sweep, location, options.long)
    rows: list[Row] = []
    for title, measure in tables.items():
        try:
            measured = measure()
        except dirty.DirtyError as reason:
            console.print(f"[yellow]SKIP[/] {title}: {reason}")
            continue
        console.print(show(title, measured))
        rows += measured
    return {"disk": str(location), "machine": about, "rows": [row.as_json() for row in rows]}


def thousand(location: Location, targets: tuple[float | None, float | None], rounds: int) -> list[Row]:
    """Save a thousand results in each way, and measure the baselines."""
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(location.fresh())
        record = root / "record.json"
        record.write_bytes(RECORD)
        one, four = (stack.enter_context(Crew(count, record)) for count in (1, PROCESSES))
        ways: dict[str, Callable[[Path], float]] = {
            "baseline": partial(_baseline, durable=False),
            "dump": lambda _: _us(lambda: [encode(RESULT) for _ in range(BATCH)], BATCH),
            "durable baseline": partial(_baseline, durable=True),
            "save_many": _save_many,
            "F": partial(_save_many, engine="fsync"),
            "S": partial(_save_many, engine="syncfs"),
            "not durable": partial(_save_many, durable=False),
            "writer": _writer,
            "one process": lambda directory: _us(lambda: one.save(directory, BATCH), BATCH),
            "processes": lambda directory: _us(lambda: four.save(directory, BATCH // PROCESSES), BATCH),
        }
        times = _turns(root, ways, rounds)
    over_baseline, over_one_by_one = targets
    baseline, ours = times["baseline"], times["save_many"]
    with_dump = _sums(times, "baseline", "dump")
    processor = _sums(times, "baseline, processor", "dump, processor")
    no_cost = None if over_baseline is None else 1.0
    better = [min(pair) for pair in zip(times["F"], times["S"], strict=True)]
    return [
        Row.ratio("save_many ÷ baseline that flushes nothing", ours, baseline, over_baseline),
        Row.faster(
            "save_many: times faster than the durable baseline, one by one",
            ours,
            times["durable baseline"],
            over_one_by_one,
        ),
        Row.ratio("save_many ÷ (baseline that flushes nothing + dump)", ours, with_dump, no_cost),
        Row.ratio("the same, processor time of the process", times["save_many, processor"], processor),
        Row.ratio("save_many, durable=False ÷ (baseline + dump)", times["not durable"], with_dump),
        Row.ratio("the same, processor time of the process", times["not durable, processor"], processor),
        Row.ratio("save_many, durable=False ÷ baseline", times["not durable"], baseline),
        Row.ratio("save_many by fsync alone ÷ baseline that flushes nothing", times["F"], baseline),
        Row.ratio("save_many by syncfs alone ÷ baseline that flushes nothing", times["S"], baseline),
        Row.ratio("save_many ÷ the faster of the two", ours, better),
        Row.faster("writer, one thread submits: rate ÷ that of save_many", times["writer"], ours, 0.9),
        Row.faster(
            f"{PROCESSES} processes, a writer each: rate ÷ that of one process",
            times["processes"],
            times["one process"],
            1.0,
        ),
    ]


def sidecars(location: Location, rounds: int) -> list[Row]:
    """Save results with sidecars, many at once and one by one."""
    with location.fresh() as root:
        source = _sidecar(root)

        def one_by_one(directory: Path) -> float:
            store = ResultStore(directory)
            return _one_by_one(lambda _: _ns(lambda: store.save(RESULT, source)), WITH_SIDECARS)

        many = partial(_save_many, count=WITH_SIDECARS, source=source)
        times = _turns(root, {"many": many, "one by one": one_by_one}, rounds)
    return [Row.faster("save_many: times faster than save", times["many"], times["one by one"], 3.0)]


def foreign(location: Location, rounds: int) -> list[Row]:
    """Save while foreign data waits for the same device."""
    with location.fresh() as root, dirty.limits_raised():
        others = root / "others"

        def amid(save: Callable[[Path], float], directory: Path) -> float:
            dirty.write(others)
            us = save(directory)
            others.unlink()  # drops its unwritten pages
            return us

        batch = partial(_save_many, count=AMID_FOREIGN)
        ways: dict[str, Callable[[Path], float]] = {
            "save_many": partial(amid, batch),
            "F": partial(amid, partial(batch, engine="fsync")),
            "S": partial(amid, partial(batch, engine="syncfs")),
        }
        times = _turns(root, ways, min(rounds, 7))
    return [
        # Both do the same where the flush policy avoids syncfs; a tenth is tolerance.
        Row.ratio("save_many ÷ save_many by fsync alone", times["save_many"], times["F"], 1.1),
        Row.ratio("save_many by syncfs alone ÷ by fsync alone", times["S"], times["F"]),
    ]


def sweep(location: Location, count: int) -> list[Row]:
    """Save a long sweep in a process of its own, then run the baseline."""
    with location.fresh(LONG_DISK) as root:
        record = root / "record.json"
        record.write_bytes(RECORD)
        ours, bare = root / "ours", root / "bare"
        bare.mkdir()
        command = [sys.executable, "-c", SWEEP, str(record), str(ours), str(count)]
        _settle(root)
        report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        marks: list[tuple[int, int, int | None]] = json.loads(report)
        _settle(root)
        baseline = _store.baseline_save(str(bare), RECORD, start=0, count=count, durable=False)
    first = next(mark for mark in marks if mark[0] >= WINDOW)
    last = next(mark for mark in marks if mark[0] >= count - WINDOW)
    (done, began, _), (total, ended, peak) = marks[0], marks[-1]
    first_us = (first[1] - began) / (first[0] - done) / 1000
    last_us = (ended - last[1]) / (total - last[0]) / 1000
    early, late = (sum(each) / WINDOW / 1000 for each in (baseline[:WINDOW], baseline[-WINDOW:]))
    rows = [
        Row.ratio(f"save_many: last {WINDOW} ÷ first {WINDOW}, per result", [last_us], [first_us], 1.1),
        Row.ratio("the baseline that flushes nothing: the same", [late], [early]),
    ]
    if peak is not None and first[2] is not None:
        grown = (peak - first[2]) * 1024 / (total - first[0])
        # The returned paths stay in memory; a record would be 9 KB.
        rows.append(Row(f"peak memory: growth per result after the first {WINDOW}", [grown], "B", 1024.0))
    return rows


def _turns(root: Path, ways: dict[str, Callable[[Path], float]], rounds: int) -> dict[str, list[float]]:
    """Save in each way into its own directory in each round.

    Return microseconds per result, and the processor time of this process per turn, with all its threads.
    """

    def turn(name: str, way: Callable[[Path], float]) -> dict[str, float]:
        directory = Path(tempfile.mkdtemp(dir=root))
        _settle(root)
        processor = time.process_time()
        us = way(directory)
        return {name: us, f"{name}, processor": (time.process_time() - processor) * 1e6}

    contenders: list[Contender] = [partial(turn, name, way) for name, way in ways.items()]
    interleave(contenders, 1)  # warm up
    return interleave(contenders, rounds)


def _sums(times: Times, one: str, other: str) -> list[float]:
    """Add the times of two contenders, round by round: one after the other, on one thread."""
    return [a + b for a, b in zip(times[one], times[other], strict=True)]


def _settle(root: Path) -> None:
    write_out(root)
    if dirty.waiting() > LITTLE_DIRTY:
        os.sync()


def _save_many(
    directory: Path,
    *,
    count: int = BATCH,
    source: Path | None = None,
    durable: bool = True,
    engine: Literal["fsync", "syncfs"] | None = None,
) -> float:
    store, results = ResultStore(directory), [RESULT] * count
    store._flush_method = engine  # noqa: SLF001 - for tests and benches
    paths: list[Path] = []
    sources = None if source is None else itertools.repeat(source, count)
    us = _us(
        lambda: paths.extend(store.save_many(results, timeseries_sources=sources, durable=durable)), count
    )
    assert len(set(paths)) == count
    return us


def _writer(directory: Path) -> float:
    def submit() -> None:
        with ResultStore(directory).writer() as writer:
            for _ in range(BATCH):
                writer.submit(RESULT)

    return _us(submit, BATCH)


def _baseline(directory: Path, *, durable: bool) -> float:
    save = partial(_store.baseline_save, str(directory), RECORD, durable=durable)
    if durable:
        return _one_by_one(lambda n: sum(save(start=n, count=1)), BATCH)
    return sum(save(start=0, count=BATCH)) / BATCH / 1000


def _one_by_one(save: Callable[[int], int], most: int) -> float:
    """Save until a number or a time is reached; return the mean microseconds of a save."""
    until = time.monotonic() + ONE_BY_ONE_SEC
    each: list[int] = []
    while len(each) < most and (not each or time.monotonic() < until):
        each.append(save(len(each)))
    return sum(each) / len(each) / 1000


def _ns(operation: Callable[[], object]) -> int:
    begin = time.perf_counter_ns()
    operation()
    return time.perf_counter_ns() - begin


def _us(operation: Callable[[], object], count: int) -> float:
    return _ns(operation) / count / 1000


def _sidecar(root: Path) -> Path:
    """Make a power trace of 50 KB."""
    chance = random.Random(0)  # noqa: S311 - a trace, no secret
    rows = range(SIDECAR_ROWS)
    trace = Timeseries(
        timestamp_s=[float(n) for n in rows],
        gpu_index=[0 for _ in rows],
        power_w=[chance.uniform(60, 400) for _ in rows],
    )
    path = ResultStore(root / "source").save(RESULT, trace).with_name("timeseries.parquet")
    assert abs(path.stat().st_size - SIDECAR) < SIDECAR / 10, path.stat().st_size
    return path


def _locations(options: argparse.Namespace, console: Console) -> Iterable[Location]:
    if options.dir:
        return [Location(options.dir)]
    wanted = options.disk or [Location(Path(), kind, ms) for ms in (0, 5) for kind in disks.KINDS]
    locations = []
    for disk in wanted:
        location = Location(options.scratch, disk.kind, disk.flush_ms)
        try:
            with location.fresh():  # root in a container may be unable to mount
                locations.append(location)
        except disks.UnavailableError as lacking:
            console.print(f"[yellow]SKIP[/] {location}: {lacking}")
    return locations or [Location(Path())]


def _disk(argument: str) -> Location:
    kind, _, ms = argument.partition(":")
    if kind not in disks.KINDS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(disks.KINDS)}, got {kind}")
    return Location(Path(), kind, float(ms or 0))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--disk",
        type=_disk,
        action="append",
        metavar="KIND[:MS]",
        help="a fresh disk, and the least time of each flush; repeatable (default: all)",
    )
    where.add_argument("--dir", type=Path, help="measure in this directory instead (without root: here)")
    parser.add_argument("--scratch", type=Path, default=disks.SCRATCH, help="directory for disk images")
    add_options(parser, rounds=11)
    parser.add_argument(
        "--long",
        type=int,
        nargs="?",
        const=100_000,
        help="add a sweep of this many results (default: 100 000)",
    )
    options = parser.parse_args()
    if options.long is not None and options.long < 2 * WINDOW:
        parser.error(f"expected --long of at least {2 * WINDOW}, got {options.long}")
    return options


if __name__ == "__main__":
    main()
