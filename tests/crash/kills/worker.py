"""Eight processes that save, each in its own way, and are killed and replaced; others that read and clean.

Run as a script, with the directory, the number of kills and a Parquet file, it prints what it found as one
line of JSON. `BESIDE` is the place for whatever else is to run beside savers. When all are dead, what they
left is looked over and cleaned.
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
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

HANG = 120.0
A_ROUND = 25
"""Kills after which the directory is looked at, and a new one begun: readers read all of it every time."""
RESULT = {"result.json", "timeseries.parquet"}
LEFT = RESULT | {".result.json.tmp", ".timeseries.parquet.tmp"}
TRACES = {250.0: 1000, 1.5: 9}
"""Rows of a power trace, by the power that all of them have: the file that is given, and one from memory."""
STARTED = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
ROW = ("experiment_id", "total_tokens", "measurement_config_hash", "has_timeseries")
NUMBERS = 1_000_000
"""Results that one process may save."""

Say = Callable[[str], None]


def result(number: int) -> ExperimentResult:
    return ExperimentResult(
        experiment_id=f"{number}",
        measurement_config_hash=f"{number:016x}",
        measurement_methodology="total",
        total_tokens=number,
        total_energy_j=12.5,
        total_inference_time_sec=3.25,
        avg_tokens_per_second=307.7,
        avg_energy_per_token_j=0.0125,
        total_flops=0.0,
        start_time=STARTED,
        end_time=STARTED,
        effective_config={"model": "org/Model", "padding": f"{number} " * 500},
    )


# The ways to save; each tells `number directory` as soon as a result is acknowledged.


def save_singly(store: ResultStore, numbers: Iterator[int], say: Say, source: Any, *, durable: bool) -> None:
    for number in numbers:
        path = store.save(result(number), source, durable=durable)
        say(f"{number} {path.parent.name}")


def save_many(store: ResultStore, numbers: Iterator[int], say: Say, source: Any, *, durable: bool) -> None:
    while True:
        batch = list(itertools.islice(numbers, 20))
        sources = [source if number % 4 == 0 else None for number in batch]
        saved = store.save_many(map(result, batch), timeseries_sources=sources, durable=durable)
        for number, path in zip(batch, saved, strict=True):
            say(f"{number} {path.parent.name}")


def write(store: ResultStore, numbers: Iterator[int], say: Say, source: Any, *, durable: bool) -> None:
    with store.writer(durable=durable) as writer:
        for number in numbers:
            future = writer.submit(result(number), source if number % 4 == 0 else None)
            future.add_done_callback(
                lambda future, number=number: say(f"{number} {future.result().parent.name}")  # type: ignore[misc]
            )


WAYS: list[tuple[Callable[..., None], str, str | None, bool]] = [
    # How, with which sidecar, with which engine, durable or not.
    (save_singly, "none", None, True),
    (save_singly, "none", None, False),
    (save_singly, "file", None, True),
    (save_singly, "arrow", None, True),
    (save_many, "file", "fsync", True),
    (save_many, "arrow", "syncfs", True),
    (write, "file", "fsync", True),
    (write, "none", "syncfs", True),
]


def load_all(store: ResultStore, say: Say) -> None:
    """Load every result that there is, over and over; say what was wrong, and how many were read."""
    while True:
        read = 0
        for record in store.root.glob("*/result.json"):
            try:
                loaded = store.load(record, missing_sidecar="error")
                if loaded.total_tokens != int(loaded.experiment_id):
                    say(f"wrong {record} is not what anybody saved")
            except Exception as error:  # noqa: BLE001 - whatever a reader gets is what is tested
                say(f"wrong {record}: {type(error).__name__}: {error}")
            read += 1
        say(f"read {read}")


def scan_all(store: ResultStore, say: Say) -> None:
    """Scan all that there is in each way, over and over; what one scan has found, those after it find too."""
    warnings.simplefilter("error")  # that a file is no result
    known: set[str] = set()
    while True:
        rows = store.scan(ROW, on_error="raise").to_pydict()
        for number, tokens, config in zip(*(rows[name] for name in ROW[:3]), strict=True):
            if (tokens, config) != (int(number), f"{int(number):016x}"):
                say(f"wrong a scan gives {number} with {tokens} and {config}, which is what nobody saved")
        lost = known - set(rows["experiment_id"])
        known = set(rows["experiment_id"])
        if lost or len(known) != len(rows["experiment_id"]):
            say(f"wrong a scan lacks {sorted(lost)[:3]}, or has results twice")
        if lost := known - {f"{int(config, 16)}" for config in store.completed()}:
            say(f"wrong {sorted(lost)[:3]} are there and not completed")
        having = zip(rows["experiment_id"], rows["has_timeseries"], strict=True)
        check_traces(store, say, {number for number, has in having if has})
        say(f"scanned {len(known)}")


def check_traces(store: ResultStore, say: Say, known: set[str]) -> None:
    """Scan all power traces: those that are known are there, and each is whole."""
    rows: Counter[tuple[str, float]] = Counter()
    for batch in store.scan_timeseries(["experiment_id", "power_w"], on_error="raise"):
        columns = batch.to_pydict()
        rows.update(zip(columns["experiment_id"], columns["power_w"], strict=True))
    if lost := known - {number for number, _ in rows}:
        say(f"wrong power traces of {sorted(lost)[:3]} are not found")
    for (number, power), count in rows.items():
        if count != TRACES.get(power):
            say(
                f"wrong the power trace of {number} has {count} rows of {power} W, which is what nobody saved"
            )


def clean_young(store: ResultStore, say: Say) -> None:
    """Clean what is a day old, over and over: nothing is, whatever savers leave."""
    while True:
        cleaning = store.clean(dry_run=False)
        if cleaning.removed or cleaning.restored or cleaning.kept:
            say(f"wrong a cleaner beside savers has done something: {cleaning}")
        say("cleaned 1")


BESIDE: list[Callable[[ResultStore, Say], None]] = [load_all, load_all, scan_all, clean_young]
"""What runs beside the savers until it is killed; it says `wrong ...` of what must not be, and what it did:
a word of `COUNTED` and a number."""
COUNTED = ("read", "scanned", "cleaned")


class Process:
    """A fork that does something until it is killed, and what it has said."""

    def __init__(self, work: Callable[[Say], None]) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self.pipe, ours = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            end_with_parent(work, ours)
        os.close(ours)

    def listen(self) -> bool:
        """Take in what it says; returns whether there may be more."""
        data = os.read(self.pipe, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return bool(data)

    def kill(self) -> None:
        """Kill it, and take in the rest."""
        os.kill(self.pid, signal.SIGKILL)
        while self.listen():
            pass
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSIGNALED(status):
            self.lines.append(f"wrong a process ended by itself, with status {status}")


def end_with_parent(work: Callable[[Say], None], pipe: int) -> NoReturn:
    """Do something, and never return to what the parent does."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody listens any more: end
    try:
        # One call for one line: whole, or not said at all.
        work(lambda line: none(os.write(pipe, line.encode() + b"\n")))
    except BaseException as error:  # noqa: BLE001 - whatever came out is what is tested
        os.write(pipe, f"wrong {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def none(_: int) -> None:
    pass


class Storm:
    """Savers, what runs beside them, and all that they said."""

    def __init__(self, root: Path, sources: dict[str, Any], chance: random.Random) -> None:
        self._root, self._sources, self._chance = root, sources, chance
        self._incarnations = itertools.count()
        self._savers = [self._saver(way) for way in range(len(WAYS))]
        self._beside = [Process(self._beside_them(work)) for work in BESIDE]
        self._said: list[str] = []

    def _saver(self, way: int) -> Process:
        save, source, engine, durable = WAYS[way]
        first = next(self._incarnations) * NUMBERS

        def work(say: Say) -> None:
            store = ResultStore(self._root)
            store._flush_method = engine
            numbers = iter(range(first, first + NUMBERS))
            save(store, numbers, say, self._sources[source], durable=durable)

        return Process(work)

    def _beside_them(self, work: Callable[[ResultStore, Say], None]) -> Callable[[Say], None]:
        def begin(say: Say) -> None:
            while not self._root.exists():
                time.sleep(0.001)
            work(ResultStore(self._root), say)

        return begin

    def kill_one(self) -> None:
        """Kill a saver in the middle of its work, and replace it."""
        self._listen(self._chance.uniform(0, 0.04))
        until = time.monotonic() + HANG
        while not (ready := [way for way, saver in enumerate(self._savers) if saver.lines]):
            self._listen(0.1)
            if time.monotonic() > until:
                raise RuntimeError("nothing is saved")
        way = self._chance.choice(ready)
        self._savers[way].kill()
        self._said += self._savers[way].lines
        self._savers[way] = self._saver(way)

    def hear_all(self) -> None:
        """Stop the savers in the middle, and wait until all that run beside them have seen everything twice.

        On a busy machine they would see nothing else, for savers are quicker than any who read it all.
        """
        for saver in self._savers:
            os.kill(saver.pid, signal.SIGSTOP)
        until = time.monotonic() + HANG
        while min(len(process.lines) for process in self._beside) < 2:
            self._listen(0.1)
            if time.monotonic() > until:
                raise RuntimeError("a reader or a cleaner hangs")

    def _listen(self, seconds: float) -> None:
        """Take in what is said in this time: kills come at any point of a save."""
        everyone = {process.pipe: process for process in (*self._savers, *self._beside)}
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for pipe in select.select(everyone, [], [], left)[0]:
                if not everyone[pipe].listen():
                    raise RuntimeError(f"a process has ended by itself: {everyone[pipe].lines[-1:]}")

    def end(self) -> list[str]:
        """Kill them all, and return everything that was said."""
        for process in (*self._savers, *self._beside):
            process.kill()
            self._said += process.lines
        return self._said


def examine(root: Path, said: list[str], found: dict[str, Any]) -> None:
    """Compare what was said with what is there."""
    acknowledged = acknowledgements(said, found)
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
        found["wrong"].append("a result is there twice")
    found["acknowledged"] += len(acknowledged)
    found["there"] += len(there)


def acknowledgements(said: list[str], found: dict[str, Any]) -> dict[str, str]:
    """The numbers of the results that were acknowledged, by their directories."""
    acknowledged: dict[str, str] = {}
    for line in said:
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
    """The number of the result in a directory; None where there is none, or none that is whole."""
    names = {path.name for path in directory.iterdir()}
    if names - LEFT:
        found["wrong"].append(f"{directory} has {names - LEFT}")
    if "result.json" not in names:
        found["unfinished"] += 1
        return None
    try:
        loaded = ResultStore(directory.parent).load(directory, missing_sidecar="error")
    except Exception as error:  # noqa: BLE001 - as in `load_all`
        found["torn"].append(f"{directory}: {error}")
        return None
    if loaded.model_copy(update={"timeseries": None}) != result(int(loaded.experiment_id)):
        found["torn"].append(f"{directory} is not what was saved")
    return loaded.experiment_id


def look_over(root: Path, found: dict[str, Any]) -> None:
    """Verify and clean what dead savers left: what has no record is told of, and taken away; nothing else."""
    store, before = ResultStore(root), fingerprints(root)
    results = {directory for directory in root.iterdir() if directory / "result.json" in before}
    half_made = set(root.iterdir()) - results
    seen = store.verify(deep=True)
    if not seen.ok or seen.foreign or seen.complete != len(results):
        found["wrong"].append(f"of {len(results)} results: {seen}, {seen.damaged[:3]}, {seen.foreign[:3]}")
    if (told := {path for path, _ in seen.incomplete}) != half_made:
        found["wrong"].append(f"verify tells of {told - half_made}, and not of {half_made - told}")
    cleaning = store.clean(older_than=timedelta(0), dry_run=False)
    if (gone := {path for path, _ in cleaning.removed}) != half_made:
        found["wrong"].append(f"clean takes {gone - half_made}, and leaves {half_made - gone}: {cleaning}")
    kept = {path: what for path, what in before.items() if path in results or path.parent in results}
    if fingerprints(root) != kept or {path.name for path in kept.keys() - results} - RESULT:
        found["wrong"].append("after clean there is more, or less, or other, than the results")
    again = store.clean(older_than=timedelta(0), dry_run=False)
    if (again.removed, again.restored, again.young, again.kept) != ([], [], [], []):
        found["wrong"].append(f"a second clean finds something: {again}")
    found["cleaned away"] += len(gone)


def fingerprints(root: Path) -> dict[Path, str]:
    """Everything below a directory; of a file a hash of what is in it, of a directory nothing."""
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
    found |= {"kills": 0, "acknowledged": 0, "there": 0, "unfinished": 0, "cleaned away": 0}
    found |= dict.fromkeys(COUNTED, 0)
    for first in range(0, kills, A_ROUND):
        root = top / f"{first}"
        storm = Storm(root, sources, chance)
        try:
            for _ in range(min(A_ROUND, kills - first)):
                storm.kill_one()
                found["kills"] += 1
            storm.hear_all()
        finally:
            said = storm.end()
        examine(root, said, found)
        look_over(root, found)
        shutil.rmtree(root)
    print(json.dumps(found))  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
