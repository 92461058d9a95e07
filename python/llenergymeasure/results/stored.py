"""One result on disk, as a handle that reads nothing before it is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.results._limit import check_limit
from llenergymeasure.results._load import load_record

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.timeseries import Timeseries
    from llenergymeasure.types import MissingSidecar

__all__ = ["StoredResult"]


class StoredResult:
    """A result on disk.

    Args:
        directory: Its directory, absolute.
        max_record_bytes: As for `ResultStore`.
    """

    _max_record_bytes: int | None = None

    def __init__(self, directory: str | os.PathLike[str], *, max_record_bytes: int | None = None) -> None:
        """Take its directory."""
        self._directory = os.fsdecode(directory)
        self._max_record_bytes = check_limit(max_record_bytes)

    @property
    def path(self) -> Path:
        """Its `result.json`."""
        return Path(self._directory, _store.RECORD)

    def __repr__(self) -> str:
        """Name the directory."""
        return f"StoredResult({self._directory!r})"

    def __eq__(self, other: object) -> bool:
        """Two are equal when they are of one directory path."""
        return isinstance(other, StoredResult) and self._directory == other._directory

    def __hash__(self) -> int:
        """Hash the directory path."""
        return hash(self._directory)

    def load(self, *, missing_sidecar: MissingSidecar = "warn") -> ExperimentResult:
        """Load it and check it against the schema; see `ResultStore.load`."""
        return load_record(self._directory, missing_sidecar, self._max_record_bytes)

    def timeseries(self) -> Timeseries:
        """Read its power trace; see `results.timeseries.read_timeseries`.

        Raises:
            PersistenceError: There is none, or it cannot be read; it is a `FileNotFoundError` where there is
                none.
            ResultError: The sidecar is no power trace.
        """
        from llenergymeasure.results.timeseries import read_trace  # noqa: PLC0415 - few need it

        return read_trace(self._directory, self._max_record_bytes)
