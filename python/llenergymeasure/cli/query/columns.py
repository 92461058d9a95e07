"""Names of columns as a user types them, and heads of columns in a table."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llenergymeasure.results._columns import CONFIG, SHORT_NAMES
from llenergymeasure.results._expressions import QUOTED

__all__ = ["COLUMN_HELP", "head_of", "head_of_key", "split_names"]

_HEADS = {column: name for name, column in SHORT_NAMES.items()}
_LAST_KEY = re.compile(rf"{QUOTED}|[^.]+", re.DOTALL)

COLUMN_HELP = (
    "A COLUMN is a field of result.json by its dotted path (energy_breakdown.adjusted_j), path, "
    f"has_timeseries, saved_at, or a short name: {', '.join(SHORT_NAMES)}; config.KEY is a key of the "
    "configuration, which some result must have; quote a key that has a dot, a comma or an operator: "
    'config."optimizer.lr".'
)
"""The help text on columns."""

_NAMES = re.compile(rf"(?:{QUOTED}|[^,])+")


def split_names(options: Iterable[str]) -> list[str]:
    """Return the names in options that each hold names separated by commas, without duplicates."""
    each = (name.strip() for option in options for name in _NAMES.findall(option))
    return list(dict.fromkeys(name for name in each if name))


def head_of_key(column: str) -> str:
    """Return the short name of a configuration key, and the full name of any other column."""
    return column.removeprefix(f"{CONFIG}.")


def head_of(column: str, bare: str | None = None) -> str:
    """Return the short name of a column, or the last part of its long one; a key with a dot keeps its quotes.

    A key of the configuration with a dot in it is one part, in quotes, as one types it.

    Args:
        column: The column.
        bare: Its name without the unit, if the table shows the unit elsewhere.
    """
    if column.startswith(f"{CONFIG}."):
        return _HEADS.get(column) or _LAST_KEY.findall(column)[-1]
    return _HEADS.get(column) or (bare or column).rpartition(".")[2]
