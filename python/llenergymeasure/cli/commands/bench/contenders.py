"""The contenders: each way of saving and loading, and the baselines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llenergymeasure import _store
from llenergymeasure.cli.commands.bench.crew import Crew
from llenergymeasure.cli.commands.bench.record import encode
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.store import ResultStore

PROCESSES = 4
_THREADS = (4, 16)
_BATCHES = (1, 8, 64, 256, 1000, 10_000, 100_000)
_FEW = 128
"""Results of a turn without a larger batch, so that a turn does not fill the disk."""
_SAVES_A_CALL = {True: 4, False: 32}
"""Baseline saves, durable or not, between two checks of the clock and of Ctrl-C."""


@dataclass(frozen=True)
class Way:
    """A way of saving or loading `batch` results in one call or between two flushes."""

    name: str
    durable: bool | None = None
    batch: int = 1
    threads: int = 1
    processes: int = 1


BASELINE = Way("baseline", durable=False)
DURABLE_BASELINE = Way("baseline", durable=True)
DUMP = Way("dump")
READ = Way("read")
LOAD = Way("load")


@dataclass(frozen=True)
class Bench:
    """Input shared by the contenders: the result to save, saved ones to load, and the other processes."""

    result: ExperimentResult
    paths: list[Path]
    crew: Crew


@dataclass
class Turn:
    """One turn of a contender, which ends after its time or its greatest number of results."""

    bench: Bench
    root: Path
    most: int
    ends_ns: int
    results: int = 0
    spent_ns: int = 0

    def another(self, count: int = 1) -> bool:
        """Count more results, and return True, unless the turn is over; the first call always succeeds."""
        if self.results and (self.results + count > self.most or time.perf_counter_ns() > self.ends_ns):
            return False
        self.results += count
        return True


@dataclass(frozen=True)
class Contender:
    """A way, the function that takes a turn, and the greatest number of results of a turn."""

    way: Way
    take: Callable[[Turn], None]
    most: int

    @property
    def saves(self) -> bool:
        """True if its results are written to disk."""
        return self.way.durable is not None


def contenders(results: int) -> list[Contender]:
    """Return all contenders, with batches of up to that many results."""
    few = min(results, _FEW)
    batches = [(batch, max(batch, few // batch * batch)) for batch in _batches(results)]
    listed = [
        Contender(DUMP, _dump, few),
        Contender(READ, partial(_load, _read_plainly), few),
        Contender(LOAD, partial(_load, ResultStore(".").load), few),
    ]
    for durable in (True, False):
        listed += [
            Contender(Way("baseline", durable), partial(_baseline, durable=durable), few),
            Contender(Way("save", durable), partial(_save, durable=durable), few),
            *(
                Contender(Way("save_many", durable, batch), partial(_save_many, batch, durable=durable), most)
                for batch, most in batches
            ),
        ]
    return [
        *listed,
        *(
            Contender(Way("writer", durable=True, batch=batch), partial(_writer, batch), most)
            for batch, most in batches
        ),
        *(
            Contender(
                Way("writer", durable=True, batch=results, threads=threads),
                partial(_threads, results, threads),
                results,
            )
            for threads in _THREADS
        ),
        Contender(
            Way("writer", durable=True, batch=results, processes=PROCESSES),
            partial(_processes, results),
            -(-results // PROCESSES) * PROCESSES,
        ),
    ]


def _batches(results: int) -> list[int]:
    """Return sizes of batches up to the greatest, without one close to it."""
    return [*(batch for batch in _BATCHES if 2 * batch <= results), results]


def _timed(turn: Turn, operation: Callable[[], object]) -> None:
    begin = time.perf_counter_ns()
    operation()
    turn.spent_ns += time.perf_counter_ns() - begin


def _dump(turn: Turn) -> None:
    result = turn.bench.result
    while turn.another():
        _timed(turn, lambda: encode(result))


def _read_plainly(path: Path) -> ExperimentResult:
    with open(path, "rb") as file:  # noqa: PTH123 - the baseline avoids the cost of Path
        return ExperimentResult.model_validate_json(file.read())


def _load(load: Callable[[Path], object], turn: Turn) -> None:
    paths = turn.bench.paths
    while turn.another():
        _timed(turn, partial(load, paths[turn.results % len(paths)]))


def _baseline(turn: Turn, *, durable: bool) -> None:
    root, record = str(turn.root), encode(turn.bench.result)
    count = min(_SAVES_A_CALL[durable], turn.most)
    while turn.another(count):
        start = turn.results - count
        turn.spent_ns += sum(_store.baseline_save(root, record, start=start, count=count, durable=durable))


def _save(turn: Turn, *, durable: bool) -> None:
    store, result = ResultStore(turn.root), turn.bench.result
    while turn.another():
        _timed(turn, lambda: store.save(result, durable=durable))


def _save_many(batch: int, turn: Turn, *, durable: bool) -> None:
    store, results = ResultStore(turn.root), [turn.bench.result] * batch
    while turn.another(batch):
        _timed(turn, lambda: store.save_many(results, durable=durable))


def _writer(batch: int, turn: Turn) -> None:
    """Submit and flush alternately, including the time to open and close the writer."""

    def submit() -> None:
        with ResultStore(turn.root).writer() as writer:
            while turn.another(batch):
                for _ in range(batch):
                    writer.submit(turn.bench.result)
                writer.flush()

    _timed(turn, submit)


def _threads(results: int, threads: int, turn: Turn) -> None:
    """Submit from several threads to one writer, and close it."""
    turn.another(results)
    begin = threading.Barrier(threads + 1)
    stop = threading.Event()

    def feed(count: int) -> None:
        begin.wait()
        for _ in range(count):
            if stop.is_set():
                return
            writer.submit(turn.bench.result)

    def release_and_wait() -> None:
        begin.wait()
        for feeder in feeders:
            feeder.result()
        writer.close()

    with ThreadPoolExecutor(threads) as pool, ResultStore(turn.root).writer() as writer:
        share, rest = divmod(results, threads)
        feeders = [pool.submit(feed, share + (number < rest)) for number in range(threads)]
        try:
            _timed(turn, release_and_wait)
        except BaseException:  # on Ctrl-C too, because the threads would submit all their results first
            stop.set()
            begin.abort()
            raise


def _processes(results: int, turn: Turn) -> None:
    crew = turn.bench.crew
    each = -(-results // len(crew))
    turn.another(each * len(crew))
    _timed(turn, lambda: crew.save(turn.root, each))
