"""Results as a Dask DataFrame: `pip install "dask[dataframe]"`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

from llenergymeasure.results.scan import Scan
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.types import Condition, OnUnreadable, PartitionBy, check_policy

if TYPE_CHECKING:
    from llenergymeasure.types import RootArgument

__all__ = ["read_results"]

_STRING: Final = pd.StringDtype("pyarrow")
"""The type of texts in Dask, whatever pandas prefers."""
_NULLABLE: Final[dict[pa.DataType, Any]] = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


def read_results(  # noqa: PLR0913 - a parameter for each choice
    store: ResultStore | RootArgument,
    columns: Iterable[str] | None = None,
    *,
    where: Iterable[Condition] | None = None,
    schema: Mapping[str, str] | None = None,
    npartitions: int | None = None,
    by: PartitionBy = "count",
    on_error: OnUnreadable = "raise",
) -> dd.DataFrame:
    """Return a Dask DataFrame of the results of a store.

    The store is listed here, once; each partition reads its own results when it is computed, in any process
    that reaches the root under the same path or URL. Dask passes the columns that a computation needs to the
    reader (projection pushdown). It passes no filter: give it as `where`.

    The columns have the same types in every partition, whatever nulls it has: integers and booleans that may
    be null have pandas' nullable types, texts are `string[pyarrow]`, and lists are `list<...>[pyarrow]`.
    Other types are those of `Scan.to_pandas`.

    Args:
        store: The store, or its root.
        columns: As for `ResultStore.scan`.
        where: As for `ResultStore.scan`.
        schema: As for `ResultStore.scan`. Without it, the records are read here, once, if the columns or
            conditions need the types of the configuration.
        npartitions: The number of partitions; None is as many as have 4096 results each.
        by: As for `Scan.partitions`.
        on_error: The policy for an invalid file: `"raise"` its error where the partition is computed, or
            `"skip"` it, with a warning there.

    Raises:
        PersistenceError: The store cannot be listed.
        ValueError, TypeError: As `ResultStore.scan` and `Scan.partitions`.
    """
    check_policy("on_error", on_error, OnUnreadable)
    opened = store if isinstance(store, ResultStore) else ResultStore(store)
    scan = opened.scan(columns, where=where, schema=schema, on_error=on_error)
    parts = scan.partitions(npartitions, by=by)
    empty = pa.schema(parts[0].schema).empty_table()
    return dd.from_map(_read, parts, meta=_frame(empty), label="read-results")


def _read(part: Scan, columns: list[str]) -> pd.DataFrame:
    """Read some columns of a partition. Dask always passes `columns`, and an empty list for a count."""
    # Rows are counted by a column, since a table of pyarrow without columns has none.
    table = pa.table(part.derived(columns or part.schema.names[:1]))
    return _frame(table)[columns]


def _frame(table: pa.Table) -> pd.DataFrame:
    """Return a frame whose types follow from the schema of a table, and from no value."""
    types = {field.name: _type_of(field) for field in table.schema}
    frame: pd.DataFrame = table.to_pandas(types_mapper=_by_type)
    changed = {name: kind for name, kind in types.items() if frame[name].dtype != kind and kind is not None}
    return frame.astype(changed) if changed else frame


def _by_type(kind: pa.DataType) -> Any:  # noqa: ANN401 - a type of pandas, or None
    if pa.types.is_string(kind):
        return _STRING
    return pd.ArrowDtype(kind) if pa.types.is_list(kind) else _NULLABLE.get(kind)


def _type_of(field: pa.Field) -> Any:  # noqa: ANN401 - as _by_type
    """Return the type of numpy for a column without nulls, as `Scan.to_pandas` has it."""
    return field.type.to_pandas_dtype() if field.type in _NULLABLE and not field.nullable else None
