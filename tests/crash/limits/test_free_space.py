"""Disks with ever more free space: saves fail at each of their calls in turn, then succeed."""

from __future__ import annotations

import errno as codes
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SidecarError
from llenergymeasure.results.timeseries import Timeseries
from support.disks import Disk, fill

Mount = Callable[..., Path]
Number = Callable[..., ExperimentResult]
Records = Callable[[Path], dict[Path, int]]

FLUSH_METHODS = ["fsync", "syncfs"]
RECORD = 9000
"""Bytes of padding in a result; its sidecar is some KiB larger."""


class Room:
    """A full file system, and a way to free some of it."""

    def __init__(self, where: Path, leave: Callable[[int], None]) -> None:
        self.root = where / "out"
        self.root.mkdir()
        self.leave = leave


def memory(mount: Mount, what: str, least: int) -> Room:
    """Make a file system in memory, of which `least` is in use."""
    where = mount("tmpfs", f"{what}={1 << 20}")

    def leave(left: int) -> None:
        unit = "k" if what == "size" else ""
        assert os.system(f"mount -o remount,{what}={least + left}{unit} {where}") == 0  # noqa: S605 - a tool

    return Room(where, leave)


def blocks(disk: Callable[..., Disk]) -> Room:
    """Make an ext4 with blocks of one KiB."""
    where = disk("ext4", 8, "-b", "1024").where
    room = Room(where, lambda _: None)
    fill(where / "filler")
    length = (where / "filler").stat().st_size

    def leave(left: int) -> None:
        with (where / "filler").open("rb+") as file:
            file.truncate(length - (left << 10))
            os.fsync(file)
        disk_ = os.statvfs(where)
        assert disk_.f_bavail * disk_.f_frsize == left << 10

    room.leave = leave
    return room


@pytest.fixture(params=["tmpfs", "ext4"])
def room(request: pytest.FixtureRequest) -> Room:
    """Return a disk whose free space is counted in KiB."""
    if request.param == "ext4":
        return blocks(request.getfixturevalue("disk"))
    return memory(request.getfixturevalue("mount"), "size", 0)


@pytest.fixture
def inodes(mount: Mount) -> Room:
    """Return a disk whose free space is counted in inodes; its own root and the store's root use two."""
    return memory(mount, "nr_inodes", 2)


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory, result: ExperimentResult) -> dict[str, Any]:
    """Return a power trace of some 25 KB in each form, and none."""
    rows = 2500
    noise = [int.from_bytes(os.urandom(6), "little") / 7.0 for _ in range(rows)]
    arrow = Timeseries(timestamp_s=noise, gpu_index=[0] * rows, power_w=[1.0] * rows)
    saved = result.save(tmp_path_factory.mktemp("trace"), arrow, durable=False)
    path = saved.with_name("timeseries.parquet")
    assert path.stat().st_size > 2 * RECORD
    return {"path": path, "arrow": arrow, "none": None}


def attempt(root: Path, result: ExperimentResult, source: object, records: Records) -> str:
    """Save once, check the outcome against the disk, remove the result, and return the outcome."""
    error: PersistenceError | None = None
    there = None
    try:
        there = ResultStore(root).save(result, source)  # type: ignore[arg-type]
    except PersistenceError as raised:
        error = raised
        there = None if error.result_path is None else Path(error.result_path)
    end = "saved"
    if error is not None:
        assert error.errno == codes.ENOSPC
        assert error.committed == isinstance(error, SidecarError)
        end = f"no sidecar: {error.step}" if error.committed else error.step
    if there is None:
        assert list(root.iterdir()) == []
        return end
    sidecars = [there.with_name("timeseries.parquet")] if end == "saved" and source is not None else []
    assert records(root) == {there: int(result.experiment_id)}
    assert sorted(root.rglob("*")) == sorted([there.parent, there, *sidecars])
    shutil.rmtree(there.parent)
    return end


def without_repeats(ends: list[str]) -> list[str]:
    return [end for end, _ in itertools.groupby(ends)]


@pytest.mark.parametrize("kind", ["none", "path", "arrow"])
def test_save_growing_free_space_gets_further_each_time(
    room: Room, result: ExperimentResult, number: Number, records: Records, traces: dict[str, Any], kind: str
) -> None:
    ends = []
    for left in range(1, 64):
        room.leave(left)
        ends.append(attempt(room.root, number(result, left, RECORD), traces[kind], records))
    # The record has priority over its sidecar.
    sidecar = [] if kind == "none" else ["no sidecar: write"]
    assert without_repeats(ends) == ["write", *sidecar, "saved"]
    assert ends.count("saved") > 10


def test_save_without_free_block_fails_at_claim(
    disk: Callable[..., Disk], result: ExperimentResult, number: Number, records: Records
) -> None:
    room = blocks(disk)
    room.leave(0)
    assert attempt(room.root, number(result, 0), None, records) == "claim"


@pytest.mark.parametrize("kind", ["path", "arrow"])
def test_save_growing_free_inodes_gets_further_each_time(
    inodes: Room,
    result: ExperimentResult,
    number: Number,
    records: Records,
    traces: dict[str, Any],
    kind: str,
) -> None:
    ends = []
    for left in range(1, 5):
        inodes.leave(left)
        ends.append(attempt(inodes.root, number(result, left), traces[kind], records))
    # The directory and the record have priority over the sidecar.
    assert ends == ["create", "no sidecar: create", "saved", "saved"]


def save(store: ResultStore, results: list[ExperimentResult], sources: list[Any], how: str) -> Any:
    try:
        if how == "save_many":
            saved = dict(enumerate(store.save_many(results, timeseries_sources=sources)))
        else:
            with store.writer() as writer:
                futures = [writer.submit(*pair) for pair in zip(results, sources, strict=True)]
            saved = {n: future.result() for n, future in enumerate(futures)}
    except BulkSaveError as error:
        return error
    return BulkSaveError(saved, {})


def check_many(root: Path, reply: Any, sources: list[Any], records: Records) -> set[str]:
    """Check the outcome of many saves against the disk, remove the results, and return the outcomes."""
    ends = {"saved"} if reply.saved else set()
    there = dict(reply.saved)
    for n, error in reply.failed.items():
        assert error.errno == codes.ENOSPC
        assert isinstance(error, SidecarError) == error.committed
        ends.add(f"no sidecar: {error.step}" if error.committed else error.step)
        if error.committed:
            there[n] = Path(error.result_path)
    assert sorted([*reply.saved, *reply.failed]) == list(range(len(sources)))
    assert records(root) == {path: n for n, path in there.items()}
    files = [[path.parent, path] for path in there.values()]
    files += [
        [path.with_name("timeseries.parquet")] for n, path in reply.saved.items() if sources[n] is not None
    ]
    assert sorted(root.rglob("*")) == sorted(itertools.chain.from_iterable(files))
    for path in there.values():
        shutil.rmtree(path.parent)
    return ends


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_any_free_space_reports_exact_outcome(
    room: Room,
    result: ExperimentResult,
    number: Number,
    records: Records,
    traces: dict[str, Any],
    flush_method: str,
    how: str,
) -> None:
    store = ResultStore(room.root)
    store._flush_method = flush_method
    sources = [traces["path"], traces["arrow"], None] * 4
    results = [number(result, n, RECORD) for n in range(len(sources))]
    ends = set()
    for left in range(1, 560, 31):
        room.leave(left)
        ends |= check_many(room.root, save(store, results, sources, how), sources, records)
    assert ends >= {"write", "no sidecar: write", "saved"}
    assert len(store.save_many(results, timeseries_sources=sources)) == len(results)


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_any_free_inodes_reports_exact_outcome(
    inodes: Room,
    result: ExperimentResult,
    number: Number,
    records: Records,
    traces: dict[str, Any],
    flush_method: str,
    how: str,
) -> None:
    store = ResultStore(inodes.root)
    store._flush_method = flush_method
    sources = [traces["path"], traces["arrow"], None] * 4
    results = [number(result, n) for n in range(len(sources))]
    ends = set()
    for left in range(1, 34, 2):
        inodes.leave(left)
        ends |= check_many(inodes.root, save(store, results, sources, how), sources, records)
    assert ends >= {"claim", "create", "saved"}
    inodes.leave(3 * len(sources))
    assert len(store.save_many(results, timeseries_sources=sources)) == len(results)


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_full_btrfs_keeps_reported_results(
    disk: Callable[..., Disk],
    result: ExperimentResult,
    number: Number,
    records: Records,
    traces: dict[str, Any],
    flush_method: str,
    how: str,
) -> None:
    small = disk("btrfs", 128)
    root = small.where / "out"
    root.mkdir()
    store = ResultStore(root)
    store._flush_method = flush_method
    with (small.where / "filler").open("wb", buffering=0) as filler:
        space = os.statvfs(small.where)
        filler.write(bytes(space.f_bavail * space.f_frsize - (8 << 20)))
        os.fsync(filler)
    sources = [traces["path"], None, traces["arrow"]] * 10
    # These records are so large that one write is short before the next fails.
    results = [number(result, n, 700_000) for n in range(len(sources))]
    reply = save(store, results, sources, how)
    failed = list(reply.failed)
    assert reply.saved
    check_many(root, reply, sources, records)
    (small.where / "filler").unlink()
    small.unmount()
    small.mount()
    assert len(store.save_many([results[n] for n in failed])) == len(failed) > 0
