"""A tree of results, or of their power traces, as one table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llenergymeasure import _store
from llenergymeasure._store import Batch, Schema
from llenergymeasure.errors import LLEMError
from llenergymeasure.results import _columns, _conditions
from llenergymeasure.results._interrupt import is_interruptible
from llenergymeasure.results._limit import max_bytes
from llenergymeasure.results._warnings import warn
from llenergymeasure.results.types import OnBadFile, check_policy

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from llenergymeasure.results.types import Condition, Progress

__all__ = [
    "BATCH_SIZE",
    "EXPORT_ENDINGS",
    "Batch",
    "Scan",
    "Schema",
    "completed",
    "scan_results",
    "scan_traces",
]

BATCH_SIZE = 4096
EXPORT_ENDINGS = (".parquet", ".csv", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson")
_TRACE_COLUMNS = (
    "path",
    "experiment_id",
    "timestamp_s",
    "gpu_index",
    "power_w",
    "temperature_c",
    "memory_used_mb",
    "memory_total_mb",
    "sm_utilisation_pct",
    "throttle_reasons",
)

_PANDAS_TYPES = {
    "float": "float32",
    "double": "float64",
    "string": "string",
    "timestamp[us]": "datetime64[us]",
    "timestamp[us, tz=UTC]": "datetime64[us, UTC]",
}
_PANDAS_NULLABLE = {"bool": "boolean", "int32": "Int32", "int64": "Int64", "uint64": "UInt64"}


class Scan:
    """A table that is read from a directory of results, and not before it is asked for.

    It can be read again and again, and is read anew each time. Every Arrow library takes it as it is:
    `pyarrow.table(scan)`, `polars.DataFrame(scan)`, `duckdb.sql("select ... from scan")`.

    Results may lie at any depth; rows come in the order of their paths. Directories whose names begin with a
    dot are not looked into, symlinks not followed, and a directory without `result.json` is no result; one
    that has it is not searched for others, but for the root. Saves may go on meanwhile: a result is whole or
    not there yet.

    Attributes:
        errors: What was no result at the last reading, by its path: empty, truncated, not JSON, of another
            schema line, unreadable.
    """

    def __init__(
        self, root: str, scan: _store.Scan | _store.Traces, on_error: OnBadFile, progress: Progress | None
    ) -> None:
        """Take a question: see `ResultStore.scan`."""
        self._root = root
        self._scan = scan
        self._on_error = on_error
        self._progress = progress
        self.errors: dict[Path, LLEMError] = {}

    def __repr__(self) -> str:
        """Name the directory."""
        return f"<Scan of {self._root!r}>"

    @property
    def schema(self) -> Schema:
        """The columns and their types; has `__arrow_c_schema__`."""
        known = self._scan.schema
        return known if known is not None else self._read().schema

    def __iter__(self) -> Iterator[Batch]:
        """Read the rows, batch by batch."""
        reader = self._read()
        self.errors = {}
        while (part := reader.next()) is not None:
            batch, bad = part
            self.errors.update(bad)
            if len(batch) > 0:
                yield batch
        self._warn()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Read the rows as an Arrow stream; another schema is for the reader to make of it."""
        reader = self._read()
        self.errors = {}
        return reader.stream(self._note)

    def __arrow_c_schema__(self) -> object:
        """Export the schema."""
        return self.schema.__arrow_c_schema__()

    def to_pydict(self) -> dict[str, list[Any]]:
        """Read everything into lists, by column: times are `datetime`, lists are lists."""
        columns: dict[str, list[Any]] = {}
        for batch in self:
            for name, values in batch.to_pydict().items():
                columns.setdefault(name, []).extend(values)
        return columns or {name: [] for name in self.schema.names}

    def to_arrow(self) -> pa.Table:
        """Read everything into a pyarrow table.

        Raises:
            ImportError: pyarrow is not installed.
        """
        pyarrow = _load("pyarrow", "to_arrow")
        table: pa.Table = pyarrow.table(self._table())
        return table

    def to_polars(self) -> pl.DataFrame:
        """Read everything into a polars frame.

        Raises:
            ImportError: polars is not installed.
        """
        polars = _load("polars", "to_polars")
        frame: pl.DataFrame = polars.DataFrame(self._table())
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Read everything into a pandas frame.

        Integers and booleans beside nulls are of pandas' own nullable types, so that an integer stays one.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = _load("pandas", "to_pandas")
        batches = list(self)
        schema = self.schema
        columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        for batch in batches:
            for name, values in batch.to_pydict().items():
                columns[name] += values
        series = {
            name: pandas.Series(values, dtype=_pandas_type(kind, values))
            for (name, values), kind in zip(columns.items(), schema.types, strict=True)
        }
        frame: pd.DataFrame = pandas.DataFrame(series, index=range(sum(map(len, batches))))
        return frame

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write the table to a file, durably, whole or not at all, over whatever has its name.

        The ending tells the format. Rows go to the file as they are read, so that the table may be larger
        than memory.

        - `.parquet` (with zstd) and `.arrow`, `.feather`, `.ipc` (the file format of Arrow IPC) keep every
          type.
        - `.csv` has a header. A null is an empty cell, an empty string `""`; times are ISO 8601, lists are
          JSON, and floats that are not finite `NaN`, `Infinity`, `-Infinity`.
        - `.jsonl`, `.ndjson` have an object for each row, keyed by the names of the columns, with its nulls.
          Lists are arrays, times ISO 8601, and floats that are not finite the strings `"NaN"`, `"Infinity"`,
          `"-Infinity"`.

        Returns:
            The number of rows.

        Raises:
            ValueError: The ending is none of these; or the file is the power trace of a result.
            PersistenceError: The file could not be written, and what was there is unchanged; or (`committed`)
                it is in place and its flush failed.
        """
        target = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        ending = os.path.splitext(target)[1].lower()  # noqa: PTH122
        if ending not in EXPORT_ENDINGS:
            raise ValueError(f"{os.fsdecode(path)} ends in none of {', '.join(EXPORT_ENDINGS)}")
        folder, name = os.path.split(target)
        if name == _store.SIDECAR and os.path.lexists(os.path.join(folder, _store.RECORD)):  # noqa: PTH118
            raise ValueError(f"{os.fsdecode(path)} is the power trace of a result; export to another name")
        self.errors = {}
        rows, bad = self._read().export(target)
        self.errors.update(bad)
        self._warn()
        return rows

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Ask DuckDB; the table is called `results`, and a column with a dot in its name is quoted.

            scan.sql('select backend, sum(total_energy_j) from results group by backend')

        Raises:
            ImportError: duckdb is not installed.
        """
        module = _load("duckdb", "sql")
        connection = module.connect()
        connection.register("results", self._table())
        relation: duckdb.DuckDBPyRelation = connection.sql(query)
        return relation

    def _table(self) -> _store.Table:
        batches = list(self)
        return _store.Table(self.schema, batches)

    def _read(self) -> _store.Reader:
        progress = self._progress
        return self._scan.read(
            progress=None if progress is None else lambda done: progress(done, None),
            interruptible=is_interruptible(),
        )

    def _note(self, bad: list[tuple[Path, LLEMError]] | None) -> None:
        if bad is not None:
            self.errors.update(bad)
        else:
            self._warn()

    def _warn(self) -> None:
        if self._on_error == "skip":
            _warn_of_skipped(list(self.errors.values()))


def scan_results(  # noqa: PLR0913 - what a scan is asked for
    root: str,
    columns: Iterable[str] | None,
    *,
    where: Iterable[Condition] | None = None,
    on_error: OnBadFile = "raise",
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
    infer: bool = True,
    limit: int | None = None,
) -> Scan:
    """Ask for results as a table: see `ResultStore.scan`.

    Without `infer`, the named keys of `effective_config` are JSON strings, and nothing is read before the
    first batch.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1, not {batch_size}")
    scan = _store.Scan(
        root,
        _columns.RECORD_SCHEMA(),
        _columns.all_columns() if columns is None else _columns.find_columns(columns),
        [_conditions.checked(condition) for condition in _conditions.listed(where)],
        batch_size=batch_size,
        strict=_is_strict(on_error),
        max_bytes=max_bytes(limit),
        infer=infer,
    )
    return Scan(root, scan, on_error, progress)


def scan_traces(  # noqa: PLR0913 - what a scan is asked for
    root: str,
    columns: Iterable[str] | None,
    *,
    where: Iterable[Condition] | None = None,
    on_error: OnBadFile = "raise",
    progress: Progress | None = None,
    limit: int | None = None,
) -> Scan:
    """Ask for power traces as a table: see `ResultStore.scan_timeseries`."""
    names = list(_TRACE_COLUMNS if columns is None else _columns.check_names(columns))
    of_records: list[tuple[str, str, object]] = []
    of_traces: list[tuple[str, str, object]] = []
    for condition in _conditions.listed(where):
        name = condition[0] if isinstance(condition, (tuple, list)) and condition else None
        is_of_trace = isinstance(name, str) and _is_of_trace(name, names)
        (of_traces if is_of_trace else of_records).append(
            _conditions.checked(condition, is_of_trace=is_of_trace)
        )
    record, strict, most = _columns.RECORD_SCHEMA(), _is_strict(on_error), max_bytes(limit)
    scan = _store.Traces(root, record, names, of_records, of_traces, strict=strict, max_bytes=most)
    return Scan(root, scan, on_error, progress)


def completed(root: str, *, limit: int | None = None) -> set[str]:
    """Return the hashes of the configurations below a directory: see `ResultStore.completed`."""
    interruptible = is_interruptible()
    hashes, bad = _store.completed(
        root, _columns.RECORD_SCHEMA(), max_bytes=max_bytes(limit), interruptible=interruptible
    )
    _warn_of_skipped([error for _, error in bad])
    return hashes


def _warn_of_skipped(errors: list[LLEMError]) -> None:
    if errors:
        were = "file was" if len(errors) == 1 else "files were"
        warn(f"{len(errors)} {were} skipped; the first: {errors[0]}")


def _is_of_trace(name: str, names: list[str]) -> bool:
    """Whether a condition is on a column of the traces: one that is asked for, or that no record has."""
    if name in _TRACE_COLUMNS:
        return name not in _TRACE_COLUMNS[:2]
    of_record = _columns.kind_of(name) is not None or name.startswith(f"{_columns.CONFIG}.")
    return name in names or not of_record


def _is_strict(on_error: OnBadFile) -> bool:
    check_policy("on_error", on_error, OnBadFile)
    return on_error == "raise"


def _pandas_type(kind: str, values: list[Any]) -> str:
    """Return the type of a column in pandas, by the name of its Arrow type, whatever values are in it."""
    if kind in _PANDAS_NULLABLE:
        return _PANDAS_NULLABLE[kind] if None in values else kind
    return _PANDAS_TYPES.get(kind, "object")


def _load(package: str, method: str) -> Any:  # noqa: ANN401 - a module
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"Scan.{method} needs {package}: pip install {package}", name=package) from error
