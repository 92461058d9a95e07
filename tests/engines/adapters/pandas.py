"""pandas over `to_pandas`: the reference."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engines.queries import Aggregate, Check, Query, Rows
    from llenergymeasure.results.scan import Scan

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Pandas:
    """Frames in memory."""

    packages = ("pandas",)

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        return answer_of_frame(scan.to_pandas(), query)


def answer_of_frame(frame: Any, query: Query) -> Rows:
    """Return the rows of a query on a frame with the columns of a scan."""
    for test in query.where:
        frame = frame[mask_of(frame[test.column], test)]
    if not query.aggregates:
        return list(zip(*(frame[name].tolist() for name in query.columns), strict=True))
    if not query.columns:
        return [tuple(_aggregated(frame, one) for one in query.aggregates)]
    groups = frame.groupby(list(query.columns), dropna=False, sort=False)
    return [(*key, *(_aggregated(part, one) for one in query.aggregates)) for key, part in groups]


def mask_of(values: Any, test: Check) -> Any:
    """Return which values meet a test; a missing one meets none but `is null`."""
    if test.operator == "is null":
        return values.isna()
    present = ~values.isna()  # Dask has no notna
    if test.operator == "is not null":
        return present
    if test.operator == "in":
        mask = values.isin(test.value)
    elif test.operator == "starts with":
        mask = values.str.startswith(test.value)
    else:
        mask = COMPARISONS[test.operator](values, test.value)
    # A comparison with a missing value is missing or, of times, true or false.
    return mask.fillna(False).astype(bool) & present  # noqa: FBT003 - the value of missing ones


def _aggregated(frame: Any, aggregate: Aggregate) -> Any:
    values = frame[aggregate.column]
    if aggregate.function == "count":
        return int(values.count())
    if not values.count():
        return None
    return values.sum(min_count=1) if aggregate.function == "sum" else getattr(values, aggregate.function)()


ENGINE = Pandas()
