"""The table of a scan in the form of another library, or in a file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llenergymeasure import _store
from llenergymeasure._escape import escape
from llenergymeasure._warnings import warn
from llenergymeasure.results import _sql
from llenergymeasure.results._paths import local_path

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from llenergymeasure._store import Batch, Schema
    from llenergymeasure.errors import LLEMError

EXPORT_ENDINGS = (".parquet", ".csv", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson")
_PANDAS_TYPES = {
    "float": "float32",
    "double": "float64",
    "string": "string",
    "timestamp[us]": "datetime64[us]",
    "timestamp[us, tz=UTC]": "datetime64[us, UTC]",
}
_PANDAS_NULLABLE = {"bool": "boolean", "int32": "Int32", "int64": "Int64", "uint64": "UInt64"}


class Tables(ABC):
    """The conversions of a table that is read in batches."""

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """The columns and their types."""

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Read the rows in batches."""

    @abstractmethod
    def _begin(self) -> _store.Reader: ...

    @abstractmethod
    def _note(self, invalid: list[tuple[Path | str, LLEMError | UserWarning]]) -> None: ...

    @abstractmethod
    def _warn(self, reader: _store.Reader) -> None: ...

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
        pyarrow = load_package("pyarrow", "to_arrow")
        table: pa.Table = pyarrow.table(self._table())
        return table

    def to_polars(self) -> pl.DataFrame:
        """Read all rows into a polars frame.

        Raises:
            ImportError: polars is not installed.
        """
        polars = load_package("polars", "to_polars")
        frame: pl.DataFrame = polars.DataFrame(self._table())
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """Read all rows into a pandas frame.

        Integers and booleans with nulls have pandas' nullable types, so that integers stay integers.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = load_package("pandas", "to_pandas")
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
        """Return a DuckDB query on the table `results`; quote a column with a dot in its name.

            scan.sql('select backend, sum(total_energy_j) from results group by backend')

        With polars and pyarrow installed, the relation reads the tree when it is executed, and only what it
        needs: the columns of the query, and the rows that meet its comparisons of a column with a value,
        `in`, `is null` and `is not null`. It keeps a limit to itself, and `>` and `>=` of floats, since NaN
        is greater than all numbers for DuckDB. Otherwise this method reads the whole table into memory.

        A name in quotes stands for the column of exactly that name. DuckDB itself ignores case: a result with
        several columns that differ only in case has them as `"effective_config.tp (2)"`.

        Raises:
            ImportError: duckdb is not installed.
            ValueError: A name in quotes fits several columns, and is written as none of them.
        """
        connection = load_package("duckdb", "sql").connect()
        distinct = _sql.distinct_names(self.schema.names)
        connection.register("results", self._sql_table(distinct))
        if all(name == unique for name, unique in distinct.items()):
            relation: duckdb.DuckDBPyRelation = connection.sql(query)
            return relation
        return _sql.with_own_names(connection.sql(_sql.with_distinct_names(query, distinct)), distinct)

    def _sql_table(self, names: dict[str, str]) -> Any:  # noqa: ANN401 - of any library that DuckDB reads
        """Return the table for DuckDB, with other names of columns."""
        return self._table().renamed(list(names.values()))

    def _table(self) -> _store.Table:
        batches = list(self)
        return _store.Table(self.schema, batches)


def _pandas_type(kind: str, values: list[Any]) -> str:
    """Return the pandas type of a column, from the name of its Arrow type and its nulls."""
    if kind in _PANDAS_NULLABLE:
        return _PANDAS_NULLABLE[kind] if None in values else kind
    return _PANDAS_TYPES.get(kind, "object")


def is_installed(package: str) -> bool:
    """Return whether a package can be imported."""
    try:
        import_module(package)
    except ImportError:
        return False
    return True


def load_package(package: str, method: str) -> Any:  # noqa: ANN401 - a module
    """Return a package that a method of a scan needs.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"Scan.{method} needs {package}: pip install {package}", name=package) from error
