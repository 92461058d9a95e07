"""Conditions of a scan that a predicate of polars implies.

A condition stands for a part of a predicate only if it selects every row that the predicate does: the caller
applies the predicate to those rows. Polars orders NaN above all numbers, and a comparison with null is null.

The form of a serialised expression changes between versions of polars, so that an expression is recognised by
building it again from its parts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any, Literal, TypeAlias, get_args

import polars as pl

from llenergymeasure.results._conditions import MOST_ITEMS, WITH_NAN
from llenergymeasure.results.types import Condition

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TRUE = True
Columns: TypeAlias = Mapping[str, pl.DataType]
_Closed = Literal["both", "left", "right", "none"]
_EXACT = 2**53
"""An integer below it is a float, and no other integer is rounded to it."""


def implied(predicate: pl.Expr, columns: Columns) -> list[Condition]:
    """Return conditions that each row of a predicate meets, on the given columns and no others."""
    pending, found = [predicate], list[Condition]()
    while pending:
        expr = pending.pop()
        parts = expr.meta.pop()
        if any(expr.meta.eq(left & right) for left, right in _orders(parts, 2)):
            pending += parts
        elif (chosen := _otherwise(expr, parts)) is not None:
            pending.append(chosen)
        else:
            found += _conditions(expr, parts, columns)
    return found


def _otherwise(expr: pl.Expr, parts: list[pl.Expr]) -> pl.Expr | None:
    """Return the last part of `when(null).then(null).otherwise(...)`, as DuckDB writes a list of values."""
    for first, then, last in _orders(parts, 3):
        if _value(then) == (None,) and expr.meta.eq(pl.when(first).then(then).otherwise(last)):
            return last
    return None


def _orders(parts: list[pl.Expr], count: int) -> Iterable[tuple[pl.Expr, ...]]:
    """Return the parts in any order, since polars documents none."""
    return permutations(parts) if len(parts) == count else ()


def _conditions(expr: pl.Expr, parts: list[pl.Expr], columns: Columns) -> Iterator[Condition]:
    if expr.meta.is_column():
        yield from _fitting(expr, "==", _TRUE, columns)
    elif len(parts) == 1:
        (part,) = parts
        for name, wanted, built in (
            ("==", False, part.not_()),
            ("==", None, part.is_null()),
            ("!=", None, part.is_not_null()),
        ):
            if expr.meta.eq(built):
                yield from _fitting(part, name, wanted, columns)
    for left, right in _orders(parts, 2):
        if (value := _value(right)) is not None:
            yield from _of_two(expr, left, right, value, columns)
    for left, low, high in _orders(parts, 3):
        yield from _between(expr, left, low, high, columns)


def _between(
    expr: pl.Expr, left: pl.Expr, low: pl.Expr, high: pl.Expr, columns: Columns
) -> Iterator[Condition]:
    for closed in get_args(_Closed):
        if expr.meta.eq(left.is_between(low, high, closed)):
            above = ">=" if closed in ("both", "left") else ">"
            below = "<=" if closed in ("both", "right") else "<"
            for name, bound in ((above, _value(low)), (below, _value(high))):
                if bound is not None:
                    yield from _fitting(left, name, bound[0], columns)


def _of_two(
    expr: pl.Expr, left: pl.Expr, right: pl.Expr, value: tuple[Any], columns: Columns
) -> Iterator[Condition]:
    for name, compare in _COMPARISONS.items():
        if expr.meta.eq(compare(left, right)):
            yield from _fitting(left, name, value[0], columns)
        elif expr.meta.eq(compare(right, left)):
            mirrored = name.translate({ord("<"): ">", ord(">"): "<"})
            yield from _fitting(left, mirrored, value[0], columns)
    if expr.meta.eq(left.is_in(right)):
        # A literal of one item may be the item itself.
        yield from _fitting(left, "in", value[0] if isinstance(value[0], list) else [value[0]], columns)
    elif isinstance(value[0], str):
        text = left.str
        builds = (text.contains(right, literal=True), text.starts_with(right), text.ends_with(right))
        if any(expr.meta.eq(built) for built in builds):
            yield from _fitting(left, "~", value[0], columns)


def _fitting(part: pl.Expr, name: str, value: Any, columns: Columns) -> Iterator[Condition]:  # noqa: ANN401
    """Return a condition if both sides compare the value with the column in the same way."""
    column = _column(part)
    dtype = None if column is None else columns.get(column)
    if column is None or dtype is None:
        return
    items = value if name == "in" else [value]
    if len(items) > MOST_ITEMS or not all(_fits(dtype, name, item) for item in items):
        return
    if dtype.is_float():
        name = WITH_NAN.get(name, name)
    # Its type lists the operators, and `name` is one of them.
    condition: Any = (column, name, value)
    yield condition


def _column(part: pl.Expr) -> str | None:
    """Return the name of the column that an expression is; DuckDB converts times to microseconds."""
    inner = [] if part.meta.is_column() else part.meta.pop()
    if len(inner) == 1 and inner[0].meta.is_column() and part.meta.eq(inner[0].dt.cast_time_unit("us")):
        (part,) = inner
    name: str | None = part.meta.output_name() if part.meta.is_column() else None
    return name


def _value(part: pl.Expr) -> tuple[Any] | None:
    """Return the value of a literal, null included, or a list of values; None for any other expression."""
    inner = part.meta.pop()
    if not part.meta.is_literal() and not (len(inner) == 1 and inner[0].meta.is_literal()):
        return None
    try:
        series = pl.select(part).to_series()
        if inner and not part.meta.eq(inner[0].cast(series.dtype)):
            return None
        if isinstance(series.dtype, pl.List) and len(series) == 1:
            series = series.explode()
            return (_items(series),)
        return (_items(series),) if len(series) != 1 else (_items(series)[0],)
    except (pl.exceptions.PolarsError, ValueError, OverflowError):
        return None  # a time that Python does not have


def _items(series: pl.Series) -> list[Any]:
    """Return values, of the types that `_fits` compares; nanoseconds would be lost."""
    dtype = series.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        raise ValueError("expected microseconds, got nanoseconds")
    items: list[Any] = series.to_list()
    return items


def _fits(dtype: pl.DataType, name: str, value: Any) -> bool:  # noqa: ANN401, PLR0911 - a case per type
    """Return whether a condition selects all rows of the comparison in polars."""
    is_equality = name in ("==", "!=", "in")
    if value is None:
        return is_equality
    if isinstance(dtype, pl.Boolean):
        return isinstance(value, bool) and is_equality
    if isinstance(value, bool):
        return False
    if dtype.is_integer():
        return isinstance(value, int) and abs(value) < _EXACT
    if dtype.is_float():
        if isinstance(value, int):
            return abs(value) < _EXACT
        return isinstance(value, float) and (value == value or is_equality)  # noqa: PLR0124 - NaN
    if isinstance(dtype, pl.String):
        return isinstance(value, str)
    if isinstance(dtype, pl.Datetime):
        is_aware = getattr(value, "tzinfo", None) is not None
        return hasattr(value, "microsecond") and is_aware == (dtype.time_zone is not None)
    return False
