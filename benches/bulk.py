"""Measures the ways of saving many results beside the floors of one, on fresh disks, as ratios.

    python benches/bulk.py                        # as root: ext4, xfs, btrfs, each with two kinds of flush
    python benches/bulk.py --disk ext4:5 --long   # one such disk, and a sweep of 100 000 results
    python benches/bulk.py --dir DIR              # on the file system that is there, which needs no root

The contenders of a table take turns on one file system; before each turn all that is dirty is written out, on
the whole machine where that is much, for `save_many` leaves syncfs alone where others' data waits.
A time is that of a whole batch, over its results: what stalls counts, on both sides of a ratio. A figure is
the median over the rounds of the ratio within a round. A missed target is said, and fails nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
from measure import Contender, Row, interleave, named, show
from sample import make_result

RESULT = make_result()
RECORD = encode(RESULT)
BATCH = 1000
BESIDE_SIDECARS = 200
AMID_FOREIGN = 100
WINDOW = 10_000
"""Results at the beginning and at the end of a long sweep."""
PROCESSES = 4
ONE_BY_ONE_SEC = 0.5
"""What is saved one by one goes on for so long at most: a thousand of them may take half a minute."""
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


@dataclass(frozen=True)
class Place:
    """Where to measure: a kind of fresh disk, or a directory that is there."""

    directory: Path
    """The directory, or where the images of disks go."""
    kind: str | None = None
    flush_ms: float = 0

    def __str__(self) -> str:
        """Name it."""
        if self.kind is None:
            return str(self.directory.resolve())
        flush = f"each flush takes {self.flush_ms:g} ms" if self.flush_ms else "flushes as they are"
        return f"fresh {self.kind}, {flush}"

    @contextlib.contextmanager
    def fresh(self, size: int = disks.SIZE) -> Iterator[Path]:
        """Give an empty directory, on a disk of its own where this is a kind of disk."""
        if self.kind is not None:
            with disks.disk(self.kind, self.directory, flush_ms=self.flush_ms, size=size) as root:
                yield root
            return
        with tempfile.TemporaryDirectory(prefix=".llem-bulk-", dir=self.directory) as temp:
            root = Path(temp)
            (root / ".gitignore").write_text("*\n", encoding="utf-8")
            yield root


def main() -> None:
    """Measure everything, and show it."""
    options = _parse()
    # A plain kill would leave disks behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    console = Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else 140)
    report = []
    for place in _places(options, console):
        report.append(_measure(place, options, console))
        if options.json not in (None, "-"):  # each as it comes: there are many minutes in it
            Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.json == "-":
        print(json.dumps(report, indent=2))


def _targets(place: Place, kind: str) -> tuple[float | None, float | None]:
    """Look up how far over the floor `save_many` may be, and how many times faster than one by one."""
    if place.flush_ms:
        return None, 50
    return {"ext4": (1.5, 8), "xfs": (1.5, 8), "btrfs": (None, 10)}.get(kind, (None, None))


def _measure(place: Place, options: argparse.Namespace, console: Console) -> dict[str, object]:
    with place.fresh() as root:
        about = {"record": f"{len(RECORD)} bytes", **machine.describe(root)}
    console.rule(f"[bold]{place}", align="left")
    for name, value in about.items():
        console.print(f"[bold]{name:>16}[/]  {value}", highlight=False)
    for warning in machine.warnings_of(about):
        console.print(f"[bold red]{warning}[/]")
    targets = _targets(place, about["file system"].partition(" ")[0])
    tables = {
        f"{BATCH} results": partial(thousand, place, targets, options.rounds),
        f"{BESIDE_SIDECARS} results with sidecars of 50 KB": partial(sidecars, place, options.rounds),
        f"{AMID_FOREIGN} results amid 1.5 GB of others' dirty pages": partial(foreign, place, options.rounds),
    }
    if options.long:
        tables[f"{options.long} results from a generator"] = partial(sweep, place, options.long)
    rows: list[Row] = []
    for title, measure in tables.items():
        try:
            measured = measure()
        except dirty.DirtyError as reason:
            console.print(f"[yellow]SKIP[/] {title}: {reason}")
            continue
        console.print(show(title, measured))
        rows += measured
    return {"disk": str(place), "machine": about, "rows": [row.as_json() for row in rows]}


def thousand(place: Place, targets: tuple[float | None, float | None], rounds: int) -> list[Row]:
    """Save a thousand results in each way, beside the floors."""
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(place.fresh())
        record = root / "record.json"
        record.write_bytes(RECORD)
        one, four = (stack.enter_context(Crew(count, record)) for count in (1, PROCESSES))
        ways: dict[str, Callable[[Path], float]] = {
            "floor": partial(_floor, durable=False),
            "dump": lambda _: _us(lambda: [encode(RESULT) for _ in range(BATCH)], BATCH),
            "durable floor": partial(_floor, durable=True),
            "save_many": _save_many,
            "F": partial(_save_many, engine="fsync"),
            "S": partial(_save_many, engine="syncfs"),
            "not durable": partial(_save_many, durable=False),
            "writer": _writer,
            "one process": lambda directory: _us(lambda: one.save(directory, BATCH), BATCH),
            "processes": lambda directory: _us(lambda: four.save(directory, BATCH // PROCESSES), BATCH),
        }
        times = _turns(root, ways, rounds)
    over_floor, over_one_by_one = targets
    floor, ours = times["floor"], times["save_many"]
    with_dump = [a + b for a, b in zip(floor, times["dump"], strict=True)]
    better = [min(pair) for pair in zip(times["F"], times["S"], strict=True)]
    return [
        Row.ratio("save_many ÷ floor that flushes nothing", ours, floor, over_floor),
        Row.faster(
            "save_many: times faster than the durable floor, one by one",
            ours,
            times["durable floor"],
            over_one_by_one,
        ),
        Row.ratio("save_many ÷ (floor that flushes nothing + dump)", ours, with_dump),
        Row.ratio("save_many, durable=False ÷ floor", times["not durable"], floor),
        Row.ratio("save_many by fsync alone ÷ floor that flushes nothing", times["F"], floor),
        Row.ratio("save_many by syncfs alone ÷ floor that flushes nothing", times["S"], floor),
        Row.ratio("save_many ÷ the faster of the two", ours, better),
        Row.faster("writer, one thread submits: rate ÷ that of save_many", times["writer"], ours, 0.9),
        Row.faster(
            f"{PROCESSES} processes, a writer each: rate ÷ that of one process",
            times["processes"],
            times["one process"],
            1.0,
        ),
    ]


def sidecars(place: Place, rounds: int) -> list[Row]:
    """Save results with sidecars, many at once and one by one."""
    with place.fresh() as root:
        source = _sidecar(root)

        def one_by_one(directory: Path) -> float:
            store = ResultStore(directory)
            return _one_by_one(lambda _: _ns(lambda: store.save(RESULT, source)), BESIDE_SIDECARS)

        many = partial(_save_many, count=BESIDE_SIDECARS, source=source)
        times = _turns(root, {"many": many, "one by one": one_by_one}, rounds)
    return [Row.faster("save_many: times faster than save", times["many"], times["one by one"], 3.0)]


def foreign(place: Place, rounds: int) -> list[Row]:
    """Save while somebody else's data waits for the same device."""
    with place.fresh() as root, dirty.limits_raised():
        others = root / "others"

        def amid(save: Callable[[Path], float], directory: Path) -> float:
            dirty.write(others)
            us = save(directory)
            others.unlink()  # drops its pages, unwritten
            return us

        batch = partial(_save_many, count=AMID_FOREIGN)
        ways: dict[str, Callable[[Path], float]] = {
            "save_many": partial(amid, batch),
            "F": partial(amid, partial(batch, engine="fsync")),
            "S": partial(amid, partial(batch, engine="syncfs")),
        }
        times = _turns(root, ways, min(rounds, 7))
    return [
        # Both do the same where the gate holds: a tenth is left to chance.
        Row.ratio("save_many ÷ save_many by fsync alone", times["save_many"], times["F"], 1.1),
        Row.ratio("save_many by syncfs alone ÷ by fsync alone", times["S"], times["F"]),
    ]


def sweep(place: Place, count: int) -> list[Row]:
    """Save a long sweep in a process of its own; beside it, the floor's."""
    with place.fresh(LONG_DISK) as root:
        record = root / "record.json"
        record.write_bytes(RECORD)
        ours, bare = root / "ours", root / "bare"
        bare.mkdir()
        command = [sys.executable, "-c", SWEEP, str(record), str(ours), str(count)]
        _settle(root)
        report = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        marks: list[tuple[int, int, int | None]] = json.loads(report)
        _settle(root)
        floor = _store.floor(str(bare), RECORD, start=0, count=count, durable=False)
    first = next(mark for mark in marks if mark[0] >= WINDOW)
    last = next(mark for mark in marks if mark[0] >= count - WINDOW)
    (done, began, _), (total, ended, peak) = marks[0], marks[-1]
    first_us = (first[1] - began) / (first[0] - done) / 1000
    last_us = (ended - last[1]) / (total - last[0]) / 1000
    early, late = (sum(each) / WINDOW / 1000 for each in (floor[:WINDOW], floor[-WINDOW:]))
    rows = [
        Row.ratio(f"save_many: last {WINDOW} ÷ first {WINDOW}, per result", [last_us], [first_us], 1.1),
        Row.ratio("the floor that flushes nothing: the same", [late], [early]),
    ]
    if peak is not None and first[2] is not None:
        grown = (peak - first[2]) * 1024 / (total - first[0])
        # The paths that are returned stay; a record would be 9 KB.
        rows.append(Row(f"peak memory: growth per result after the first {WINDOW}", [grown], "B", 1024.0))
    return rows


def _turns(root: Path, ways: dict[str, Callable[[Path], float]], rounds: int) -> dict[str, list[float]]:
    """Let each way save into a directory of its own in each round; microseconds a result."""

    def turn(way: Callable[[Path], float]) -> float:
        directory = Path(tempfile.mkdtemp(dir=root))
        _settle(root)
        return way(directory)

    contenders: list[Contender] = [named(name, partial(turn, way)) for name, way in ways.items()]
    interleave(contenders, 1)  # warm up
    return interleave(contenders, rounds)


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
    store._flush_method = engine  # noqa: SLF001 - it is there for tests and benches
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


def _floor(directory: Path, *, durable: bool) -> float:
    save = partial(_store.floor, str(directory), RECORD, durable=durable)
    if durable:
        return _one_by_one(lambda n: sum(save(start=n, count=1)), BATCH)
    return sum(save(start=0, count=BATCH)) / BATCH / 1000


def _one_by_one(save: Callable[[int], int], most: int) -> float:
    """Save that many or until the time is up; microseconds a save, from the nanoseconds of each."""
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


def _places(options: argparse.Namespace, console: Console) -> Iterable[Place]:
    if options.dir:
        return [Place(options.dir)]
    wanted = options.disk or [Place(Path(), kind, ms) for ms in (0, 5) for kind in disks.KINDS]
    places = []
    for disk in wanted:
        place = Place(options.scratch, disk.kind, disk.flush_ms)
        try:
            with place.fresh():  # root in a container may do all but mount
                places.append(place)
        except disks.UnavailableError as lacking:
            console.print(f"[yellow]SKIP[/] {place}: {lacking}")
    return places or [Place(Path())]


def _disk(argument: str) -> Place:
    kind, _, ms = argument.partition(":")
    if kind not in disks.KINDS:
        raise argparse.ArgumentTypeError(f"a disk is one of {', '.join(disks.KINDS)}")
    return Place(Path(), kind, float(ms or 0))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--disk",
        type=_disk,
        action="append",
        metavar="KIND[:MS]",
        help="a fresh disk, and what each flush takes at least; again for more (default: all)",
    )
    where.add_argument("--dir", type=Path, help="measure in this directory instead (without root: here)")
    parser.add_argument("--scratch", type=Path, default=disks.SCRATCH, help="where images go")
    parser.add_argument("--json", nargs="?", const="-", help="write all as JSON, to a file or stdout")
    parser.add_argument("--rounds", type=int, default=11, help="rounds (default: 11)")
    parser.add_argument(
        "--long", type=int, nargs="?", const=100_000, help="also a sweep of so many results (100 000)"
    )
    options = parser.parse_args()
    if options.long is not None and options.long < 2 * WINDOW:
        parser.error(f"a long sweep has {2 * WINDOW} results at least")
    return options


if __name__ == "__main__":
    main()
