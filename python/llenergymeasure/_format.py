"""Text for people: printable names, counts, and numbers with a unit and an SI prefix."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from statistics import median
from typing import Literal, NamedTuple

from llenergymeasure._escape import escape

ABSENT = "-"
DIGITS = 4

Number = int | float


class Unit(NamedTuple):
    """A unit and the SI prefixes that go with it."""

    symbol: str
    prefixes: Literal["all", "small", "none"] = "none"


_PREFIXES = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_COMFORTABLE = (0.01, 1e5)
"""The range of numbers that need no prefix."""
_PLAIN = (1e-4, 1e9)
"""The range of floats that need no exponent."""


def printable(text: str) -> str:
    """Return text on one line that cannot steer a terminal, for a stream of `cli.terminal`; see `escape`."""
    return escape(text, keep_bytes=True)


def format_value(value: object) -> str:
    """Return any JSON value on one line: null as `-`, a boolean as in JSON, a float with all digits."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else printable(str(value))


def plural(count: int, noun: str) -> str:
    """Return a count and its noun: `1 result`, `2 results`, `1,234 directories`."""
    if count == 1:
        return f"{count:,} {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"


def human_bytes(count: float) -> str:
    """Return a number of bytes in decimal units, with three digits: `312 B`, `9.07 kB`, `1.29 MB`."""
    kilo = 1000
    if count < kilo:
        return f"{count:.0f} B"
    count, unit = count / kilo, "kB"
    for larger in ("MB", "GB", "TB"):
        if count >= kilo - 0.5:
            count, unit = count / kilo, larger
    return f"{format_number(count, digits=3)} {unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration: `12 ms`, `3.41 s`, `2 min 05 s`."""
    if seconds < 0.9995:  # noqa: PLR2004 - rounds to 1000 ms from here on
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:  # noqa: PLR2004 - rounds to 60.0 s from here on
        return f"{format_number(seconds, digits=3)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def best_prefix(values: Iterable[Number | None], unit: Unit) -> int:
    """Return the power of ten whose prefix makes all the numbers readable."""
    sizes = [float(abs(value)) for value in values if value and is_plain(value)]
    if (
        not sizes
        or unit.prefixes == "none"
        or (_COMFORTABLE[0] <= min(sizes) and max(sizes) < _COMFORTABLE[1])
    ):
        return 0
    power = math.floor(math.log10(middle(sizes)) / 3) * 3
    return max(min(_PREFIXES), min(power, max(_PREFIXES) if unit.prefixes == "all" else 0))


def middle(sizes: list[float]) -> float:
    """Return the median of finite numbers; the greatest where the sum of two overflows."""
    found = median(sizes)
    return found if math.isfinite(found) else max(sizes)


def is_plain(value: Number) -> bool:
    """Return whether a number is finite and converts to a float."""
    return abs(value) < 10**300 if isinstance(value, int) else math.isfinite(value)


def prefixed(power: int, unit: Unit) -> str:
    """Return the symbol of a unit with the prefix of a power of ten."""
    return _PREFIXES[power] + unit.symbol


def format_number(value: Number | None, power: int = 0, digits: int = DIGITS, places: int = 99) -> str:
    """Format a number divided by ten to a power.

    Args:
        value: The number; None is `-`.
        power: The power of ten.
        digits: Significant digits; a longer integral part keeps all of its digits.
        places: Decimal places at most, unless that leaves fewer than two significant digits.
    """
    if value is None:
        return ABSENT
    if not is_plain(value):
        return (
            f"{value:,}" if isinstance(value, int) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "NaN")
        )
    scaled = value / 10**power
    if math.isinf(scaled):  # a prefix for small numbers, and a number near the end of the range
        return f"{Decimal(value).scaleb(-power):.{digits - 2}e}"
    if scaled == 0:
        return "0"
    if not _PLAIN[0] <= abs(scaled) < _PLAIN[1]:
        return f"{scaled:.{digits - 2}e}"
    rounded = float(f"{scaled:.{digits - 1}e}") if abs(scaled) < 10**digits else scaled
    magnitude = math.floor(math.log10(abs(rounded)))
    behind = max(0, digits - 1 - magnitude)
    return f"{rounded:,.{min(behind, max(places, 1 - magnitude))}f}"


def format_quantity(value: Number | None, unit: Unit) -> str:
    """Format one number with its unit: `1.901 MJ`."""
    power = best_prefix([value], unit)
    return f"{format_number(value, power)} {prefixed(power, unit)}".rstrip()
