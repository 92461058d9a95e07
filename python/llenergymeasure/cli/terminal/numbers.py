"""Columns of numbers: the unit of a column of results, and cells with aligned decimal points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from llenergymeasure._format import (
    ABSENT,
    DIGITS,
    Number,
    Unit,
    best_prefix,
    format_number,
    is_plain,
    middle,
    prefixed,
)
from llenergymeasure.cli.terminal.stream import OUT

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
_EXACT = 10**6
"""Integers below it keep every digit."""
_LEAST_PLACES = 2


def unit_of(column: str) -> tuple[str, Unit]:
    """Return a column's name without its unit, and the unit; a configuration key has no known unit."""
    last = column.rpartition(".")[2]
    if column.startswith("effective_config."):
        return column, Unit("")
    if last in _UNITS:
        return column, _UNITS[last]
    for suffix, unit in _SUFFIXES.items():
        if last.endswith(suffix):
            return column.removesuffix(suffix), unit
    return column, Unit("")


def head_and_unit(head: str, power: int, unit: Unit) -> tuple[str, str]:
    """Return the head of a column and its unit, with a prefix; a head such as J/token is itself the unit."""
    symbol = prefixed(power, unit)
    return (symbol, "") if "/" in head else (head, symbol)


def format_numbers(values: Sequence[Number | None], power: int = 0) -> list[str]:
    """Format numbers divided by ten to a power, with aligned decimal points; short integers stay exact."""
    if power == 0 and all(
        value is None or (isinstance(value, int) and abs(value) < _EXACT) for value in values
    ):
        return [ABSENT if value is None else f"{value:,}" for value in values]
    sizes = [abs(value) / 10**power for value in values if value and is_plain(value)]
    sizes = list(filter(math.isfinite, sizes))
    # A small number among large ones needs no more places than they have.
    places = max(_LEAST_PLACES, DIGITS - 1 - math.floor(math.log10(middle(sizes)))) if sizes else DIGITS
    return align([format_number(value, power, places=places) for value in values])


def choose_prefix(values: Iterable[Number | None], unit: Unit) -> int:
    """Return the power of ten of a prefix that makes numbers readable; elsewhere than on a terminal it is 0.

    The units of piped output do not depend on the numbers.
    """
    return best_prefix(values, unit) if OUT.is_terminal else 0


def number_cells(values: Sequence[Number | None], power: int = 0) -> list[str]:
    """Return the cells of a column of numbers: readable on a terminal, with all digits elsewhere."""
    return (
        format_numbers(values, power) if OUT.is_terminal else align([plain_number(value) for value in values])
    )


def number_cell(value: Number | None, power: int = 0, digits: int = DIGITS) -> str:
    """Return one number: readable on a terminal, with all digits elsewhere."""
    return format_number(value, power, digits) if OUT.is_terminal else plain_number(value)


def plain_number(value: Number | None) -> str:
    """Return a number as `--json` prints it: with all digits, and without separators."""
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return str(value) if isinstance(value, int) else format_number(value)


def count_cell(count: int) -> str:
    """Return a count: with separators on a terminal, without elsewhere."""
    return f"{count:,}" if OUT.is_terminal else str(count)


def align(cells: list[str]) -> list[str]:
    """Pad numbers on the right so that their decimal points align."""
    tails = [len(cell) - cell.index(".") if "." in cell else 0 for cell in cells]
    most = max(tails, default=0)
    return [cell + " " * (most - tail) for cell, tail in zip(cells, tails, strict=True)]
