"""atomicwrites: one file per result, flushed and renamed, with a flush of its directory."""

from __future__ import annotations

import json
from pathlib import Path

from atomicwrites import atomic_write

from llenergymeasure import ExperimentResult
from peers.session import Session

__all__ = ["AtomicFiles"]


class AtomicFiles(Session):
    """All files in one directory."""

    distribution = "atomicwrites"

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        self.saved: Path | None = None

    def save(self, count: int) -> None:
        """Write one file after the other."""
        for n in range(count):
            self.saved = self.directory / f"result-{n}.json"
            with atomic_write(self.saved, overwrite=True, encoding="utf-8") as file:
                file.write(self.result.model_dump_json(indent=2))

    def last(self) -> object:
        """Read the last file."""
        assert self.saved is not None
        return json.loads(self.saved.read_bytes())
