"""DuckDB over `sql`, whose relation reads the tree."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engines.queries import Check, Query, Rows
    from llenergymeasure.results.scan import Scan


class DuckDB:
    """Relations."""

    packages = ("duckdb", "polars", "pyarrow")

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        rows: Rows = scan.sql(to_sql(query)).fetchall()
        return rows


def to_sql(query: Query, table: str = "results") -> str:
    """Return a query as SQL, with names in double quotes."""
    each = [quoted(name) for name in query.columns]
    each += [f"{one.function}({quoted(one.column)})" for one in query.aggregates]
    where = " and ".join(map(_condition, query.where))
    groups = ", ".join(str(number) for number in range(1, len(query.columns) + 1)) if query.aggregates else ""
    return (
        f"select {', '.join(each)} from {table}"  # noqa: S608 - of a test
        + (f" where {where}" if where else "")
        + (f" group by {groups}" if groups else "")
    )


def _condition(check: Check) -> str:
    name = quoted(check.column)
    if check.operator.startswith("is"):
        return f"{name} {check.operator}"
    if check.operator == "in":
        return f"{name} in ({', '.join(map(literal, check.value))})"
    if check.operator == "starts with":
        return f"starts_with({name}, {literal(check.value)})"
    return f"{name} {'=' if check.operator == '==' else check.operator} {literal(check.value)}"


def quoted(name: str) -> str:
    """Return a name in double quotes."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(value: Any) -> str:
    """Return a value in SQL."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"'{value}'::double"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"'{value}'::{'timestamptz' if value.tzinfo else 'timestamp'}"
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


ENGINE = DuckDB()
