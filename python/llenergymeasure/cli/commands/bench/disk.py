"""The disk of a directory: its file system, the cost of a flush, and reasons to doubt it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from llenergymeasure.results._disk import MEMORY, NETWORK, Mount, is_fuse, mount_of

_FLUSHES = 20
IMPLAUSIBLE_US = 50
"""A shorter flush reached no device: the fastest devices take longer to commit a journal."""


@dataclass(frozen=True)
class Disk:
    """The disk of a directory; `mount` is None where the system does not report it."""

    mount: Mount | None
    flush_us: float
    doubts: list[str]

    @property
    def flush_reaches_device(self) -> bool:
        """True if a flush takes at least as long as the fastest device."""
        return self.flush_us >= IMPLAUSIBLE_US


def describe(directory: Path) -> Disk:
    """Describe the disk of a directory by flushing a file in it, which stays."""
    mount = mount_of(directory)
    disk = Disk(mount, flush_us(directory), _doubts(directory, mount))
    if not disk.flush_reaches_device:
        disk.doubts.insert(0, f"A flush takes {disk.flush_us:.1f} µs: it does not reach a device.")
    return disk


def flush_us(directory: Path, count: int = _FLUSHES) -> float:
    """Return the median time of an fsync, in microseconds, over appends of 4 KiB to a file, which stays."""
    times = []
    with (directory / "flushed").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            begin = time.perf_counter_ns()
            os.fsync(file.fileno())
            times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


def doubt_of_kind(kind: str) -> str | None:
    """Return why durability measurements mislead on a type of file system; None if they do not."""
    if kind in MEMORY:
        return f"This is a {kind}: a flush is free here and keeps nothing; choose a --dir on a disk."
    if kind in NETWORK:
        return f"This is a network mount ({kind}): its server decides what a flush costs and keeps."
    if is_fuse(kind):
        return f"This is a FUSE mount ({kind}): its program decides what a flush costs and keeps."
    return None


def room(directory: Path) -> tuple[int, int | None]:
    """Return the free bytes and free files of a directory; None if files are unlimited."""
    if not hasattr(os, "statvfs"):  # Windows
        return shutil.disk_usage(directory).free, None
    free = os.statvfs(directory)
    # File systems with dynamic inodes, such as btrfs, report a total of 0.
    return free.f_bavail * free.f_frsize, free.f_favail if free.f_files else None


def write_out(directory: Path) -> None:
    """Write out all dirty data of a directory's file system, so that no later flush pays for it."""
    try:
        syncfs = ctypes.CDLL(None).syncfs
    except (AttributeError, OSError, TypeError):
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        syncfs(descriptor)
    finally:
        os.close(descriptor)


def _doubts(directory: Path, mount: Mount | None) -> list[str]:
    """Return why durability measurements differ from those on a local, journalled disk."""
    if mount is None:
        return [f"The file system is unknown: {platform.system()} does not report it."]
    doubts = []
    of_kind = doubt_of_kind(mount.kind)
    if of_kind:
        doubts.append(of_kind)
    if mount.is_volatile:
        doubts.append(
            "This overlay is mounted volatile: it leaves out every flush, and a power cut loses its data."
        )
    if mount.is_unbarred:
        doubts.append("This is mounted without barriers: a flush ends in the device's volatile cache.")
    if "sync" in mount.all_options:
        doubts.append("This is mounted sync: every write is flushed, also without durability.")
    if mount.kind == "ext4" and _journal_is_missing(directory):
        doubts.append(
            "This ext4 has no journal: results cannot share a commit, and creating files is slow for minutes "
            "after a deletion of many files, as at the end of a run."
        )
    return doubts


def _journal_is_missing(directory: Path) -> bool:
    number = directory.stat().st_dev
    try:
        name = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True).name
        return Path(f"/sys/fs/ext4/{name}/journal_task").read_text(encoding="ascii").strip() == "<none>"
    except (OSError, ValueError):
        return False
