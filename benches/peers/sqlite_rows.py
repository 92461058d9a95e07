"""SQLite in WAL mode: one row and one transaction per result."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import ClassVar

from llenergymeasure import ExperimentResult
from peers.session import Session

__all__ = ["FullRows", "NormalRows"]

ROWS_PER_CHECKPOINT = 400
"""Enough rows of 9 KB for the 1000 pages of a default checkpoint."""


class _Rows(Session):
    synchronous: ClassVar[str]

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        # Without an isolation level, each statement is a transaction.
        self.database = sqlite3.connect(directory / "results.db", isolation_level=None)
        (mode,) = self.database.execute("PRAGMA journal_mode = WAL").fetchone()
        assert mode == "wal", f"journal mode {mode}"
        self.database.execute(f"PRAGMA synchronous = {self.synchronous}")
        self.database.execute("CREATE TABLE results (id INTEGER PRIMARY KEY, experiment TEXT, record TEXT)")
        # A commit is slow while the log grows, before its first checkpoint, and fast afterwards.
        # A long sweep has the second kind.
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
    """Rows whose log is flushed at every commit."""

    synchronous = "FULL"


class NormalRows(_Rows):
    """Rows whose log is flushed only before a checkpoint."""

    synchronous = "NORMAL"
