"""The file system of a directory, from `/proc/self/mountinfo`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

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
    """A line of mountinfo: one file system at one mount point."""

    kind: str
    device: str
    point: str
    options: str
    super_options: str

    def __str__(self) -> str:
        """Return the mount as in `ext4 on /dev/sda1, rw,relatime; rw`."""
        return f"{self.kind} on {self.device}, {self.options}; {self.super_options}"

    @property
    def all_options(self) -> set[str]:
        """The options of the mount point and of the file system."""
        return {*self.options.split(","), *self.super_options.split(",")}

    @property
    def is_volatile(self) -> bool:
        """True for an overlay that omits every flush."""
        return self.kind == "overlay" and bool(self.all_options & _VOLATILE)

    @property
    def is_unbarred(self) -> bool:
        """True if a flush ends in the device's volatile cache."""
        return bool(self.all_options & _UNBARRED)


def mount_of(directory: Path) -> Mount | None:
    """Return the mount of a directory; None if the system does not report it."""
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
    """Return True if a program implements a type of file system."""
    return kind == "fuse" or kind.startswith("fuse.")


def _mount_number(directory: Path) -> bytes | None:
    """Return the mount number of a directory, as the kernel resolved it."""
    opened: list[int] = []
    try:
        # A signal may raise between a call and an assignment, but not inside `extend`.
        opened.extend(map(os.open, [directory], [os.O_RDONLY]))
        about = Path(f"/proc/self/fdinfo/{opened[0]}").read_bytes()
    finally:
        for descriptor in opened:
            os.close(descriptor)
    found = re.search(rb"^mnt_id:\s*(\d+)$", about, re.MULTILINE)
    return found and found[1]


def _unescaped(field: bytes) -> str:
    r"""Return a field of mountinfo without its escapes; a space is `\040`."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field))
