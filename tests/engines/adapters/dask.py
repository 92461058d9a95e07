"""Dask over `integrations.dask`, with three partitions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engines.adapters.pandas import answer_of_frame, mask_of
from llenergymeasure import ResultStore

if TYPE_CHECKING:
    from engines.queries import Aggregate, Query, Rows
    from llenergymeasure.results.scan import Scan


class Dask:
    """Data frames of several partitions, computed in this thread."""

    packages = ("dask", "pandas", "pyarrow")

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        frame = _frame(scan)
        for test in query.where:
            frame = frame[mask_of(frame[test.column], test)]
        if not query.aggregates:
            computed = frame[list(query.columns)].compute(scheduler="sync")
            return answer_of_frame(computed, query._replace(where=()))
        return _groups(frame, query)


@cache
def _frame(scan: Scan) -> Any:
    from llenergymeasure.integrations.dask import read_results

    return read_results(ResultStore(scan.root), scan.schema.names, npartitions=3)


def _groups(frame: Any, query: Query) -> Rows:
    """Return the rows of a query with aggregates, each computed by a tree reduction of Dask."""
    import dask

    if not query.columns:
        return [
            dask.compute(*(_aggregated(frame[one.column], one) for one in query.aggregates), scheduler="sync")
        ]
    columns = list(query.columns)
    groups = frame.groupby(columns if len(columns) > 1 else columns[0], dropna=False)
    each = dask.compute(*(_aggregated(groups[one.column], one) for one in query.aggregates), scheduler="sync")
    keys = list(each[0].index)
    return [
        (*(key if len(columns) > 1 else (key,)), *(part.iloc[number] for part in each))
        for number, key in enumerate(keys)
    ]


def _aggregated(values: Any, aggregate: Aggregate) -> Any:
    return values.sum(min_count=1) if aggregate.function == "sum" else getattr(values, aggregate.function)()


ENGINE = Dask()
