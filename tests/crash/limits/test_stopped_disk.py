"""File systems that become read-only, or stop altogether, in the middle of a batch."""

from __future__ import annotations

import errno as codes
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SidecarError

if TYPE_CHECKING:
    Disk = Any
    Number = Callable[..., ExperimentResult]
    Records = Callable[[Path], dict[Path, int]]

ENGINES = ["fsync", "syncfs"]
MEGABYTES = {"ext4": 100, "xfs": 300, "btrfs": 128}
SOME = 40
"""Results that are acknowledged before the disk ends, and that are handed over after it has."""
HANG = 30


class Ending:
    """Results that are handed over before and after the disk that they go to ends.

    It ends while results are under way, with others acknowledged before; a remount waits until no file is
    open for writing, which is between two batches.
    """

    def __init__(
        self, number: Callable[[int], ExperimentResult], sources: list[Any], end: Callable[[], None]
    ):
        self._number = number
        self._sources = sources
        self._end = end
        self._done = 0
        self.given = 0
        self.acknowledged: list[Path] = []

    def progress(self, done: int, _: int | None = None) -> None:
        self._done = done

    def acknowledge(self, future: Future[Path]) -> None:
        if future.exception() is None:
            self.acknowledged.append(future.result())
        self.progress(len(self.acknowledged))

    def _some(self) -> Iterator[tuple[ExperimentResult, Any]]:
        for _ in range(SOME):
            yield self._number(self.given), self._sources[self.given % len(self._sources)]
            self.given += 1

    def __iter__(self) -> Iterator[tuple[ExperimentResult, Any]]:
        while self._done < SOME:
            yield from self._some()
            time.sleep(0.01)  # for fewer rounds than the queue would take
        yield from self._some()
        self._end()
        yield from self._some()


def save(store: ResultStore, how: str, ending: Ending) -> BulkSaveError:
    """Save until the disk ends, and return what is said then."""
    with pytest.raises(BulkSaveError) as caught:  # noqa: PT012 - one of two
        if how == "save_many":
            results, sources = itertools.tee(ending)
            store.save_many(
                (result for result, _ in results),
                timeseries_sources=(source for _, source in sources),
                progress=ending.progress,
            )
        else:
            with store.writer() as writer:
                for result, source in ending:
                    writer.submit(result, source).add_done_callback(ending.acknowledge)
    error = caught.value
    assert sorted([*error.saved, *error.failed]) == list(range(ending.given))
    assert len(error.saved) >= SOME
    assert len(error.failed) >= SOME
    assert set(ending.acknowledged) <= set(error.saved.values())
    for trouble in error.failed.values():
        assert isinstance(trouble, PersistenceError)
        assert trouble.committed == (trouble.result_path is not None)
    return error


def in_place(error: BulkSaveError) -> dict[Path, int]:
    """What is said to be there and whole, confirmed or not."""
    troubles = ((n, trouble) for n, trouble in error.failed.items() if isinstance(trouble, PersistenceError))
    committed = {Path(trouble.result_path): n for n, trouble in troubles if trouble.result_path is not None}
    return committed | {path: n for n, path in error.saved.items()}


def numbers_of(error: BulkSaveError) -> set[int]:
    """The numbers of the errors of the system."""
    return {trouble.errno for trouble in error.failed.values() if isinstance(trouble, PersistenceError)}  # type: ignore[misc]


def assert_takes_more(
    store: ResultStore, number: Callable[[int], ExperimentResult], failed: list[int]
) -> None:
    """What failed can be saved now, in each way, and nothing that was there is in its way."""
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
    """What results have beside them, in turn."""
    return [None, parquet, arrow]


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_bulk_save_disk_remounted_read_only_resumes_when_writable(
    disk: Callable[..., Disk],
    result: ExperimentResult,
    number: Number,
    records: Records,
    mixed: list[Any],
    kind: str,
    engine: str,
    how: str,
) -> None:
    made = disk(kind, MEGABYTES[kind])
    store = ResultStore(made.where / "out")
    store._flush_method = engine

    def end() -> None:
        until = time.monotonic() + HANG
        while (refused := made.make_read_only()) != 0:
            assert refused == codes.EBUSY
            assert time.monotonic() < until

    error = save(store, how, Ending(lambda n: number(result, n), mixed, end))
    assert numbers_of(error) == {codes.EROFS}
    assert records(store.root) == in_place(error)
    made.make_writable()
    assert_takes_more(store, lambda n: number(result, n), list(error.failed))
    made.unmount()
    made.mount()
    there = records(store.root)
    assert {path: there[path] for path in in_place(error)} == in_place(error)
    assert store.verify().ok


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "end"), [("ext4", "abort"), ("ext4", "shut_down"), ("xfs", "shut_down")])
def test_bulk_save_disk_stopping_loses_no_acknowledged_result(
    disk: Callable[..., Disk],
    result: ExperimentResult,
    number: Number,
    records: Records,
    mixed: list[Any],
    kind: str,
    end: str,
    engine: str,
    how: str,
) -> None:
    made = disk(kind, MEGABYTES[kind])
    store = ResultStore(made.where / "out")
    store._flush_method = engine
    error = save(store, how, Ending(lambda n: number(result, n), mixed, getattr(made, end)))
    assert codes.EEXIST not in numbers_of(error), "what is in the way is what could not be removed"
    # Nobody keeps anything open: what cannot be unmounted cannot be repaired.
    made.unmount()
    made.mount()
    there = records(store.root)
    assert {path: n for n, path in error.saved.items()}.items() <= there.items()
    assert there.items() <= in_place(error).items()
    assert store.verify().ok
    assert_takes_more(store, lambda n: number(result, n), list(error.failed))


@pytest.mark.parametrize("engine", ENGINES)
def test_submit_while_disk_is_read_only_resumes_when_writable(
    disk: Callable[..., Disk], result: ExperimentResult, number: Number, records: Records, engine: str
) -> None:
    made = disk("ext4", MEGABYTES["ext4"])
    store = ResultStore(made.where / "out")
    store._flush_method = engine
    with store.writer(on_error="ignore") as writer:
        futures = [writer.submit(number(result, n)) for n in range(20)]
        writer.flush()
        for _ in range(3):
            assert made.make_read_only() == 0
            refused = [writer.submit(number(result, 1000)) for _ in range(20)]
            for future in refused:
                trouble = future.exception(HANG)
                assert isinstance(trouble, PersistenceError)
                assert (trouble.errno, trouble.committed) == (codes.EROFS, False)
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
    doubted: dict[Path, int] = {}
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
                doubted[Path(error.result_path)] = n
            if not isinstance(error, SidecarError) and not thread.is_alive():
                break
    thread.join()
    assert errors <= {codes.EROFS, codes.EIO}, [os.strerror(number or 0) for number in errors]
    made.unmount()
    made.mount()
    there = records(store.root)
    assert saved.items() <= there.items()
    assert there.items() <= (saved | doubted).items()
    assert ExperimentResult.from_json(store.save(result)) == result
