"""Dirty pages: data that was written and waits in memory for its device."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["DirtyError", "limits_raised", "waiting", "write"]

SIZE = 1500 << 20
ENOUGH = 1200 << 20
CHUNK = 8 << 20
ATTEMPTS = 3
LIMITS = {"dirty_background_ratio": "60", "dirty_ratio": "80"}
"""Per cent of memory; below these limits the kernel leaves dirty pages alone for 30 s."""


class DirtyError(Exception):
    """Pages do not stay dirty on this machine."""


def waiting() -> int:
    """Return the dirty bytes of the whole machine; 0 if the kernel does not count them."""
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("Dirty:"):
                return int(line.split()[1]) << 10
    return 0


def write(path: Path) -> None:
    """Write 1.5 GB to a new file, and leave it in memory.

    The file is new, because ext4 and xfs write out a truncated file when it is closed.
    """
    chunk = os.urandom(CHUNK)
    for _ in range(ATTEMPTS):
        with path.open("xb", buffering=0) as file:
            while file.tell() < SIZE:
                file.write(chunk)
        dirty = waiting()
        if dirty >= ENOUGH:
            return
        path.unlink()  # a foreign sync came in between
    raise DirtyError(f"only {dirty >> 20} MB stay dirty here")


@contextlib.contextmanager
def limits_raised() -> Iterator[None]:
    """Raise the limits of dirty pages, if the process may."""
    with contextlib.ExitStack() as restore:
        for name, value in LIMITS.items():
            limit = Path("/proc/sys/vm", name)
            # Setting one of the two makes the other 0.
            in_bytes = limit.with_name(name.replace("ratio", "bytes"))
            with contextlib.suppress(OSError):
                before = {each: each.read_text(encoding="ascii") for each in (limit, in_bytes)}
                for each, was in before.items():
                    if was.strip() != "0":
                        restore.callback(each.write_text, was, encoding="ascii")
                limit.write_text(value, encoding="ascii")
        yield
