"""The promises of a file system, and the one warning where nothing is durable."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results import _disk, _durability


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that fakes mountinfo and forgets every warning."""

    def mounted(line: str) -> None:
        table = tmp_path / "mountinfo"
        table.write_bytes(b"7 0 0:1 / /x rw - " + line.encode() + b"\n")
        monkeypatch.setattr(_disk, "_MOUNTS", table)
        monkeypatch.setattr(_disk, "_mount_number", lambda _: b"7")
        monkeypatch.setattr(_durability, "_checked", set())
        monkeypatch.setattr(_durability, "_warned", set())
        monkeypatch.delenv(_durability.QUIET, raising=False)

    return mounted


@pytest.mark.parametrize(
    ("line", "promise", "reason"),
    [
        ("ext4 /dev/sda1 rw", "full", ""),
        ("overlay overlay rw,upperdir=/u", "full", ""),
        ("tmpfs none rw", "none", "tmpfs is memory"),
        ("overlay overlay rw,volatile", "none", "mounted volatile"),
        ("overlay overlay rw,fsync=volatile", "none", "mounted volatile"),
        ("ext4 /dev/sda1 rw,nobarrier", "none", "without barriers"),
        ("nfs4 host:/x rw", "unknown", "the server of this nfs4"),
        ("fuse.sshfs host: rw", "unknown", "the program behind"),
    ],
)
def test_read_durability_of_store_follows_its_file_system(
    mounted: Callable[[str], None], store: ResultStore, line: str, promise: str, reason: str
) -> None:
    mounted(line)
    durability = ResultStore(store.root / "not" / "there").durability
    assert durability == promise
    assert reason in durability.reason
    assert bool(durability.reason) == (promise != "full")
    assert durability.file_system == line.partition(" ")[0]
    assert pickle.loads(pickle.dumps(durability)).reason == durability.reason  # noqa: S301 - our own
    assert promise in repr(durability)


def test_read_durability_without_mount_table_is_unknown(
    mounted: Callable[[str], None], store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted("ext4 /dev/sda1 rw")
    monkeypatch.setattr(_disk, "_mount_number", lambda _: None)
    assert store.durability == "unknown"


@pytest.mark.parametrize("how", ["save", "save_many", "writer"])
def test_save_on_volatile_file_system_warns_once(
    mounted: Callable[[str], None], store: ResultStore, result: ExperimentResult, tmp_path: Path, how: str
) -> None:
    def save(store: ResultStore, *, durable: bool = True) -> None:
        if how == "save":
            store.save(result, durable=durable)
        elif how == "save_many":
            store.save_many([result], durable=durable)
        else:
            with store.writer(durable=durable) as writer:
                writer.submit(result)

    mounted("tmpfs none rw")
    save(store, durable=False)
    with pytest.warns(UserWarning, match="do not survive a power cut: tmpfs is memory") as warned:
        save(store)
    assert [warning.filename for warning in warned] == [__file__]
    save(store)
    save(ResultStore(tmp_path / "another"))
    assert store.verify().complete == 3


def test_save_with_warning_disabled_or_on_disk_is_silent(
    mounted: Callable[[str], None],
    store: ResultStore,
    result: ExperimentResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounted("tmpfs none rw")
    monkeypatch.setenv(_durability.QUIET, "1")
    store.save(result)
    mounted("xfs /dev/sda1 rw")
    store.save(result)


def test_save_on_real_tmpfs_warns(result: ExperimentResult, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        pytest.skip("there is no /dev/shm to write to")
    store = ResultStore(memory / f"llem-test-{os.getpid()}" / "x")
    if store.durability.file_system != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    monkeypatch.setattr(_durability, "_checked", set())
    monkeypatch.setattr(_durability, "_warned", set())
    monkeypatch.delenv(_durability.QUIET, raising=False)
    try:
        with pytest.warns(UserWarning, match="tmpfs"):
            path = store.save(result)
    finally:
        (record,) = store.root.glob("*/*")
        record.unlink()
        record.parent.rmdir()
        store.root.rmdir()
        store.root.parent.rmdir()
    assert store.durability == "none"
    assert path == record
