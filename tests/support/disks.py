"""File systems that tests make, mount, fill and stop, as root."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import HANG

MS_RDONLY = 1
MS_REMOUNT = 32
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
LIBC = ctypes.CDLL(None, use_errno=True)
MAKE = {
    "ext4": "mkfs.ext4 -q -F -m 0",
    "xfs": "mkfs.xfs -q -f",
    "btrfs": "mkfs.btrfs -q -f",
}
"""The command that makes each kind of file system."""
OPTIONS = {"ext4": "loop,errors=remount-ro", "xfs": "loop", "btrfs": "loop"}


def run_tool(*command: str | Path) -> None:
    """Run a tool of the system in a session of its own, out of reach of Ctrl-C."""
    subprocess.run(command, check=True, capture_output=True, timeout=HANG, start_new_session=True)


def first_line(error: subprocess.CalledProcessError) -> str:
    """Return the first line of a tool's error message."""
    first, *_ = error.stderr.decode().strip().splitlines() or [f"{error.cmd[0]} failed"]
    return str(first)


def fill(filler: Path, chunk: int = 1 << 20) -> None:
    """Write a file that takes every free byte of its file system."""
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    while chunk:
        try:
            os.write(handle, bytes(chunk))
        except OSError:  # noqa: PERF203 - full for a chunk of this size
            chunk //= 2
    os.close(handle)


def clear_ext4(root: Path) -> Path:
    """Remove the directory that a new ext4 has, and return its root."""
    (root / "lost+found").rmdir()
    return root


@dataclass
class Disk:
    """A mounted file system, and the image that holds it."""

    kind: str
    image: Path
    where: Path
    mounted: bool = True
    """Kept here, because a stopped file system does not answer."""

    def remount(self, flags: int, data: bytes | None = None) -> int:
        """Change the flags of the mount, and return errno, or 0."""
        failed = LIBC.mount(b"none", bytes(self.where), None, MS_REMOUNT | flags, data)
        return ctypes.get_errno() if failed else 0

    def make_read_only(self) -> int:
        """Remount read-only, and return errno: EBUSY while a file is open for writing."""
        return self.remount(MS_RDONLY)

    def make_writable(self) -> None:
        """Undo `make_read_only`."""
        assert self.remount(0) == 0

    def abort(self) -> None:
        """Make the file system find an error of its own, and become read-only at once."""
        assert self.remount(0, b"abort") == 0

    def shut_down(self) -> None:
        """Stop the file system without another write, even of its log."""
        handle = os.open(self.where, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        except OSError as error:
            pytest.skip(f"{self.kind} cannot be shut down: {error}")
        finally:
            os.close(handle)

    def unmount(self) -> None:
        """Unmount the file system, which fails while a file on it is open."""
        run_tool("umount", self.where)
        self.mounted = False

    def mount(self) -> None:
        """Mount the file system anew, as after a crash."""
        run_tool("mount", "-t", self.kind, "-o", OPTIONS[self.kind], self.image, self.where)
        self.mounted = True
