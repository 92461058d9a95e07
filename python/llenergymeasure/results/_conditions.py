"""Checks of a scan's conditions, and their conversion for the extension."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any

from llenergymeasure.domain._json import to_json_value
from llenergymeasure.domain._protocols import as_mapping
from llenergymeasure.results._columns import kind_of

if TYPE_CHECKING:
    from llenergymeasure.results.types import Condition

Checked = tuple[str, str, object, bool]
"""A condition for the extension: the last part is true for a text as a person types it."""

_PARTS = 3
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of naive times
_MICROSECOND = timedelta(microseconds=1)
_BYTES = (bytes, bytearray, memoryview)
_NO_ITEMS = (str, Mapping, *_BYTES)
"""Types that can be iterated and are no lists of values."""


MOST_ITEMS = 1000
"""The most items of a list in a condition for an engine: each record is compared with all of them."""
WITH_NAN = {">": "not <=", ">=": "not <"}
"""The operators of floats for an engine in which NaN is greater than all numbers."""


class Typed(str):
    """A value as a person types it or a table prints it; its column gives it a meaning."""

    __slots__ = ()


def listed(where: Iterable[Condition] | None) -> list[Any]:
    """Return conditions as a list; reject a single condition.

    Raises:
        TypeError: `where` is one condition, or not a list.
    """
    if where is None:
        return []
    if isinstance(where, _NO_ITEMS) or not isinstance(where, Iterable):
        kind = "a text" if isinstance(where, str) else type(where).__name__
        raise TypeError(f"where expects a list of conditions, got {kind}; do where=[(COLUMN, '==', VALUE)]")
    conditions = list(where)
    if len(conditions) == _PARTS and isinstance(conditions[0], str):
        raise TypeError(f"where expects a list of conditions, got one; pass [{tuple(conditions)!r}]")
    return conditions


def checked(condition: Any) -> Checked:  # noqa: ANN401
    """Return a condition for the extension.

    Raises:
        TypeError: The condition is not a column, an operator and a value.
        ValueError: The value is not one of the column's type.
    """
    if not isinstance(condition, (tuple, list)) or len(condition) != _PARTS:
        raise TypeError(f"expected a column, an operator and a value, got {condition!r}")
    name, operator, value = condition
    if not isinstance(name, str) or not isinstance(operator, str):
        raise TypeError(f"expected a column, an operator and a value, got {condition!r}")
    if isinstance(value, Typed):
        return name, operator, str(value), True
    if operator in ("in", "not in") and isinstance(value, Iterable) and not isinstance(value, _NO_ITEMS):
        return name, operator, [_operand(name, item) for item in value], False
    return name, operator, _operand(name, value), False


def _operand(name: str, value: object) -> object:
    value = _plain(value)
    kind = kind_of(name)
    if kind not in ("time", "instant") or value is None or isinstance(value, str):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()  # the interval of its day
    if not isinstance(value, datetime):
        raise TypeError(f"{name} expects a datetime, got {value!r}")
    is_instant = kind == "instant"
    if is_instant and value.tzinfo is None:
        raise ValueError(f"{name} expects a time with a zone, got {value}")
    if not is_instant and value.tzinfo is not None:
        raise ValueError(
            f"{name} expects a local time without a zone, got {value}; compare {name}.utc with it"
        )
    naive = value.astimezone(timezone.utc).replace(tzinfo=None) if is_instant else value
    return (naive - _EPOCH) // _MICROSECOND


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value by protocol as one of the types of JSON; the extension rejects any other type."""
    if isinstance(value, Enum):
        value = value.value
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif hasattr(value, "tolist") and not isinstance(value, (type, *_BYTES)):
        is_time = getattr(getattr(value, "dtype", None), "kind", "") == "M" and value.shape == ()
        # A scalar or an array of numpy; nanoseconds would become an integer.
        value = (value.astype("datetime64[us]") if is_time else value).tolist()
    if value is None or isinstance(value, (str, int, float, *_BYTES)):
        return value
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    members = as_mapping(value)
    return value if members is None else {_key(key): _plain(item) for key, item in members.items()}


def _key(key: object) -> str:
    """Return a key as a configuration has it."""
    normal: Any = to_json_value({key: None})
    return str(next(iter(normal)))
