"""SQLite in WAL mode: a row, and a transaction, a result."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import ClassVar

from llenergymeasure import ExperimentResult
from peers.session import Session

__all__ = ["FullRows", "NormalRows"]

ROWS_PER_CHECKPOINT = 400
"""Enough of 9 KB each for the 1000 pages at which SQLite makes one by default."""


class _Rows(Session):
    synchronous: ClassVar[str]

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        # Without an isolation level each statement is a transaction of its own.
        self.database = sqlite3.connect(directory / "results.db", isolation_level=None)
        (mode,) = self.database.execute("PRAGMA journal_mode = WAL").fetchone()
        assert mode == "wal", f"journal mode {mode}"
        self.database.execute(f"PRAGMA synchronous = {self.synchronous}")
        self.database.execute("CREATE TABLE results (id INTEGER PRIMARY KEY, experiment TEXT, record TEXT)")
        # A commit is dear while the log grows, up to its first checkpoint, and cheap when it is written over.
        # A long sweep is of the second kind.
        self.database.execute("BEGIN")
        self.save(ROWS_PER_CHECKPOINT)
        self.database.execute("COMMIT")

    @classmethod
    def version(cls) -> str:
        return sqlite3.sqlite_version

    def save(self, count: int) -> None:
        for _ in range(count):
            row = (self.result.experiment_id, self.result.model_dump_json(indent=2))
            self.database.execute("INSERT INTO results (experiment, record) VALUES (?, ?)", row)

    def last(self) -> object:
        (record,) = self.database.execute("SELECT record FROM results ORDER BY id DESC LIMIT 1").fetchone()
        return json.loads(record)


class FullRows(_Rows):
    """The log is flushed at every commit."""

    synchronous = "FULL"


class NormalRows(_Rows):
    """The log is flushed before a checkpoint."""

    synchronous = "NORMAL"
