"""Conversion of one value of a sample to its unit, without numpy or pandas.

The functions raise `ValueError` with a text that follows the name of the value: `expects a number, got str`.
"""

from __future__ import annotations

import math
import operator
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MICROSECONDS = 1_000_000
"""Of a second."""
NUMBER = "a number"
"""The kind of a time in seconds."""

_LARGEST = 3.4028234663852886e38
"""The largest float32, which is the type of the columns."""
_LARGEST_MASK = 2**63 - 1
_LARGEST_INDEX = 2**31 - 1
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - an aware time gets the zone
_MICROSECOND = timedelta(microseconds=1)
_NOT_A_TIME = -(2**63)
_NUMPY_UNIT = re.compile(r"\[(\d*)([a-zA-Z]+)\]")
_DAY = 86_400 * MICROSECONDS
_FACTORS = {
    "W": (7 * _DAY, 1),
    "D": (_DAY, 1),
    "h": (3600 * MICROSECONDS, 1),
    "m": (60 * MICROSECONDS, 1),
    "s": (MICROSECONDS, 1),
    "ms": (1000, 1),
    "us": (1, 1),
    "ns": (1, 10**3),
    "ps": (1, 10**6),
    "fs": (1, 10**9),
    "as": (1, 10**12),
}
"""Microseconds of a unit of numpy, as a fraction; years and months have no fixed length."""
_EPOCH_UNITS = (
    (1e11, "milliseconds", "1e3"),
    (1e14, "microseconds", "1e6"),
    (1e17, "nanoseconds", "1e9"),
)
"""The least time since 1970 in other units than seconds: 1973. As seconds it is the year 5138."""
_NO_EPOCH = 1e20
_MARKERS = ("NAType", "MaskedConstant")
"""The types of a missing value in pandas and numpy."""

Converted = TypeVar("Converted")
Plain: TypeAlias = int | float | Real | Decimal


class Time(NamedTuple):
    """The time of a sample."""

    kind: str
    microseconds: int
    """From an origin that is the same for all times of a kind."""
    exact: object
    """Equal for equal times only."""


def named(convert: Callable[[object], Converted], value: object, what: str) -> Converted:
    """Convert a value; `what` names it in the message of an error."""
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{what} {error}") from None


def is_missing(value: object) -> bool:
    """Return True for None, NaN and the markers of pandas and numpy."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in _MARKERS


def to_time(value: object) -> Time:
    """Return a time: a number of seconds, a datetime or a timedelta, also of numpy and pandas."""
    if type(value) is float:
        return _seconds(value, value)
    if _dtype_kind(value) in ("M", "m") and getattr(value, "shape", None) == ():
        return _numpy_time(value, aware=False)
    if isinstance(value, (datetime, timedelta)):
        return _python_time(value)
    number = _plain(value)
    return _seconds(number, _to_float(number))


def _python_time(value: datetime | timedelta) -> Time:
    """Return the time of a datetime or a timedelta."""
    # A Timestamp and a Timedelta of pandas are a datetime and a timedelta that have nanoseconds.
    for method in ("to_datetime64", "to_timedelta64"):
        if hasattr(value, method):
            return _numpy_time(getattr(value, method)(), aware=getattr(value, "tzinfo", None) is not None)
    if isinstance(value, timedelta):
        kind, since = "a timedelta", value // _MICROSECOND
    elif value.utcoffset() is None:
        kind, since = "a naive datetime", (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    else:
        kind, since = "an aware datetime", (value - _EPOCH.replace(tzinfo=timezone.utc)) // _MICROSECOND
    return Time(kind, since, since)


def _seconds(number: Any, seconds: float) -> Time:  # noqa: ANN401 - any number
    """Return the time of a number of seconds, and of the float nearest to it."""
    if not math.isfinite(seconds):
        raise ValueError(f"expects a finite number or a datetime, got {seconds}")
    if _EPOCH_UNITS[0][0] <= seconds < _NO_EPOCH:
        name, factor = next(
            (name, factor) for least, name, factor in reversed(_EPOCH_UNITS) if seconds >= least
        )
        raise ValueError(
            f"expects seconds, got {number}, which seems to be {name} since 1970; divide it by {factor}"
        )
    top, bottom = getattr(number, "as_integer_ratio", seconds.as_integer_ratio)()
    return Time(NUMBER, _rounded(top * MICROSECONDS, bottom), number)


def _numpy_time(value: Any, *, aware: bool) -> Time:  # noqa: ANN401 - numpy may not be installed
    """Return the time of a `datetime64` or `timedelta64`, by its unit."""
    count = int(value.astype("int64"))
    name = str(value.dtype)
    if count == _NOT_A_TIME:
        raise ValueError("expects a time, got NaT")
    is_date = value.dtype.kind == "M"
    match = _NUMPY_UNIT.search(name)
    multiple, unit = (int(match[1] or 1), match[2]) if match else (1, "")
    if unit in _FACTORS:
        top, bottom = _FACTORS[unit]
        time, exact = _rounded(count * multiple * top, bottom), Fraction(count * multiple * top, bottom)
    elif is_date and unit in ("Y", "M"):
        months = count * multiple * (12 if unit == "Y" else 1)
        year, month = 1970 + months // 12, months % 12 + 1
        if not 1 <= year <= 9999:  # noqa: PLR2004 - the years of Python
            raise ValueError(f"expects a year from 1 to 9999, got {year}")
        time = (date(year, month, 1) - _EPOCH.date()) // _MICROSECOND
        exact = Fraction(time)
    else:
        raise ValueError(f"expects a time of a fixed unit, got {name}; convert it to seconds")
    kind = ("an aware datetime" if aware else "a naive datetime") if is_date else "a timedelta"
    return Time(kind, time, exact)


def _rounded(top: int, bottom: int) -> int:
    """Return the nearest integer of a fraction, and the even one of two, as `datetime.fromtimestamp` does."""
    whole, rest = divmod(top, bottom)
    return whole + (2 * rest > bottom or (2 * rest == bottom and whole % 2))


def to_number(value: object) -> float:
    """Return a number."""
    return _to_float(_plain(value))


def to_float32(value: object) -> float | None:
    """Return a quantity that fits a float32; None if it is missing."""
    if type(value) is not float:
        if is_missing(value):
            return None
        value = _to_float(_plain(value))
    if -_LARGEST <= value <= _LARGEST:
        return value
    if math.isnan(value):
        return None
    raise ValueError(f"expects a finite number that fits a float32, got {value}")


def to_mask(value: object) -> int | None:
    """Return a bit mask; None if it is missing."""
    if type(value) is not int:
        if is_missing(value):
            return None
        number = _plain(value)
        # A table with nulls stores integers as floats.
        value = int(number) if math.isfinite(number) and number == number // 1 else -1
    if 0 <= value <= _LARGEST_MASK:
        return value
    raise ValueError(f"expects an integer from 0 to 2**63 - 1, got {value}")


def gpu_number(value: object) -> int:
    """Return the index of a GPU."""
    try:
        index = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        index = None
    if index is None or isinstance(value, bool) or _dtype_kind(value) not in ("i", "u", None):
        raise ValueError(f"expects an integer, got {_type_name(value)}")
    if -1 <= index <= _LARGEST_INDEX:
        return index
    raise ValueError(f"expects a GPU from 0 to 2**31 - 1, or -1 for the whole system, got {index}")


def to_extra(value: object) -> bool | float | str | None:
    """Return a boolean, a number or a text of a column that the caller has named; None if it is missing."""
    if is_missing(value):
        return None
    if isinstance(value, (bool, str)):
        return value if type(value) is bool else str(value)
    if _dtype_kind(value) == "b" and getattr(value, "shape", None) == ():
        return bool(value)
    return _to_float(_plain(value, "a number, a text or a boolean"))


def _plain(value: object, expected: str = NUMBER) -> Any:  # noqa: ANN401 - any number
    """Return a number of any library as a number of Python; reject all that only can be converted to one."""
    if type(value) is float or type(value) is int:
        return value
    kind, has_unit = _dtype_kind(value), hasattr(value, "unit") or hasattr(value, "units")
    if not isinstance(value, (str, bytes, bytearray, bool)) and not has_unit:
        if kind is not None:
            if kind in "iuf" and getattr(value, "shape", None) == ():
                return int(value) if kind in "iu" else float(value)  # type: ignore[call-overload,arg-type]
        elif isinstance(value, (Real, Decimal)):
            return value
        elif getattr(value, "shape", None) == () and type(item := _item(value)) in (int, float):
            return item  # a tensor
    raise ValueError(f"expects {expected}, got {_type_name(value)}")


def _item(value: object) -> object:
    item = getattr(value, "item", None)
    return item() if callable(item) else None


def _to_float(number: Plain) -> float:
    try:
        return float(number)
    except OverflowError:
        raise ValueError("expects a float, got a number that is too large") from None
    except ValueError:  # a signalling NaN of Decimal
        raise ValueError(f"expects {NUMBER}, got {number!r}") from None


def _dtype_kind(value: object) -> str | None:
    """Return the letter of numpy for a type of values; None for other objects."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return kind if isinstance(kind, str) else None


def _type_name(value: object) -> str:
    """Return the name of a type; that of a time of numpy has its unit, as `datetime64[ns]`."""
    is_time = _dtype_kind(value) in ("M", "m") and getattr(value, "shape", None) == ()
    return str(value.dtype) if is_time else type(value).__name__  # type: ignore[attr-defined]
