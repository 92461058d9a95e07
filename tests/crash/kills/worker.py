"""Eight processes that save, each in its own way, and are killed and replaced; others read and clean.

Run as a script, with a directory, the number of kills and a Parquet file, it prints its findings as one line
of JSON. `OBSERVERS` run next to the savers. After each round, the script verifies and cleans the leftovers.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import select
import shutil
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.results import make_padded_result

HANG = 120.0
KILLS_PER_ROUND = 25
"""Kills per root; a round checks its root and starts a new one, because readers read everything each time."""
RESULT = {"result.json", "timeseries.parquet"}
FILES = RESULT | {".result.json.tmp", ".timeseries.parquet.tmp"}
TRACES = {250.0: 1000, 1.5: 9}
"""Rows of a power trace, by its constant power: of the given file, and of the one from memory."""
ROW = ("experiment_id", "total_tokens", "measurement_config_hash", "has_timeseries")
NUMBERS = 1_000_000
"""Numbers of results that belong to one process."""

Report = Callable[[str], None]


def result(number: int) -> ExperimentResult:
    return make_padded_result(
        f"{number}", 4000, measurement_config_hash=f"{number:016x}", total_tokens=number
    )


def save_singly(
    store: ResultStore, numbers: Iterator[int], report: Report, source: Any, *, durable: bool
) -> None:
    for number in numbers:
        path = store.save(result(number), source, durable=durable)
        report(f"{number} {path.parent.name}")


def save_many(
    store: ResultStore, numbers: Iterator[int], report: Report, source: Any, *, durable: bool
) -> None:
    while True:
        batch = list(itertools.islice(numbers, 20))
        sources = [source if number % 4 == 0 else None for number in batch]
        saved = store.save_many(map(result, batch), timeseries_sources=sources, durable=durable)
        for number, path in zip(batch, saved, strict=True):
            report(f"{number} {path.parent.name}")


def write(store: ResultStore, numbers: Iterator[int], report: Report, source: Any, *, durable: bool) -> None:
    with store.writer(durable=durable) as writer:
        for number in numbers:
            future = writer.submit(result(number), source if number % 4 == 0 else None)
            future.add_done_callback(
                lambda future, number=number: report(f"{number} {future.result().parent.name}")  # type: ignore[misc]
            )


WAYS: list[tuple[Callable[..., None], str, str | None, bool]] = [
    # The function, the source, the flush method, and whether saves are durable.
    (save_singly, "none", None, True),
    (save_singly, "none", None, False),
    (save_singly, "file", None, True),
    (save_singly, "arrow", None, True),
    (save_many, "file", "fsync", True),
    (save_many, "arrow", "syncfs", True),
    (write, "file", "fsync", True),
    (write, "none", "syncfs", True),
]


def load_all(store: ResultStore, report: Report) -> None:
    """Load every result, over and over; report errors, and the number of loads."""
    while True:
        read = 0
        for record in store.root.glob("*/result.json"):
            try:
                loaded = store.load(record, missing_sidecar="error")
                if loaded.total_tokens != int(loaded.experiment_id):
                    report(f"wrong {record} is not a saved result")
            except Exception as error:  # noqa: BLE001 - every error of a reader is a finding
                report(f"wrong {record}: {type(error).__name__}: {error}")
            read += 1
        report(f"read {read}")


def scan_all(store: ResultStore, report: Report) -> None:
    """Scan everything in each way, over and over; no scan may lose a result of an earlier one."""
    warnings.simplefilter("error")  # also about an invalid result file
    known: set[str] = set()
    while True:
        rows = store.scan(ROW, on_error="raise").to_pydict()
        for number, tokens, config in zip(*(rows[name] for name in ROW[:3]), strict=True):
            if (tokens, config) != (int(number), f"{int(number):016x}"):
                report(f"wrong a scan gives {number} with {tokens} and {config}, which was never saved")
        lost = known - set(rows["experiment_id"])
        known = set(rows["experiment_id"])
        if lost or len(known) != len(rows["experiment_id"]):
            report(f"wrong a scan lacks {sorted(lost)[:3]}, or has results twice")
        if lost := known - {f"{int(config, 16)}" for config in store.completed()}:
            report(f"wrong {sorted(lost)[:3]} exist and are not completed")
        having = zip(rows["experiment_id"], rows["has_timeseries"], strict=True)
        check_traces(store, report, {number for number, has in having if has})
        report(f"scanned {len(known)}")


def check_traces(store: ResultStore, report: Report, known: set[str]) -> None:
    """Scan all power traces: every known one is there, and each is complete."""
    rows: Counter[tuple[str, float]] = Counter()
    for batch in store.scan_timeseries(["experiment_id", "power_w"], on_error="raise"):
        columns = batch.to_pydict()
        rows.update(zip(columns["experiment_id"], columns["power_w"], strict=True))
    if lost := known - {number for number, _ in rows}:
        report(f"wrong power traces of {sorted(lost)[:3]} are not found")
    for (number, power), count in rows.items():
        if count != TRACES.get(power):
            report(f"wrong the power trace of {number} has {count} rows of {power} W, which was never saved")


def clean_young(store: ResultStore, report: Report) -> None:
    """Clean leftovers older than a day, over and over: no leftover here is."""
    while True:
        cleaning = store.clean(dry_run=False)
        if cleaning.removed or cleaning.restored or cleaning.kept:
            report(f"wrong a cleaner next to savers has changed something: {cleaning}")
        report("cleaned 1")


OBSERVERS: list[Callable[[ResultStore, Report], None]] = [load_all, load_all, scan_all, clean_young]
"""Functions that run next to the savers; each reports `wrong ...`, or a word of `COUNTED` and a number."""
COUNTED = ("read", "scanned", "cleaned")


class Process:
    """A fork that works until it is killed, and its reports."""

    def __init__(self, work: Callable[[Report], None]) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self.pipe, ours = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            end_with_parent(work, ours)
        os.close(ours)

    def read(self) -> bool:
        """Read its reports; return whether there may be more."""
        data = os.read(self.pipe, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return bool(data)

    def kill(self) -> None:
        """Kill the process, and read the rest of its reports."""
        os.kill(self.pid, signal.SIGKILL)
        while self.read():
            pass
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSIGNALED(status):
            self.lines.append(f"wrong a process ended by itself, with status {status}")


def end_with_parent(work: Callable[[Report], None], pipe: int) -> NoReturn:
    """Work, and never return to the code of the parent."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end when the parent does
    try:
        # One call per line, so that a killed process reports a line completely or not at all.
        work(lambda line: ignore(os.write(pipe, line.encode() + b"\n")))
    except BaseException as error:  # noqa: BLE001 - every error is a finding
        os.write(pipe, f"wrong {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def ignore(_: int) -> None:
    pass


class KillRun:
    """Savers, observers, and their reports."""

    def __init__(self, root: Path, sources: dict[str, Any], chance: random.Random) -> None:
        self._root, self._sources, self._chance = root, sources, chance
        self._incarnations = itertools.count()
        self._savers = [self._saver(way) for way in range(len(WAYS))]
        self._observers = [Process(self._observer(work)) for work in OBSERVERS]
        self._lines: list[str] = []

    def _saver(self, way: int) -> Process:
        save, source, flush_method, durable = WAYS[way]
        first = next(self._incarnations) * NUMBERS

        def work(report: Report) -> None:
            store = ResultStore(self._root)
            store._flush_method = flush_method
            numbers = iter(range(first, first + NUMBERS))
            save(store, numbers, report, self._sources[source], durable=durable)

        return Process(work)

    def _observer(self, work: Callable[[ResultStore, Report], None]) -> Callable[[Report], None]:
        def begin(report: Report) -> None:
            while not self._root.exists():
                time.sleep(0.001)
            work(ResultStore(self._root), report)

        return begin

    def kill_one(self) -> None:
        """Kill a saver during its work, and replace it."""
        self._read_all(self._chance.uniform(0, 0.04))
        until = time.monotonic() + HANG
        while not (ready := [way for way, saver in enumerate(self._savers) if saver.lines]):
            self._read_all(0.1)
            if time.monotonic() > until:
                raise RuntimeError("nothing is saved")
        way = self._chance.choice(ready)
        self._savers[way].kill()
        self._lines += self._savers[way].lines
        self._savers[way] = self._saver(way)

    def wait_for_observers(self) -> None:
        """Stop the savers, and wait until every observer has seen everything twice.

        On a busy machine, observers never keep up with running savers.
        """
        for saver in self._savers:
            os.kill(saver.pid, signal.SIGSTOP)
        until = time.monotonic() + HANG
        while min(len(process.lines) for process in self._observers) < 2:
            self._read_all(0.1)
            if time.monotonic() > until:
                raise RuntimeError("a reader or a cleaner hangs")

    def _read_all(self, seconds: float) -> None:
        """Read reports for some seconds, so that kills come at any point of a save."""
        everyone = {process.pipe: process for process in (*self._savers, *self._observers)}
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for pipe in select.select(everyone, [], [], left)[0]:
                if not everyone[pipe].read():
                    raise RuntimeError(f"a process ended by itself: {everyone[pipe].lines[-1:]}")

    def end(self) -> list[str]:
        """Kill all processes, and return their reports."""
        for process in (*self._savers, *self._observers):
            process.kill()
            self._lines += process.lines
        return self._lines


def check_results(root: Path, lines: list[str], found: dict[str, Any]) -> None:
    """Compare the acknowledgements with the tree."""
    acknowledged = acknowledgements(lines, found)
    there = {
        directory.name: number
        for directory in root.iterdir()
        if (number := number_in(directory, found)) is not None
    }
    for name, number in acknowledged.items():
        if there.get(name) != number:
            kind = "overwritten" if name in there else "missing"
            found[kind].append(f"{name} was acknowledged for {number}, and has {there.get(name)}")
    if len(set(there.values())) != len(there):
        found["wrong"].append("a result exists twice")
    found["acknowledged"] += len(acknowledged)
    found["there"] += len(there)


def acknowledgements(lines: list[str], found: dict[str, Any]) -> dict[str, str]:
    """Return the numbers of the acknowledged results, by directory."""
    acknowledged: dict[str, str] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "wrong":
            found["wrong"].append(rest)
        elif word in COUNTED:
            found[word] += int(rest)
        elif rest in acknowledged:
            found["overwritten"].append(f"{rest} was given to {acknowledged[rest]} and to {word}")
        else:
            acknowledged[rest] = word
    return acknowledged


def number_in(directory: Path, found: dict[str, Any]) -> str | None:
    """Return the number of the result in a directory; None without a complete result."""
    names = {path.name for path in directory.iterdir()}
    if names - FILES:
        found["wrong"].append(f"{directory} has {names - FILES}")
    if "result.json" not in names:
        found["leftovers"] += 1
        return None
    try:
        loaded = ResultStore(directory.parent).load(directory, missing_sidecar="error")
    except Exception as error:  # noqa: BLE001 - as in `load_all`
        found["torn"].append(f"{directory}: {error}")
        return None
    if loaded.model_copy(update={"timeseries": None}) != result(int(loaded.experiment_id)):
        found["torn"].append(f"{directory} is not what was saved")
    return loaded.experiment_id


def check_leftovers(root: Path, found: dict[str, Any]) -> None:
    """Check that `verify` reports, and `clean` removes, exactly the directories without a record."""
    store, before = ResultStore(root), fingerprints(root)
    results = {directory for directory in root.iterdir() if directory / "result.json" in before}
    leftovers = set(root.iterdir()) - results
    seen = store.verify(deep=True)
    if not seen.ok or seen.foreign or seen.complete != len(results):
        found["wrong"].append(f"of {len(results)} results: {seen}, {seen.damaged[:3]}, {seen.foreign[:3]}")
    if (reported := {path for path, _ in seen.incomplete}) != leftovers:
        found["wrong"].append(f"verify reports {reported - leftovers}, and not of {leftovers - reported}")
    cleaning = store.clean(older_than=timedelta(0), dry_run=False)
    if (gone := {path for path, _ in cleaning.removed}) != leftovers:
        found["wrong"].append(f"clean removes {gone - leftovers}, and leaves {leftovers - gone}: {cleaning}")
    kept = {path: what for path, what in before.items() if path in results or path.parent in results}
    if fingerprints(root) != kept or {path.name for path in kept.keys() - results} - RESULT:
        found["wrong"].append("after clean the tree differs from the results")
    again = store.clean(older_than=timedelta(0), dry_run=False)
    if (again.removed, again.restored, again.young, again.kept) != ([], [], [], []):
        found["wrong"].append(f"a second clean changes something: {again}")
    found["cleaned away"] += len(gone)


def fingerprints(root: Path) -> dict[Path, str]:
    """Return everything below a directory, with the hash of each file."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in root.rglob("*")
    }


def main() -> None:
    top, kills, parquet = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    chance = random.Random(int(os.environ.get("LLEM_CRASH_SEED", "1")))
    arrow = Timeseries(timestamp_s=[0.0] * 9, gpu_index=[0] * 9, power_w=[1.5] * 9)
    sources = {"none": None, "file": parquet, "arrow": arrow}
    found: dict[str, Any] = {"torn": [], "missing": [], "overwritten": [], "wrong": []}
    found |= {"kills": 0, "acknowledged": 0, "there": 0, "leftovers": 0, "cleaned away": 0}
    found |= dict.fromkeys(COUNTED, 0)
    for first in range(0, kills, KILLS_PER_ROUND):
        root = top / f"{first}"
        run = KillRun(root, sources, chance)
        try:
            for _ in range(min(KILLS_PER_ROUND, kills - first)):
                run.kill_one()
                found["kills"] += 1
            run.wait_for_observers()
        finally:
            lines = run.end()
        check_results(root, lines, found)
        check_leftovers(root, found)
        shutil.rmtree(root)
    print(json.dumps(found))  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
