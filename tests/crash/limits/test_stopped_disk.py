"""File systems that become read-only, or stop, in the middle of a batch."""

from __future__ import annotations

import errno as codes
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SidecarError
from support.disks import Disk
from support.processes import HANG

Number = Callable[..., ExperimentResult]
Records = Callable[[Path], dict[Path, int]]

FLUSH_METHODS = ["fsync", "syncfs"]
MEGABYTES = {"ext4": 100, "xfs": 300, "btrfs": 128}
SOME = 40
"""Results that are acknowledged before the disk stops, and results that are submitted after it."""


class ResultsAroundStop:
    """Results that are submitted before and after their disk stops.

    The disk stops with results in flight, after others were acknowledged. A remount waits until no file is
    open for writing, which is between two batches.
    """

    def __init__(
        self, number: Callable[[int], ExperimentResult], sources: list[Any], stop: Callable[[], None]
    ):
        self._number = number
        self._sources = sources
        self._stop = stop
        self._done = 0
        self.submitted = 0
        self.acknowledged: list[Path] = []

    def progress(self, done: int, _: int | None = None) -> None:
        self._done = done

    def acknowledge(self, future: Future[Path]) -> None:
        if future.exception() is None:
            self.acknowledged.append(future.result())
        self.progress(len(self.acknowledged))

    def _some(self) -> Iterator[tuple[ExperimentResult, Any]]:
        for _ in range(SOME):
            yield self._number(self.submitted), self._sources[self.submitted % len(self._sources)]
            self.submitted += 1

    def __iter__(self) -> Iterator[tuple[ExperimentResult, Any]]:
        while self._done < SOME:
            yield from self._some()
            time.sleep(0.01)  # else the queue fills up before the first acknowledgement
        yield from self._some()
        self._stop()
        yield from self._some()


def save(store: ResultStore, how: str, results: ResultsAroundStop) -> BulkSaveError:
    """Save until the disk stops, and return the error."""
    with pytest.raises(BulkSaveError) as caught:  # noqa: PT012 - one of two
        if how == "save_many":
            pairs, others = itertools.tee(results)
            store.save_many(
                (result for result, _ in pairs),
                timeseries_sources=(source for _, source in others),
                progress=results.progress,
            )
        else:
            with store.writer() as writer:
                for result, source in results:
                    writer.submit(result, source).add_done_callback(results.acknowledge)
    error = caught.value
    assert sorted([*error.saved, *error.failed]) == list(range(results.submitted))
    assert len(error.saved) >= SOME
    assert len(error.failed) >= SOME
    assert set(results.acknowledged) <= set(error.saved.values())
    for failure in error.failed.values():
        assert isinstance(failure, PersistenceError)
        assert failure.committed == (failure.result_path is not None)
    return error


def committed(error: BulkSaveError) -> dict[Path, int]:
    """Return the results that an error reports as complete, confirmed or not."""
    failures = ((n, failure) for n, failure in error.failed.items() if isinstance(failure, PersistenceError))
    unconfirmed = {Path(failure.result_path): n for n, failure in failures if failure.result_path is not None}
    return unconfirmed | {path: n for n, path in error.saved.items()}


def numbers_of(error: BulkSaveError) -> set[int]:
    """Return the errno of every failure."""
    return {failure.errno for failure in error.failed.values() if isinstance(failure, PersistenceError)}  # type: ignore[misc]


def assert_takes_more(
    store: ResultStore, number: Callable[[int], ExperimentResult], failed: list[int]
) -> None:
    """Check that the failed results can be saved now, in each way, next to the earlier ones."""
    first, second, *rest = failed
    before = set(store.root.glob("*/result.json"))
    with store.writer() as writer:
        futures = [writer.submit(number(n)) for n in rest[:30]]
    paths = [future.result() for future in futures]
    paths += [*store.save_many([number(first)]), store.save(number(second))]
    assert len(before & set(paths)) == 0
    assert [ExperimentResult.from_json(path) for path in paths] == [
        number(n) for n in (*rest[:30], first, second)
    ]


@pytest.fixture
def mixed(parquet: Path, arrow: object) -> list[Any]:
    """Return the sources of the results, in turn."""
    return [None, parquet, arrow]


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_bulk_save_disk_remounted_read_only_resumes_when_writable(
    disk: Callable[..., Disk],
    result: ExperimentResult,
    number: Number,
    records: Records,
    mixed: list[Any],
    kind: str,
    flush_method: str,
    how: str,
) -> None:
    made = disk(kind, MEGABYTES[kind])
    store = ResultStore(made.where / "out")
    store._flush_method = flush_method

    def stop() -> None:
        # Without a pause: the moment between two batches is short.
        until = time.monotonic() + HANG
        while (refused := made.make_read_only()) != 0:
            assert refused == codes.EBUSY
            assert time.monotonic() < until

    error = save(store, how, ResultsAroundStop(lambda n: number(result, n), mixed, stop))
    assert numbers_of(error) == {codes.EROFS}
    assert records(store.root) == committed(error)
    made.make_writable()
    assert_takes_more(store, lambda n: number(result, n), list(error.failed))
    made.unmount()
    made.mount()
    there = records(store.root)
    assert {path: there[path] for path in committed(error)} == committed(error)
    assert store.verify().ok


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize(("kind", "end"), [("ext4", "abort"), ("ext4", "shut_down"), ("xfs", "shut_down")])
def test_bulk_save_disk_stopping_loses_no_acknowledged_result(
    disk: Callable[..., Disk],
    result: ExperimentResult,
    number: Number,
    records: Records,
    mixed: list[Any],
    kind: str,
    end: str,
    flush_method: str,
    how: str,
) -> None:
    made = disk(kind, MEGABYTES[kind])
    store = ResultStore(made.where / "out")
    store._flush_method = flush_method
    error = save(store, how, ResultsAroundStop(lambda n: number(result, n), mixed, getattr(made, end)))
    assert codes.EEXIST not in numbers_of(error), "a leftover that could not be removed is in the way"
    # The unmount proves that the store keeps no file open.
    made.unmount()
    made.mount()
    there = records(store.root)
    assert {path: n for n, path in error.saved.items()}.items() <= there.items()
    assert there.items() <= committed(error).items()
    assert store.verify().ok
    assert_takes_more(store, lambda n: number(result, n), list(error.failed))


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_submit_while_disk_is_read_only_resumes_when_writable(
    disk: Callable[..., Disk], result: ExperimentResult, number: Number, records: Records, flush_method: str
) -> None:
    made = disk("ext4", MEGABYTES["ext4"])
    store = ResultStore(made.where / "out")
    store._flush_method = flush_method
    with store.writer(on_error="ignore") as writer:
        futures = [writer.submit(number(result, n)) for n in range(20)]
        writer.flush()
        for _ in range(3):
            assert made.make_read_only() == 0
            refused = [writer.submit(number(result, 1000)) for _ in range(20)]
            for future in refused:
                failure = future.exception(HANG)
                assert isinstance(failure, PersistenceError)
                assert (failure.errno, failure.committed) == (codes.EROFS, False)
            made.make_writable()
            futures += [writer.submit(number(result, len(futures) + n)) for n in range(20)]
            writer.flush()
    assert {future.result(): n for n, future in enumerate(futures)} == records(store.root)
    made.unmount()
    made.mount()
    assert {future.result(): n for n, future in enumerate(futures)} == records(store.root)


@pytest.mark.parametrize("with_sidecar", [False, True])
@pytest.mark.parametrize(("kind", "end"), [("ext4", "abort"), ("ext4", "shut_down"), ("xfs", "shut_down")])
def test_save_disk_stopping_reports_exact_outcome(
    disk: Callable[..., Disk],
    result: ExperimentResult,
    number: Number,
    records: Records,
    parquet: Path,
    kind: str,
    end: str,
    *,
    with_sidecar: bool,
) -> None:
    made = disk(kind, MEGABYTES[kind])
    store = ResultStore(made.where / "out")
    saved: dict[Path, int] = {}
    unconfirmed: dict[Path, int] = {}
    errors: set[int | None] = set()
    thread = threading.Thread(target=getattr(made, end))
    for n in itertools.count():
        if n == SOME:
            thread.start()
        try:
            saved[store.save(number(result, n), parquet if with_sidecar else None)] = n
        except PersistenceError as error:
            errors.add(error.errno)
            if error.result_path is not None:
                unconfirmed[Path(error.result_path)] = n
            if not isinstance(error, SidecarError) and not thread.is_alive():
                break
    thread.join()
    assert errors <= {codes.EROFS, codes.EIO}, [os.strerror(number or 0) for number in errors]
    made.unmount()
    made.mount()
    there = records(store.root)
    assert saved.items() <= there.items()
    assert there.items() <= (saved | unconfirmed).items()
    assert ExperimentResult.from_json(store.save(result)) == result
