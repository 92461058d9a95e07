"""Values of a column: from JSON, as text, and in order."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from llenergymeasure._escape import escape
from llenergymeasure._format import ABSENT, format_value, printable
from llenergymeasure.results._expressions import has_second

_MOST_DIGITS = 4000
"""Python converts no longer integer by default."""

_NAMES = ("NaN", "Infinity", "-Infinity")
_ORDER: tuple[Any, ...] = (bool, (int, float), str, datetime)


def value_of(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text; an integer of thousands of digits stays a text."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < _MOST_DIGITS else digits)


def settings_of(texts: Iterable[str | None]) -> list[Any]:
    """Return the values of JSON texts under a key of mixed kinds.

    As conditions have it, the name of a float is that float where there are numbers, and else a text.
    """
    values = [text and value_of(text) for text in texts]
    if not any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return values
    return [float(value) if value in _NAMES else value for value in values]


def format_settings(values: Iterable[object], *, is_part: bool = False) -> list[str]:
    """Return the values of one key of the configuration as `format_setting` does.

    Args:
        values: The values.
        is_part: Results without these values may have values of other kinds.
    """
    values = list(values)
    mixed = is_part or is_mixed(values)
    return [format_setting(value, is_mixed=mixed) for value in values]


def is_mixed(values: Iterable[object]) -> bool:
    """Return whether values of one key are of other kinds than text."""
    return any(not isinstance(value, (str, type(None))) for value in values)


def format_setting(value: object, *, is_mixed: bool) -> str:
    """Return a value of the configuration as a condition takes it, on one line.

    A text is in quotes, with the escapes of JSON, if it is empty, reads as a value of another kind or as a
    second condition, has a blank at an end, or has a character that is not printable.

    Args:
        value: Any JSON value.
        is_mixed: The column has values of other kinds than text.
    """
    if isinstance(value, str):
        return _quoted(value) if _needs_quotes(value, is_mixed=is_mixed) else printable(value)
    if isinstance(value, (list, dict)):
        return printable(json.dumps(_named(value), ensure_ascii=False, default=str))
    return format_value(value)


def _named(value: object) -> object:
    """Return a list with the names of its non-finite floats, as a record has them."""
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _quoted(text: str) -> str:
    """Return a text as JSON in printable characters."""
    marks = json.dumps(text, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else json.dumps(mark)[1:-1] for mark in marks)


def _needs_quotes(text: str, *, is_mixed: bool) -> bool:
    if not text or text == ABSENT or text[0] == '"' or text.strip() != text:
        return True
    if has_second(text) or escape(text, keep_bytes=True) != text:
        return True
    return is_mixed and (text[0] in "[{" or text in ("null", "None") or _is_other(text))


def _is_other(text: str) -> bool:
    """Return whether a text reads as a boolean or a number; the name of a float that a record has is both."""
    if text in _NAMES:
        return False
    try:
        float(text.replace(",", ""))
    except ValueError:
        return text in ("true", "True", "false", "False")
    return True


def order_of(value: Any, *, is_descending: bool = False) -> tuple[int, int, Any]:  # noqa: ANN401
    """Return a sort key for the values of a column of mixed kinds.

    The order is booleans, numbers, texts, times, then lists and objects by their lengths. NaN and null are
    last in both directions.
    """
    sign = -1 if is_descending else 1
    if value is None:
        return sign * 2, 0, 0
    if isinstance(value, float) and math.isnan(value):
        return sign, 0, 0
    if isinstance(value, (list, dict)):
        return 0, len(_ORDER), len(value)
    kind = next((place for place, types in enumerate(_ORDER) if isinstance(value, types)), len(_ORDER))
    return 0, kind, value
