"""Short names of columns, and heads of columns in a table."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llenergymeasure.results._columns import CONFIG, find_columns

__all__ = ["COLUMN_HELP", "column_of", "find_all", "head_of", "head_of_key"]

_SHORT = {
    "model": "effective_config.model",
    "tokens": "total_tokens",
    "energy": "total_energy_j",
    "J/token": "avg_energy_per_token_j",
    "tokens/s": "avg_tokens_per_second",
    "time": "total_inference_time_sec",
    "when": "start_time",
    "warnings": "measurement_warnings",
    "id": "experiment_id",
    "hash": "measurement_config_hash",
    "method": "measurement_methodology",
    "gpu": "environment_snapshot.hardware.gpu.name",
}
_HEADS = {column: name for name, column in _SHORT.items()}
_CONFIG = "config."
_LAST_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|[^.]+', re.DOTALL)

COLUMN_HELP = (
    "A COLUMN is a field of result.json by its dotted path (energy_breakdown.adjusted_j), path, "
    f"has_timeseries, saved_at, or a short name: {', '.join(_SHORT)}; config.KEY is effective_config.KEY."
)
"""The help text on columns."""


def column_of(name: str) -> str:
    """Return the column, or the object of columns, for a short or full name.

    Raises:
        ValueError: There is no such column; the message suggests close names.
    """
    name = name.strip()
    if name == _CONFIG.rstrip("."):
        return CONFIG
    if name.startswith(_CONFIG):
        return f"{CONFIG}.{name.removeprefix(_CONFIG)}"
    if name in _SHORT:
        return _SHORT[name]
    find_columns([name], aliases=_SHORT)
    return name


def find_all(names: Iterable[str]) -> list[str]:
    """Return the columns for options that each hold names separated by commas.

    Raises:
        ValueError: There is no such column.
    """
    each = (name for option in names for name in option.split(","))
    return list(dict.fromkeys(column_of(name) for name in each if name.strip()))


def head_of_key(column: str) -> str:
    """Return the short name of a configuration key, and the full name of any other column."""
    return column.removeprefix(f"{CONFIG}.")


def head_of(column: str, bare: str | None = None) -> str:
    """Return the short name of a column, or the last part of its long one.

    A key of the configuration with a dot in it is one part, in quotes, as one types it.

    Args:
        column: The column.
        bare: Its name without the unit, if the table shows the unit elsewhere.
    """
    if column.startswith(f"{CONFIG}."):
        return _HEADS.get(column) or _LAST_KEY.findall(column)[-1]
    return _HEADS.get(column) or (bare or column).rpartition(".")[2]
