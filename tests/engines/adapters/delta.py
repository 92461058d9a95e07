"""A Delta table that `to_delta` wrote, read by pyarrow."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from engines.adapters.duckdb import to_sql

if TYPE_CHECKING:
    from engines.queries import Query, Rows
    from llenergymeasure.results.scan import Scan


class Delta:
    """Tables of Delta Lake."""

    packages = ("deltalake", "duckdb", "pyarrow")

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        import deltalake
        import duckdb

        with tempfile.TemporaryDirectory() as directory:
            scan.derived(query.names).to_delta(directory)
            table = deltalake.DeltaTable(directory).to_pyarrow_table()
        assert table.num_rows
        relation: Any = duckdb.from_arrow(table).query("results", to_sql(query))
        rows: Rows = relation.fetchall()
        return rows

    def refuses(self, query: Query) -> str | None:
        """Return a pattern of the error where columns differ only in case."""
        is_ambiguous = len({name.lower() for name in query.names}) < len(query.names)
        return "expected columns that differ in more than case" if is_ambiguous else None


ENGINE = Delta()
