"""A lazy table over the results of a tree, or over their power traces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llenergymeasure import _store
from llenergymeasure._escape import escape
from llenergymeasure._store import Batch, Schema
from llenergymeasure._warnings import warn
from llenergymeasure.errors import LLEMError
from llenergymeasure.results import _sql
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._paths import Place, local_path, to_path

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from llenergymeasure.results.types import OnBadFile, Progress
    from llenergymeasure.types import ResultPath

__all__ = ["EXPORT_ENDINGS", "Batch", "Scan", "Schema", "warn_of_skipped"]

EXPORT_ENDINGS = (".parquet", ".csv", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson")
_PANDAS_TYPES = {
    "float": "float32",
    "double": "float64",
    "string": "string",
    "timestamp[us]": "datetime64[us]",
    "timestamp[us, tz=UTC]": "datetime64[us, UTC]",
}
_PANDAS_NULLABLE = {"bool": "boolean", "int32": "Int32", "int64": "Int64", "uint64": "UInt64"}


class Scan:
    """A lazy table over a directory of results.

    Each use reads the tree again. Arrow libraries accept a scan: `pyarrow.table(scan)`,
    `polars.DataFrame(scan)`, `duckdb.sql("select ... from scan")`.

    A result is a directory with a `result.json`, at any depth. Rows come in the order of the paths.
    Directories below a result (other than the root) and directories whose names begin with a dot are not
    searched. A symlink to a `result.json` or a sidecar is followed. A symlink to a directory is not, unless
    the store has `follow_links`; the end of a reading warns once with their number. Saves may run during a
    scan: a row is complete or absent.

    Columns of results have dotted paths as names (`energy_breakdown.adjusted_j`) and the types of the schema:

    - Lists of numbers and of strings are list columns. `process_results` is a column of JSON strings, and
      `process_results.gpu_id` is a column of lists with an item per process.
    - `start_time` is the local time without a zone. `start_time.utc` is the instant, or null if the record
      does not have the zone.
    - Non-finite floats are floats. An integer of the schema that exceeds 64 bits is null, with a warning.
    - Absent fields have their defaults. `timeseries` is the name of the sidecar on disk, even if the record
      has none.
    - `path` is the directory relative to the store, `saved_at` is the file system's time of the write, and
      `has_timeseries` is true if the result has a sidecar.

    The type of `effective_config.KEY` follows from its values (schema inference):

    - Integers have 64 bits, unsigned if necessary. Integers and floats together are floats, and so are
      strings of non-finite floats among numbers.
    - Any other mix is a column of JSON strings: values of several kinds, larger integers, integers among
      floats that have no equal float, and lists other than of numbers or of strings.
    - The keys of a nested object are columns of their own. A key is quoted, with the escapes of JSON, if it
      is empty or has a dot, a comma, an operator (`=`, `!`, `<`, `>`, `~`), a quote, a blank at an end or a
      character that is not printable: `effective_config."optimizer.lr"`.
    - Inference reads the whole tree at the first use of the schema, and the columns stay the same after that.
    - A table has at most 10 000 keys. `ResultStore.scan(config=...)` avoids the limit and the inference.

    Attributes:
        errors: The error of each invalid file at the last reading, by its path. A file is invalid if it is
            empty, truncated, not JSON, of another schema line or unreadable, or if any of its fields is
            invalid, also one that the scan does not return.
    """

    def __init__(
        self,
        root: Place,
        scan: _store.Scan | _store.Traces,
        on_error: OnBadFile,
        progress: Progress | None,
        *,
        warns_of_links: bool = True,
    ) -> None:
        """Create a scan; see `ResultStore.scan`."""
        self._root = root
        self._scan = scan
        self._on_error = on_error
        self._progress = progress
        self._warns_of_links = warns_of_links
        self.errors: dict[ResultPath, LLEMError] = {}
        self._beyond: list[UserWarning] = []

    def __repr__(self) -> str:
        """Return the class and the root."""
        return f"<Scan of {str(self._root)!r}>"

    @property
    def schema(self) -> Schema:
        """The columns and their types, with `__arrow_c_schema__`."""
        known = self._scan.schema
        return known if known is not None else self._read().schema

    def __iter__(self) -> Iterator[Batch]:
        """Read the rows in batches."""
        reader = self._begin()
        while (read := reader.next()) is not None:
            batch, invalid = read
            self._note(invalid)
            if len(batch) > 0:
                yield batch
        self._warn(reader)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Read the rows as an Arrow stream. `requested_schema` is ignored: the reader converts."""
        reader = self._begin()

        def report(invalid: list[tuple[Path | str, LLEMError | UserWarning]] | None) -> None:
            if invalid is not None:
                self._note(invalid)
            else:
                self._warn(reader)

        return reader.stream(report)

    def __arrow_c_schema__(self) -> object:
        """Export the schema."""
        return self.schema.__arrow_c_schema__()

    def to_pydict(self) -> dict[str, list[Any]]:
        """Read all rows into a list per column: times are `datetime`, lists are lists."""
        columns: dict[str, list[Any]] = {}
        for batch in self:
            for name, values in batch.to_pydict().items():
                columns.setdefault(name, []).extend(values)
        return columns or {name: [] for name in self.schema.names}

    def to_arrow(self) -> pa.Table:
        """Read all rows into a pyarrow table.

        Raises:
            ImportError: pyarrow is not installed.
        """
        pyarrow = _load("pyarrow", "to_arrow")
        table: pa.Table = pyarrow.table(self._table())
        return table

    def to_polars(self) -> pl.DataFrame:
        """Read all rows into a polars frame.

        Raises:
            ImportError: polars is not installed.
        """
        polars = _load("polars", "to_polars")
        frame: pl.DataFrame = polars.DataFrame(self._table())
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Read all rows into a pandas frame.

        Integers and booleans with nulls have pandas' nullable types, so that integers stay integers.

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

    def export(self, path: str | os.PathLike[str], *, excel: bool = False) -> int:
        """Write the table to a file, durably and atomically; replace a file of the same name.

        A table without rows replaces no file.

        The ending selects the format. Rows are written while they are read, so the table may exceed memory.

        - `.parquet` (with zstd) and `.arrow`, `.feather`, `.ipc` (the file format of Arrow IPC) keep all
          types.
        - `.csv` has a header. A null is an empty cell, and an empty string is `""`. Times are ISO 8601, lists
          are JSON, and non-finite floats are `NaN`, `Infinity`, `-Infinity`.
        - `.jsonl` and `.ndjson` have an object per row with the names of the columns as keys, nulls included.
          Lists are arrays, times are ISO 8601, and non-finite floats are the strings `"NaN"`, `"Infinity"`,
          `"-Infinity"`.

        Args:
            path: The file.
            excel: For CSV that a spreadsheet opens: write an apostrophe before a text that begins with `=`,
                `+`, `-`, `@`, a tab or a line break, so that it is not evaluated as a formula. Numbers stay
                numbers. A program that reads the file gets the apostrophe, too.

        Returns:
            The number of rows.

        Raises:
            ValueError: The ending is unknown, or the file is the power trace of a result; `excel` without an
                ending of `.csv`; or there is no column.
            PersistenceError: The file could not be written, and the old one is unchanged; or (`committed`)
                the new file is in place and its flush failed.

        Warns:
            UserWarning: There are no rows, and the file that exists is unchanged.
        """
        rows, is_written = self.write_file(path, excel=excel)
        if not is_written:
            warn(f"nothing to export: the table has no rows; {os.fsdecode(path)} is unchanged")
        return rows

    def write_file(self, path: str | os.PathLike[str], *, excel: bool = False) -> tuple[int, bool]:
        """Write the table as `export` does; return the number of rows, and False if an old file is kept."""
        target = os.path.abspath(local_path(path))  # noqa: PTH100
        ending = os.path.splitext(target)[1].lower()  # noqa: PTH122
        if ending not in EXPORT_ENDINGS:
            given = escape(os.fsdecode(path))
            raise ValueError(f"path expects an ending of {', '.join(EXPORT_ENDINGS)}, got {given}")
        folder, name = os.path.split(target)
        if name == _store.SIDECAR and os.path.lexists(os.path.join(folder, _store.RECORD)):  # noqa: PTH118
            text = "path expects a new file, got {}, the power trace of a result; rename it"
            raise ValueError(text.format(escape(os.fsdecode(path))))
        if excel and ending != ".csv":
            raise ValueError(f"excel expects a path that ends in .csv, got {escape(os.fsdecode(path))}")
        reader = self._begin()
        if not len(reader.schema):
            raise ValueError("expected a table with columns, got none; name the columns to export")
        rows, is_written, invalid = reader.export(target, excel=excel)
        self._note(invalid)
        self._warn(reader)
        return rows, is_written

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Run a DuckDB query on the table `results`; quote a column with a dot in its name.

            scan.sql('select backend, sum(total_energy_j) from results group by backend')

        A name in quotes stands for the column of exactly that name. DuckDB itself ignores case: a result with
        several columns that differ only in case has them as `"effective_config.tp (2)"`.

        Raises:
            ImportError: duckdb is not installed.
            ValueError: A name in quotes fits several columns, and is written as none of them.
        """
        module = _load("duckdb", "sql")
        connection = module.connect()
        table = self._table()
        distinct = _sql.distinct_names(self.schema.names)
        if all(name == unique for name, unique in distinct.items()):
            connection.register("results", table)
            relation: duckdb.DuckDBPyRelation = connection.sql(query)
            return relation
        connection.register("results", table.renamed(list(distinct.values())))
        return _sql.with_own_names(connection.sql(_sql.with_distinct_names(query, distinct)), distinct)

    def _table(self) -> _store.Table:
        batches = list(self)
        return _store.Table(self.schema, batches)

    def _read(self) -> _store.Reader:
        progress = self._progress
        return self._scan.read(
            progress=None if progress is None else lambda done: progress(done, None),
        )

    def _begin(self) -> _store.Reader:
        reader = self._read()
        self.errors, self._beyond = {}, []
        return reader

    def _note(self, invalid: list[tuple[Path | str, LLEMError | UserWarning]]) -> None:
        for path, error in invalid:
            if isinstance(error, UserWarning):
                self._beyond.append(error)
            else:
                self.errors[to_path(self._root, path)] = error

    def _warn(self, reader: _store.Reader) -> None:
        if self._beyond:
            more = len(self._beyond) - 1
            warn(f"{self._beyond[0]}{f' ({more} more results have such an integer)' if more else ''}")
        if self._on_error == "skip":
            warn_of_skipped(list(self.errors.values()))
        if self._warns_of_links:
            warn_of_links(self._root, reader.links)


def warn_of_skipped(errors: list[LLEMError]) -> None:
    """Warn of invalid files that a reading left out, with their number."""
    if errors:
        were = "file was" if len(errors) == 1 else "files were"
        warn(f"{len(errors)} {were} skipped; the first: {errors[0]}")


def _pandas_type(kind: str, values: list[Any]) -> str:
    """Return the pandas type of a column, from the name of its Arrow type and its nulls."""
    if kind in _PANDAS_NULLABLE:
        return _PANDAS_NULLABLE[kind] if None in values else kind
    return _PANDAS_TYPES.get(kind, "object")


def _load(package: str, method: str) -> Any:  # noqa: ANN401 - a module
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"Scan.{method} needs {package}: pip install {package}", name=package) from error
