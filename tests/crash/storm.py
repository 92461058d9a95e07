"""Eight processes that save, each in its own way, and are killed and replaced; and others that read.

Run as a script, with the directory, the number of kills and a Parquet file, it prints what it found as one
line of JSON. `BESIDE` is the place for whatever else is to run beside savers.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

HANG = 120.0
A_ROUND = 25
"""Kills after which the directory is looked at, and a new one begun: readers read all of it every time."""
LEFT = {"result.json", "timeseries.parquet", ".result.json.tmp", ".timeseries.parquet.tmp"}
STARTED = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
NUMBERS = 1_000_000
"""Results that one process may save."""

Say = Callable[[str], None]


def result(number: int) -> ExperimentResult:
    return ExperimentResult(
        experiment_id=f"{number}",
        measurement_config_hash="0123456789abcdef",
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


BESIDE: list[Callable[[ResultStore, Say], None]] = [load_all, load_all]
"""What runs beside the savers until it is killed; it says `wrong ...` of what must not be, and `read n`."""


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
            store._engine = engine
            numbers = iter(range(first, first + NUMBERS))
            save(store, numbers, say, self._sources[source], durable=durable)

        return Process(work)

    def _beside_them(self, work: Callable[[ResultStore, Say], None]) -> Callable[[Say], None]:
        return lambda say: work(ResultStore(self._root), say)

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
        elif word == "read":
            found["read"] += int(rest)
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


def main() -> None:
    top, kills, parquet = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    chance = random.Random(int(os.environ.get("LLEM_CRASH_SEED", "1")))
    arrow = Timeseries(timestamp_s=[0.0] * 9, gpu_index=[0] * 9, power_w=[1.5] * 9)
    sources = {"none": None, "file": parquet, "arrow": arrow}
    found: dict[str, Any] = {"torn": [], "missing": [], "overwritten": [], "wrong": []}
    found |= {"kills": 0, "acknowledged": 0, "there": 0, "unfinished": 0, "read": 0}
    for first in range(0, kills, A_ROUND):
        root = top / f"{first}"
        storm = Storm(root, sources, chance)
        try:
            for _ in range(min(A_ROUND, kills - first)):
                storm.kill_one()
                found["kills"] += 1
        finally:
            said = storm.end()
        examine(root, said, found)
        shutil.rmtree(root)
    print(json.dumps(found))  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
