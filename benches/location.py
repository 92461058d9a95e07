"""A location to measure: a kind of fresh disk, or an existing directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import disks
from output import scratch

__all__ = ["Location"]


@dataclass(frozen=True)
class Location:
    """A location to measure: a kind of fresh disk, or an existing directory."""

    directory: Path
    """The directory, or the one for the images of disks."""
    kind: str | None = None
    flush_ms: float = 0

    def __str__(self) -> str:
        """Return its name."""
        if self.kind is None:
            return str(self.directory.resolve())
        flush = f"each flush takes {self.flush_ms:g} ms" if self.flush_ms else "flushes as they are"
        return f"fresh {self.kind}, {flush}"

    @contextlib.contextmanager
    def fresh(self, size: int = disks.SIZE) -> Iterator[Path]:
        """Yield an empty directory, on a new disk if this is a kind of disk."""
        if self.kind is not None:
            with disks.disk(self.kind, self.directory, flush_ms=self.flush_ms, size=size) as root:
                yield root
            return
        with scratch(self.directory, ".llem-bulk-") as root:
            yield root
