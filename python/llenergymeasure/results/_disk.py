"""The file system under a directory, as the system tells of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MEMORY", "NETWORK", "Mount", "is_fuse", "mount_of"]

_MOUNTS = Path("/proc/self/mountinfo")
MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "rootfs", "hugetlbfs"})
NETWORK = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "glusterfs", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "vboxsf"),
        *("virtiofs", "vmhgfs", "wekafs"),
    }
)
_UNBARRED = frozenset({"nobarrier", "barrier=0"})
_VOLATILE = frozenset({"volatile", "fsync=volatile"})


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo: one file system in one place."""

    kind: str
    device: str
    point: str
    options: str
    super_options: str

    def __str__(self) -> str:
        """Read as `ext4 on /dev/sda1, rw,relatime; rw`."""
        return f"{self.kind} on {self.device}, {self.options}; {self.super_options}"

    @property
    def all_options(self) -> set[str]:
        """The options of this place and those of the file system."""
        return {*self.options.split(","), *self.super_options.split(",")}

    @property
    def is_volatile(self) -> bool:
        """Whether it is an overlay that leaves out every flush."""
        return self.kind == "overlay" and bool(self.all_options & _VOLATILE)

    @property
    def is_unbarred(self) -> bool:
        """Whether a flush ends in the device's volatile cache."""
        return bool(self.all_options & _UNBARRED)


def mount_of(directory: Path) -> Mount | None:
    """Find the mount that a directory is on; None where the system does not tell."""
    try:
        number = _mount_number(directory)
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return None
    for line in lines:
        left, _, right = line.partition(b" - ")
        identifier, _, _, _, point, options, *_ = left.split(b" ")
        if identifier == number:
            kind, device, super_options = [*right.split(b" ", 2), b"", b""][:3]
            return Mount(*map(_unescaped, (kind, device, point, options, super_options)))
    return None


def is_fuse(kind: str) -> bool:
    """Whether a program is behind a type of file system."""
    return kind == "fuse" or kind.startswith("fuse.")


def _mount_number(directory: Path) -> bytes | None:
    """Return the number of a directory's mount in mountinfo, as the kernel itself resolved it."""
    opened: list[int] = []
    try:
        # A signal may raise between the return of a call and its assignment, but not in here.
        opened.extend(map(os.open, [directory], [os.O_RDONLY]))
        about = Path(f"/proc/self/fdinfo/{opened[0]}").read_bytes()
    finally:
        for descriptor in opened:
            os.close(descriptor)
    found = re.search(rb"^mnt_id:\s*(\d+)$", about, re.MULTILINE)
    return found and found[1]


def _unescaped(field: bytes) -> str:
    r"""Decode a field of mountinfo, in which a space is `\040`."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field))
