"""Ray Data over `examples/ray_data.py`, with three blocks: filters are its expressions, groups its own."""

from __future__ import annotations

import os
import runpy
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.adapters.pandas import COMPARISONS

if TYPE_CHECKING:
    from engines.queries import Check, Query, Rows
    from llenergymeasure.results.scan import Scan

EXAMPLE = Path(__file__).parents[3] / "examples" / "ray_data.py"


class Ray:
    """Blocks in the object store of Ray."""

    packages = ("ray", "pandas", "pyarrow")
    examples = 3
    """Generated queries: each with groups takes seconds."""

    def refuses(self, query: Query) -> str | None:
        """Return a pattern of the error of a query that Ray 2 cannot answer.

        It encodes the text of a filter as ASCII, and merges extremes of blocks as Python integers.
        """
        texts = [value for test in query.where for value in _values(test) if isinstance(value, str)]
        if not all(map(str.isascii, texts)):
            return "'ascii' codec can't encode"
        extremes = [one.column for one in query.aggregates if one.function in ("min", "max")]
        return "no kernel" if "effective_config.large" in extremes else None

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query."""
        data = _dataset(scan)
        if query.where:
            data = data.filter(expr=reduce(lambda one, other: one & other, map(_expression, query.where)))
        if not query.aggregates:
            rows = data.select_columns(list(dict.fromkeys(query.columns))).take_all()
            return [tuple(row[name] for name in query.columns) for row in rows]
        return _groups(data, query)


@cache
def _dataset(scan: Scan) -> Any:
    os.environ.update(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_USAGE_STATS_ENABLED="0")
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    return runpy.run_path(str(EXAMPLE))["read_results"](scan, override_num_blocks=3).materialize()


def _expression(test: Check) -> Any:
    from ray.data.expressions import col, lit

    column = col(test.column)
    if test.operator == "is null":
        return column.is_null()
    if test.operator == "is not null":
        return column.is_not_null()
    if test.operator == "in":
        return column.is_in(test.value)
    if test.operator == "starts with":
        return column.str.starts_with(test.value)
    return COMPARISONS[test.operator](column, lit(_unsigned(test.value)))


def _values(test: Check) -> list[Any]:
    return test.value if isinstance(test.value, list) else [test.value]


def _unsigned(value: Any) -> Any:
    """Return a literal that Arrow makes an unsigned integer where it needs 64 bits."""
    import numpy as np

    return np.uint64(value) if isinstance(value, int) and value >= 2**63 else value


def _groups(data: Any, query: Query) -> Rows:
    from ray.data.aggregate import Count, Max, Min, Sum

    functions = {"count": Count, "sum": Sum, "min": Min, "max": Max}
    wanted = [
        functions[one.function](one.column, ignore_nulls=True, alias_name=f"value {number}")
        for number, one in enumerate(query.aggregates)
    ]
    if not query.columns:
        row = data.aggregate(*wanted)
        # Ray counts no row of an empty dataset as null.
        return [
            tuple(
                0 if value is None and one.function == "count" else value
                for one, value in zip(query.aggregates, row.values(), strict=True)
            )
        ]
    rows = data.groupby(list(query.columns)).aggregate(*wanted).take_all()
    return [
        (*(row[name] for name in query.columns), *(row[f"value {n}"] for n in range(len(wanted))))
        for row in rows
    ]


ENGINE = Ray()
