"""Spark over its Python data source, with three partitions."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache, reduce
from typing import TYPE_CHECKING, Any

from engines.adapters.pandas import COMPARISONS
from support import spark

if TYPE_CHECKING:
    from engines.queries import Check, Query, Rows
    from llenergymeasure.results.scan import Scan


class Spark:
    """Data frames of a session of two threads."""

    packages = ("pyspark", "pyarrow")

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        from pyspark.sql import functions

        frame = _frame(scan)
        if query.where:
            frame = frame.where(reduce(lambda left, right: left & right, map(_predicate, query.where)))
        columns = [_column(name) for name in query.columns]
        if query.aggregates:
            each = [
                getattr(functions, one.function)(_column(one.column)).alias(str(number))
                for number, one in enumerate(query.aggregates)
            ]
            frame = frame.groupBy(*columns).agg(*each)
        else:
            frame = frame.select(*columns)
        # Arrow keeps what rows of Spark lose: the zone of an instant.
        table = frame.toArrow()
        return [
            tuple(int(value) if isinstance(value, Decimal) else value for value in row)
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True)
        ]


@cache
def _frame(scan: Scan) -> Any:
    return spark.load(str(scan.root), columns=json.dumps(scan.schema.names), partitions="3")


def _column(name: str) -> Any:
    from pyspark.sql import functions

    return functions.col(f"`{name}`")


def _predicate(test: Check) -> Any:
    column = _column(test.column)
    if test.operator == "is null":
        return column.isNull()
    if test.operator == "is not null":
        return column.isNotNull()
    if test.operator == "in":
        return column.isin(test.value)
    if test.operator == "starts with":
        return column.startswith(test.value)
    return COMPARISONS[test.operator](column, _literal(test.value))


def _literal(value: Any) -> Any:
    """Return a literal: Python has one type for integers, and Spark's `long` has 64 bits with a sign."""
    from pyspark.sql import functions

    if isinstance(value, int) and not isinstance(value, bool):
        return functions.lit(Decimal(value) if value >= 1 << 63 else value)
    # A naive time of Python is an instant of the session for Spark.
    is_local = hasattr(value, "tzinfo") and value.tzinfo is None
    return functions.lit(str(value)).cast("timestamp_ntz") if is_local else functions.lit(value)


ENGINE = Spark()
