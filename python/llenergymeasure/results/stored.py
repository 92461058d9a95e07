"""A handle of one result on disk, which reads on request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.results._limit import check_limit
from llenergymeasure.results._load import load_record
from llenergymeasure.results._paths import file_system_path, joined, located

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.timeseries import Timeseries
    from llenergymeasure.types import MissingSidecar, PathArgument, ResultPath

__all__ = ["StoredResult"]


class StoredResult:
    """A handle of a result on disk. It reads nothing until a method is called.

    Args:
        directory: The absolute path of the result's directory, or its path in an object store.
        max_record_bytes: As for `ResultStore`.
        max_trace_bytes: The memory of all power traces that this process reads at once, as for `ResultStore`.
    """

    _max_record_bytes: int | None = None
    _max_trace_bytes: int | None = None

    def __init__(
        self,
        directory: PathArgument,
        *,
        max_record_bytes: int | None = None,
        max_trace_bytes: int | None = None,
    ) -> None:
        """Create a handle of a directory."""
        self._directory = located(directory, "directory")
        self._max_record_bytes = check_limit(max_record_bytes)
        self._max_trace_bytes = check_limit(max_trace_bytes, "max_trace_bytes")

    @property
    def path(self) -> ResultPath:
        """The path of the `result.json`."""
        record = joined(self._directory, _store.RECORD)
        return Path(record) if isinstance(record, str) else record

    def __fspath__(self) -> str:
        """Return the path of the `result.json`, so that `open(stored)` and `Path(stored)` work.

        Raises:
            TypeError: The result is in an object store.
        """
        return file_system_path(joined(self._directory, _store.RECORD), "a result")

    def __repr__(self) -> str:
        """Return the class and the directory."""
        return f"StoredResult({str(self._directory)!r})"

    def __eq__(self, other: object) -> bool:
        """Compare the paths of the directories."""
        return isinstance(other, StoredResult) and self._directory == other._directory

    def __hash__(self) -> int:
        """Hash the directory path."""
        return hash(self._directory)

    def load(self, *, missing_sidecar: MissingSidecar = "warn") -> ExperimentResult:
        """Load the result and validate it; see `ResultStore.load`."""
        return load_record(self._directory, missing_sidecar, self._max_record_bytes)

    def timeseries(self) -> Timeseries:
        """Read the power trace; see `results.timeseries.read_timeseries`.

        Raises:
            PersistenceError: The sidecar cannot be read; a `FileNotFoundError` if it does not exist.
            ResultError: The sidecar is not a power trace.
        """
        from llenergymeasure.results.timeseries import read_trace  # noqa: PLC0415 - rarely needed

        return read_trace(self._directory, self._max_record_bytes, self._max_trace_bytes)
