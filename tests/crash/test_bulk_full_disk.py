"""Bulk saves on disks that are full, out of inodes or read-only."""

from __future__ import annotations

import errno as codes
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore
from support.trees import list_tree

Mount = Callable[..., Path]

FLUSH_METHODS = [None, "fsync", "syncfs"]


def save(root: Path, results: list[ExperimentResult], flush_method: str | None, how: str) -> BulkSaveError:
    store = ResultStore(root)
    store._flush_method = flush_method
    with pytest.raises(BulkSaveError) as caught:  # noqa: PT012 - one of two
        if how == "save_many":
            store.save_many(results)
        else:
            with store.writer() as writer:
                for result in results:
                    writer.submit(result)
    return caught.value


def assert_agrees(root: Path, error: BulkSaveError, results: list[ExperimentResult]) -> None:
    """Check that every result reported as saved is complete, and that nothing else exists."""
    assert sorted([*error.saved, *error.failed]) == list(range(len(results)))
    for index, path in error.saved.items():
        assert path.read_text() == results[index].model_dump_json(indent=2)
    expected = sorted(file for path in error.saved.values() for file in (path.parent, path))
    assert sorted(path for path in root.rglob("*") if path.name != "filler") == expected


def numbered(result: ExperimentResult, count: int) -> list[ExperimentResult]:
    return [result.model_copy(update={"experiment_id": f"{n}"}) for n in range(count)]


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_disk_out_of_inodes_keeps_reported_results(
    result: ExperimentResult, small: Path, flush_method: str | None, how: str
) -> None:
    results = numbered(result, 100)
    error = save(small, results, flush_method, how)
    assert_agrees(small, error, results)
    assert len(error.saved) > 10
    for failure in error.failed.values():
        assert isinstance(failure, PersistenceError)
        assert (failure.errno, failure.committed) == (codes.ENOSPC, False)


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_full_disk_keeps_reported_results_and_accepts_rest_later(
    big: ExperimentResult, small: Path, flush_method: str | None, how: str
) -> None:
    results = numbered(big, 40)
    disk = os.statvfs(small)
    # Leave as much free space on the larger disk as the smaller one has.
    (small / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - (7 << 19))))
    error = save(small, results, flush_method, how)
    assert_agrees(small, error, results)
    assert error.saved
    for failure in error.failed.values():
        assert isinstance(failure, PersistenceError)
        assert (failure.errno, failure.committed) == (codes.ENOSPC, False)
    for path in error.saved.values():
        path.unlink()
    again = [results[n] for n in error.failed][:2]
    assert len(ResultStore(small).save_many(again)) == 2


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_read_only_disk_fails_all_and_changes_nothing(
    result: ExperimentResult, mount: Mount, flush_method: str | None
) -> None:
    root = mount("tmpfs", "ro")
    for below in (root, root / "a" / "b"):
        error = save(below, numbered(result, 20), flush_method, "save_many")
        assert not error.saved
        assert {failure.errno for failure in error.failed.values()} == {codes.EROFS}  # type: ignore[attr-defined]
    assert list_tree(root) == []


@pytest.mark.parametrize("below", [".", "a/b"])
def test_save_many_full_disk_leaves_no_directory(result: ExperimentResult, mount: Mount, below: str) -> None:
    root = mount("tmpfs", "size=64k,nr_inodes=4")
    with (root / "filler").open("wb", buffering=0) as file:
        file.write(bytes(1 << 20))
    error = save(root / below, numbered(result, 5), None, "save_many")
    assert not error.saved
    assert [path.name for path in root.iterdir()] == ["filler"]
