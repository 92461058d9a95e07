"""Polars over `lazy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.adapters.pandas import COMPARISONS

if TYPE_CHECKING:
    from engines.queries import Aggregate, Check, Query, Rows
    from llenergymeasure.results.scan import Scan


class Polars:
    """Lazy frames."""

    packages = ("polars",)

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        frame = scan.lazy().filter(*map(_predicate, query.where))
        each = [_aggregated(one).alias(str(number)) for number, one in enumerate(query.aggregates)]
        if not each:
            frame = frame.select(query.columns)
        elif query.columns:
            frame = frame.group_by(query.columns).agg(each)
        else:
            frame = frame.select(each)
        rows: Rows = frame.collect().rows()
        return rows


def _predicate(test: Check) -> Any:
    import polars as pl

    column = pl.col(test.column)
    if test.operator == "is null":
        return column.is_null()
    if test.operator == "is not null":
        return column.is_not_null()
    if test.operator == "in":
        return column.is_in(test.value)
    if test.operator == "starts with":
        return column.str.starts_with(test.value)
    return COMPARISONS[test.operator](column, test.value)


def _aggregated(aggregate: Aggregate) -> Any:
    import polars as pl

    column = pl.col(aggregate.column)
    result = getattr(column, aggregate.function)()
    # The sum of no values is 0 in polars.
    return pl.when(column.count() > 0).then(result) if aggregate.function == "sum" else result


ENGINE = Polars()
