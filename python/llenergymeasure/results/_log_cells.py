"""The cells of a power log: numbers with and without units, and times of every tool."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

__all__ = [
    "MICROSECONDS",
    "POWER_UNITS",
    "Moment",
    "integer_of",
    "moment_of",
    "moment_of_datetime",
    "number_of",
    "unit_in",
    "watts_of",
]

MICROSECONDS = 1_000_000
"""Of a second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_UNKNOWN = {"", "-", "--", "n/a", "na", "nan", "none", "null", "[n/a]", "n/a n/a", "not supported", "err!"}
"""Cells without a value, in lower case; nvidia-smi writes others in brackets."""
_BLANK = 1e9
"""DCGM writes numbers near 2^31, 2^47 and 2^63 for a value that it does not have."""
_WITH_UNIT = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([a-z%°µ/]*)", re.IGNORECASE)
_WATTS: dict[str, int | str] = {"": 1, "w": 1, "watt": 1, "watts": 1, "mw": "0.001", "milliwatts": "0.001",
                                "uw": "0.000001", "µw": "0.000001", "kw": 1000}  # fmt: skip
POWER_UNITS = _WATTS.keys()
"""The units of a power, in lower case; empty is watts."""
_FACTORS = _WATTS | {"%": 1, "c": 1, "°c": 1, "mib": 1, "mb": 1, "kib": "0.0009765625",
                     "gib": 1024, "gb": 1024}  # fmt: skip
"""The factor from a unit of a cell or a header to that of the column; mebibytes are often written MB."""
_USUAL_POWER = re.compile(r"\s*(-?\d+(?:\.\d+)?)(?: (W))?\s*")
_USUAL = re.compile(r"\s*(-?\d+(?:\.\d+)?)(?: (W|%|MiB))?\s*")
"""The cells of most logs, which need no conversion."""
_IN_WATTS = frozenset({"", "w", "W"})
_WHOLE = frozenset({"", "w", "W", "%", "c", "C", "mib", "MiB", "mb"})
_IN_HEADER = re.compile(r"[\[(]\s*([^\])]*?)\s*[\])]\s*$")
_TIME = re.compile(
    r"(\d{4})([-/]?)(\d{2})\2(\d{2})[ T_](\d{1,2}):(\d{2}):(\d{2})(?:[.,:](\d+))?"
    r"\s*(Z|UTC|[-+]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_TIME_UNITS: dict[str, int | Decimal] = {
    **dict.fromkeys(("s", "sec", "seconds"), MICROSECONDS),
    **dict.fromkeys(("ms", "msec", "milliseconds"), 1000),
    **dict.fromkeys(("us", "µs", "usec", "microseconds"), 1),
    **dict.fromkeys(("ns", "nanoseconds"), Decimal("0.001")),
}
"""The microseconds in a unit that the header of a time may name."""
_SINCE_1970 = 100_000_000 * MICROSECONDS
"""The least time that counts from 1970 and not from the start of a log."""
_EPOCH_UNITS = ((1e17, 1_000), (1e14, 1), (1e11, Decimal("0.001")), (1e8, Decimal("0.000001")))
"""The least number of nanoseconds, microseconds, ... since 1970, and its divisor."""


class Moment(NamedTuple):
    """The time of a sample.

    Attributes:
        kind: `"aware"`, `"naive"`, or `"elapsed"` for seconds since the start of the log.
        microseconds: Since 1970, in UTC or by the clock of the log, or since the start.
    """

    kind: str
    microseconds: int


def number_of(cell: object, unit: str = "") -> float | None:
    """Return the number of a cell in the unit of its column; None if the cell has no value.

    Args:
        cell: A text with or without a unit, or a number.
        unit: The unit that the header gives, for a cell without one.

    Raises:
        ValueError: The cell is not a number.
    """
    if cell is None:
        return None
    if type(cell) is str and (match := _USUAL.fullmatch(cell)) is not None and (match[2] or unit in _WHOLE):
        number = float(match[1])
        return None if abs(number) >= _BLANK else number
    return _converted(cell, unit, _FACTORS)


def watts_of(cell: object, unit: str = "") -> float | None:
    """Return the power of a cell in watts, as `number_of`; a number of another unit is no power.

    Raises:
        ValueError: The cell is not a power.
    """
    if cell is None:
        return None
    if type(cell) is str and (match := _USUAL_POWER.fullmatch(cell)) and (match[2] or unit in _IN_WATTS):
        number = float(match[1])
        return None if abs(number) >= _BLANK else number
    return _converted(cell, unit, _WATTS)


def _converted(cell: object, unit: str, factors: Mapping[str, int | str]) -> float | None:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        text, own = str(cell), ""
        if isinstance(cell, float) and math.isnan(cell):
            return None
    else:
        text = str(cell).strip().strip('"').strip()
        if text.lower() in _UNKNOWN or (text.startswith("[") and text.endswith("]")):
            return None
        match = _WITH_UNIT.fullmatch(text)
        if match is None:
            raise ValueError(f"expected a number, got {text[:40]!r}")
        text, own = match[1], match[2].lower()
    factor = factors.get(own or unit.lower())
    if factor is None:
        raise ValueError(f"expected a number of a known unit, got {(own or unit)[:20]!r}")
    try:
        number = float(Decimal(text) * Decimal(str(factor)))
    except InvalidOperation:
        raise ValueError(f"expected a finite number, got {text[:40]!r}") from None
    return None if abs(number) >= _BLANK else number


def integer_of(cell: object) -> int | None:
    """Return the integer of a cell; None of another cell."""
    text = str(cell).strip()
    text = text.removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() else None


def unit_in(header: str) -> tuple[str, str]:
    """Split the name of a column into the name and the unit in brackets."""
    match = _IN_HEADER.search(header)
    if match is None:
        return header.strip(), ""
    return header[: match.start()].strip(), match[1]


def moment_of(cell: object, unit: str = "") -> Moment:
    """Return the time of a cell: a date with or without a zone, or seconds since 1970 or since the start.

    A number has the unit of its column. Without one, a number from 1e8 on counts since 1970, in seconds,
    milliseconds, microseconds or nanoseconds, by its size.

    Raises:
        ValueError: The cell is not a time.
    """
    if isinstance(cell, datetime):
        return moment_of_datetime(cell)
    text = str(cell).strip().strip('"').strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _moment_of_text(text)
    if not number.is_finite():
        raise ValueError(f"expected a time, got {text[:40]!r}")
    if (factor := _TIME_UNITS.get(unit)) is not None:
        microseconds = round(number * factor)
        return Moment("aware" if microseconds >= _SINCE_1970 else "elapsed", microseconds)
    for least, divisor in _EPOCH_UNITS:
        if number >= Decimal(least):
            return Moment("aware", round(number / divisor))
    return Moment("elapsed", round(number * MICROSECONDS))


def moment_of_datetime(time: datetime) -> Moment:
    """Return the moment of a datetime."""
    if time.utcoffset() is None:
        return Moment("naive", (time.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND)
    return Moment("aware", (time - _EPOCH) // _MICROSECOND)


def _moment_of_text(text: str) -> Moment:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected a time as 2026-05-04T10:00:00.000 or seconds since 1970, got {text[:40]!r}"
        )
    year, _, month, day, hour, minute, second, fraction, zone = match.groups()
    time = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=timezone.utc)
    microseconds = (time - _EPOCH) // _MICROSECOND + round(Decimal(f"0.{fraction or 0}") * MICROSECONDS)
    if zone is None:
        return Moment("naive", microseconds)
    if zone[0] in "+-":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        microseconds -= (minutes if zone[0] == "+" else -minutes) * 60 * MICROSECONDS
    return Moment("aware", microseconds)
