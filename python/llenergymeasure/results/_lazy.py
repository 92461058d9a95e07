"""A scan as a lazy frame of polars, which asks it for the columns and rows of a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from llenergymeasure import _store
from llenergymeasure.results._predicates import implied

if TYPE_CHECKING:
    from llenergymeasure.results.scan import Scan

_SCALARS = (pl.Boolean, pl.Int32, pl.Int64, pl.UInt64, pl.Float64, pl.String, pl.Datetime)
"""The types of the columns whose conditions a scan evaluates."""


def lazy_frame(scan: Scan) -> pl.LazyFrame:
    """Return a lazy frame that reads a scan."""
    source = _Source(scan)
    return register_io_source(source, schema=source.schema, is_pure=True, explain_name="llenergymeasure")


class _Source:
    """The source of a lazy frame; it can be pickled."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._known: Scan | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Source, (self._resolved(),)

    def schema(self) -> pl.Schema:
        """Return the columns of the whole table."""
        return pl.DataFrame(_store.Table(self._resolved().schema, [])).schema

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Read the rows of a query in batches; `batch_size` is a hint that is not needed."""
        del batch_size
        scan, schema = self._resolved(), self.schema()
        # A frame without columns has no rows that polars could count.
        columns = (schema.names() if with_columns is None else with_columns) or schema.names()[:1]
        if n_rows is None and predicate is not None:
            conditions = implied(predicate, self._comparable(schema))
        else:
            conditions = []
        names = dict.fromkeys([*columns, *([] if predicate is None else predicate.meta.root_names())])
        derived = scan.derived(tuple(names), conditions, n_rows)
        try:
            for batch in derived:
                # A scan of power traces has no first rows. The limit comes before the predicate.
                frame = pl.DataFrame(batch).head(len(batch) if n_rows is None else n_rows)
                n_rows = None if n_rows is None else n_rows - len(frame)
                if predicate is not None:
                    frame = frame.filter(predicate)
                yield pl.DataFrame([frame.get_column(name) for name in columns])
        finally:
            self._scan.errors = derived.errors

    def _resolved(self) -> Scan:
        """Return the scan, which knows the types of its columns."""
        if self._known is None:
            self._known = self._scan.resolved()
        return self._known

    def _comparable(self, schema: pl.Schema) -> dict[str, pl.DataType]:
        """Return the columns of a scan of results whose values polars and a condition compare alike."""
        scan = self._resolved()
        if not scan.is_of_results:
            return {}
        as_json = set(scan.schema.json_names)
        return {
            name: dtype
            for name, dtype in schema.items()
            if isinstance(dtype, _SCALARS) and name not in as_json
        }
