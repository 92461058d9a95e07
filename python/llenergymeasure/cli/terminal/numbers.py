"""Numbers for people: a unit, an SI prefix that a column shares, four digits, the points in one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal, NamedTuple

__all__ = ["ABSENT", "Unit", "align", "best_prefix", "figure", "figures", "quantity", "unit_of"]

ABSENT = "-"
DIGITS = 4

Number = int | float


class Unit(NamedTuple):
    """A unit, and which SI prefixes it is used with."""

    symbol: str
    prefixes: Literal["all", "small", "none"] = "none"


_SUFFIXES = {
    "_j": Unit("J", "all"),
    "_w": Unit("W", "all"),
    "_sec": Unit("s", "small"),
    "_ms": Unit("ms"),
    "_s": Unit("s", "small"),
    "_mb": Unit("MiB"),
    "_c": Unit("°C"),
    "_pct": Unit("%"),
}
_UNITS = {
    "total_tokens": Unit("", "all"),
    "avg_energy_per_token_j": Unit("J/token", "all"),
    "avg_tokens_per_second": Unit("tokens/s"),
    "flops_per_second": Unit("FLOP/s", "all"),
    "total_flops": Unit("FLOP", "all"),
    "flops_per_output_token": Unit("FLOP", "all"),
    "flops_per_input_token": Unit("FLOP", "all"),
}
_PREFIXES = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_COMFORTABLE = (0.01, 1e5)
"""Numbers that are read without a prefix."""
_WHOLE = 10**6
"""Integers below it are shown to the last digit."""
_LEAST_PLACES = 2
_PLAIN = (1e-4, 1e9)
"""Floats that are written without an exponent."""


def unit_of(column: str) -> tuple[str, Unit]:
    """Return a column's name without the unit, and the unit; that of a configuration's key is unknown."""
    last = column.rpartition(".")[2]
    if column.startswith("effective_config."):
        return column, Unit("")
    if last in _UNITS:
        return column, _UNITS[last]
    for suffix, unit in _SUFFIXES.items():
        if last.endswith(suffix):
            return column.removesuffix(suffix), unit
    return column, Unit("")


def best_prefix(values: Iterable[Number | None], unit: Unit) -> int:
    """Return the power of ten whose prefix makes numbers readable together."""
    sizes = [float(abs(value)) for value in values if value and _is_plain(value)]
    if (
        not sizes
        or unit.prefixes == "none"
        or (_COMFORTABLE[0] <= min(sizes) and max(sizes) < _COMFORTABLE[1])
    ):
        return 0
    power = math.floor(math.log10(median(sizes)) / 3) * 3
    return max(min(_PREFIXES), min(power, max(_PREFIXES) if unit.prefixes == "all" else 0))


def _is_plain(value: Number) -> bool:
    # An integer has no bounds, and a float that holds none of it is no help.
    return abs(value) < 10**300 if isinstance(value, int) else math.isfinite(value)


def prefixed(power: int, unit: Unit) -> str:
    """Return the symbol of a unit with the prefix of a power of ten."""
    return _PREFIXES[power] + unit.symbol


def figures(values: Sequence[Number | None], power: int = 0) -> list[str]:
    """Return numbers over ten to that power, their points in one line; integers that are few digits whole."""
    if power == 0 and all(
        value is None or (isinstance(value, int) and abs(value) < _WHOLE) for value in values
    ):
        return [ABSENT if value is None else f"{value:,}" for value in values]
    sizes = [abs(value) / 10**power for value in values if value and _is_plain(value)]
    # A small number among large ones is as exact as they are, but never nothing.
    places = max(_LEAST_PLACES, DIGITS - 1 - math.floor(math.log10(median(sizes)))) if sizes else DIGITS
    return align([figure(value, power, places=places) for value in values])


def figure(value: Number | None, power: int = 0, digits: int = DIGITS, places: int = 99) -> str:
    """Return a number over ten to that power, with so many significant digits.

    Args:
        value: The number.
        power: The power of ten.
        digits: Significant digits, but for those of an integral part that has more.
        places: Digits behind the point, at most, unless there would be fewer than two significant ones.
    """
    if value is None:
        return ABSENT
    if not _is_plain(value):
        return (
            f"{value:,}" if isinstance(value, int) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "NaN")
        )
    scaled = value / 10**power
    if scaled == 0:
        return "0"
    if not _PLAIN[0] <= abs(scaled) < _PLAIN[1]:
        return f"{scaled:.{digits - 2}e}"
    rounded = float(f"{scaled:.{digits - 1}e}") if abs(scaled) < 10**digits else scaled
    magnitude = math.floor(math.log10(abs(rounded)))
    behind = max(0, digits - 1 - magnitude)
    return f"{rounded:,.{min(behind, max(places, 1 - magnitude))}f}"


def align(cells: list[str]) -> list[str]:
    """Pad numbers on the right so that their points stand in one line."""
    tails = [len(cell) - cell.index(".") if "." in cell else 0 for cell in cells]
    most = max(tails, default=0)
    return [cell + " " * (most - tail) for cell, tail in zip(cells, tails, strict=True)]


def quantity(value: Number | None, unit: Unit) -> str:
    """Return one number with its unit: `1.901 MJ`."""
    power = best_prefix([value], unit)
    return f"{figure(value, power)} {prefixed(power, unit)}".rstrip()
