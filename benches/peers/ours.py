"""The package itself, and the baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import llenergymeasure
from llenergymeasure import ExperimentResult, _store, save_result
from llenergymeasure.results.store import ResultStore
from peers.session import Session

__all__ = ["Baseline", "DurableBaseline", "DurableSave", "Save", "SaveMany", "Write"]


class _Ours(Session):
    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        self.saved: Path | None = None

    @classmethod
    def version(cls) -> str:
        return llenergymeasure.__version__

    def last(self) -> object:
        assert self.saved is not None
        return json.loads(self.saved.read_bytes())


class Baseline(_Ours):
    """The bare system calls."""

    durable: ClassVar[bool] = False

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.record = record.encode()

    def save(self, count: int) -> None:
        """Make a directory, write a file and rename it, in Rust."""
        _store.baseline_save(str(self.directory), self.record, start=0, count=count, durable=self.durable)

    def last(self) -> object:
        """Read any record: all are the same."""
        return json.loads(next(self.directory.glob("*/result.json")).read_bytes())


class DurableBaseline(Baseline):
    """The same with flushes."""

    durable = True


class Save(_Ours):
    """One call per result."""

    durable: ClassVar[bool] = False

    def save(self, count: int) -> None:
        """Save one at a time."""
        for _ in range(count):
            self.saved = save_result(self.result, self.directory, durable=self.durable)


class DurableSave(Save):
    """The same with flushes."""

    durable = True


class SaveMany(_Ours):
    """One call for all."""

    def save(self, count: int) -> None:
        """Save all at once."""
        store = ResultStore(self.directory)
        self.saved = store.save_many([self.result] * count)[-1]


class Write(_Ours):
    """A writer with one submitting thread."""

    def save(self, count: int) -> None:
        """Submit one at a time; all are durable after the block."""
        store = ResultStore(self.directory)
        with store.writer() as writer:
            futures = [writer.submit(self.result) for _ in range(count)]
        self.saved = futures[-1].result()
