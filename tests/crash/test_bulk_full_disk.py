"""Many results on disks that fill up, refuse or have few descriptors left."""

from __future__ import annotations

import errno as codes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore

if TYPE_CHECKING:
    Bulk = Callable[..., Any]
    Listing = Callable[[Path], list[str]]
    Mount = Callable[..., Path]

ENGINES = [None, "fsync", "syncfs"]


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest) -> Path:
    """A small file system, empty."""
    if request.param == "ext4":
        path: Path = request.getfixturevalue("ext4")
        return path
    mount: Mount = request.getfixturevalue("mount")
    return mount("tmpfs", "size=4M,nr_inodes=64")


def save(root: Path, results: list[ExperimentResult], engine: str | None, how: str) -> BulkSaveError:
    store = ResultStore(root)
    store._flush_method = engine
    with pytest.raises(BulkSaveError) as caught:  # noqa: PT012 - one of two
        if how == "save_many":
            store.save_many(results)
        else:
            with store.writer() as writer:
                for result in results:
                    writer.submit(result)
    return caught.value


def assert_agrees(root: Path, error: BulkSaveError, results: list[ExperimentResult]) -> None:
    """What is said to be saved is there, whole, and nothing else is."""
    assert sorted([*error.saved, *error.failed]) == list(range(len(results)))
    for index, path in error.saved.items():
        assert path.read_text() == results[index].model_dump_json(indent=2)
    expected = sorted(file for path in error.saved.values() for file in (path.parent, path))
    assert sorted(path for path in root.rglob("*") if path.name != "filler") == expected


def numbered(result: ExperimentResult, count: int) -> list[ExperimentResult]:
    return [result.model_copy(update={"experiment_id": f"{n}"}) for n in range(count)]


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("engine", ENGINES)
def test_bulk_save_disk_out_of_inodes_keeps_reported_results(
    result: ExperimentResult, small: Path, engine: str | None, how: str
) -> None:
    results = numbered(result, 100)
    error = save(small, results, engine, how)
    assert_agrees(small, error, results)
    assert len(error.saved) > 10
    for trouble in error.failed.values():
        assert isinstance(trouble, PersistenceError)
        assert (trouble.errno, trouble.committed) == (codes.ENOSPC, False)


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("engine", ENGINES)
def test_bulk_save_full_disk_keeps_reported_results_and_accepts_rest_later(
    big: ExperimentResult, small: Path, engine: str | None, how: str
) -> None:
    results = numbered(big, 40)
    disk = os.statvfs(small)
    # Of the larger one, as much is left as the smaller one has.
    (small / "filler").write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - (7 << 19))))
    error = save(small, results, engine, how)
    assert_agrees(small, error, results)
    assert error.saved
    for trouble in error.failed.values():
        assert isinstance(trouble, PersistenceError)
        assert (trouble.errno, trouble.committed) == (codes.ENOSPC, False)
    for path in error.saved.values():
        path.unlink()
    again = [results[n] for n in error.failed][:2]
    assert len(ResultStore(small).save_many(again)) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_save_many_read_only_disk_fails_all_and_changes_nothing(
    result: ExperimentResult, mount: Mount, listing: Listing, engine: str | None
) -> None:
    root = mount("tmpfs", "ro")
    for below in (root, root / "a" / "b"):
        error = save(below, numbered(result, 20), engine, "save_many")
        assert not error.saved
        assert {trouble.errno for trouble in error.failed.values()} == {codes.EROFS}  # type: ignore[attr-defined]
    assert listing(root) == []


@pytest.mark.parametrize("below", [".", "a/b"])
def test_save_many_full_disk_leaves_no_directory(
    result: ExperimentResult, mount: Mount, below: str
) -> None:
    root = mount("tmpfs", "size=64k,nr_inodes=4")
    with (root / "filler").open("wb", buffering=0) as file:
        file.write(bytes(1 << 20))
    error = save(root / below, numbered(result, 5), None, "save_many")
    assert not error.saved
    assert [path.name for path in root.iterdir()] == ["filler"]
