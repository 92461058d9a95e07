"""Conditions of a scan that filters of Spark imply.

A condition stands for a filter only if it selects every row that the filter does: Spark applies the filter to
those rows. In Spark, a comparison with null selects nothing, NaN equals NaN, and NaN is greater than all
numbers; a condition with `>` never selects NaN, and `!=` selects null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import datasource as spark

from llenergymeasure.results._columns import kind_of
from llenergymeasure.results._conditions import MOST_ITEMS, WITH_NAN
from llenergymeasure.results.types import Condition

if TYPE_CHECKING:
    from llenergymeasure._store import Schema

_OPERATORS: Final[dict[type[spark.Filter], str]] = {
    spark.EqualTo: "==",
    spark.EqualNullSafe: "==",
    spark.LessThan: "<",
    spark.LessThanOrEqual: "<=",
    spark.GreaterThan: ">",
    spark.GreaterThanOrEqual: ">=",
    spark.In: "in",
    spark.StringStartsWith: "~",
    spark.StringEndsWith: "~",
    spark.StringContains: "~",
}
_NEGATED: Final = {"==": "!=", "in": "not in"}
_EQUALITIES: Final = ("==", "!=", "in", "not in")
_INTEGERS: Final = ("int32", "int64", "uint64")


def implied(filters: Iterable[spark.Filter], schema: Schema) -> list[Condition]:
    """Return conditions that each row of the filters meets, on columns whose values Spark compares alike."""
    as_json = set(schema.json_names)
    kinds = {name: kind for name, kind in zip(schema.names, schema.types, strict=True) if name not in as_json}
    found = (_condition(one, kinds) for one in filters)
    return [condition for condition in found if condition is not None]


def _condition(one: Any, kinds: dict[str, str]) -> Condition | None:  # noqa: ANN401 - a filter
    is_negated = isinstance(one, spark.Not)
    if is_negated:
        one = one.child
    if len(one.attribute) != 1 or one.attribute[0] not in kinds:
        return None
    (column,) = one.attribute
    if isinstance(one, (spark.IsNull, spark.IsNotNull)):
        is_null = isinstance(one, spark.IsNull) is not is_negated
        # An integer beyond 64 bits is null in the column, and not for a condition.
        return (column, "==" if is_null else "!=", None) if not is_null or kinds[column] != "int64" else None
    operator = _OPERATORS.get(type(one), "")
    operator = _NEGATED.get(operator, "") if is_negated else operator
    is_list = operator in ("in", "not in")
    values = [_plain(value) for value in one.value] if is_list else [_plain(one.value)]
    if not operator or len(values) > MOST_ITEMS:
        return None
    if not all(_fits(column, kinds[column], operator, value) for value in values):
        return None
    if kinds[column] == "double":
        operator = WITH_NAN.get(operator, operator)
    condition: Any = (column, operator, values if is_list else values[0])
    found: Condition = condition
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of Spark
    """Return the value of a literal; an unsigned integer is a decimal in Spark."""
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def _fits(column: str, kind: str, operator: str, value: Any) -> bool:  # noqa: ANN401, PLR0911 - a case per type
    """Return whether a condition selects all rows of the comparison in Spark."""
    if kind == "string":
        # The case of other letters depends on their neighbours.
        return isinstance(value, str) and (operator != "~" or value.isascii())
    if kind == "bool":
        return isinstance(value, bool) and operator in _EQUALITIES
    if isinstance(value, bool):
        return False
    if kind in _INTEGERS:
        return isinstance(value, int)
    if kind == "double":
        # NaN has an order in Spark only.
        return isinstance(value, float) and (operator in _EQUALITIES or not math.isnan(value))
    if kind.startswith("timestamp") and isinstance(value, datetime):
        return kind_of(column) == ("instant" if value.tzinfo is not None else "time")
    return False
