"""The settings of results: the keys of their configurations, and circumstances that explain a difference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from llenergymeasure._store import quoted_key
from llenergymeasure.cli.query.values import value_of
from llenergymeasure.results._columns import CONFIG, IMPORTED_FROM

CIRCUMSTANCES = (
    "backend",
    "backend_version",
    "measurement_methodology",
    "environment_snapshot.hardware.gpu.name",
    "environment_snapshot.hardware.cuda.driver_version",
    "environment_snapshot.hardware.thermal.power_limit_w",
)
"""Fields that are compared with the configuration: their difference explains others."""

SETTINGS = (*CIRCUMSTANCES, CONFIG)
"""The columns to read, with `config="json"`."""

_BACKEND_AGAIN = f"{CONFIG}.backend"
_NULL = "null"


class Settings:
    """The distinct values of each setting over some results.

    Attributes:
        count: The number of results.
    """

    def __init__(self) -> None:
        """Start without results."""
        self.count = 0
        self._values: dict[str, dict[str, None]] = {}
        self._present: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        """Add the row of a result; it has the columns of `SETTINGS`."""
        self.count += 1
        circumstances = {name: canonical(row[name]) for name in CIRCUMSTANCES if row[name] is not None}
        for name, text in (*circumstances.items(), *flattened(row[CONFIG]).items()):
            self._values.setdefault(name, {})[text] = None
            self._present[name] += 1

    @property
    def names(self) -> list[str]:
        """The names of the settings that occur, and of the circumstances."""
        return list(dict.fromkeys((*CIRCUMSTANCES, *self._values)))

    def texts(self, name: str) -> list[str]:
        """Return the distinct values of a setting as JSON in the order of the results, null last."""
        values = list(self._values.get(name, ()))
        return values if values and self._present[name] == self.count else [*values, _NULL]

    def values(self, name: str) -> list[Any]:
        """Return the distinct values of a setting in the order of the results, with null."""
        return [value_of(text) for text in self.texts(name)]

    @property
    def differing(self) -> list[str]:
        """The names of the settings that have several values."""
        names = [name for name in self.names if len(self.texts(name)) > 1]
        return [name for name in names if name != _BACKEND_AGAIN or CIRCUMSTANCES[0] not in names]


def differing(groups: Sequence[Settings]) -> tuple[list[str], int]:
    """Return the names of the settings that differ between groups, and the number of the others."""
    names = dict.fromkeys(name for group in groups for name in group.names)
    if all(group.texts(_BACKEND_AGAIN) in ([_NULL], group.texts(CIRCUMSTANCES[0])) for group in groups):
        names.pop(_BACKEND_AGAIN, None)
    first, *others = groups
    different = [
        name for name in names if any(set(other.texts(name)) != set(first.texts(name)) for other in others)
    ]
    return different, len(names) - len(different)


@lru_cache(maxsize=4096)
def flattened(config: str) -> dict[str, str]:
    """Return the settings of a configuration as JSON, by the names of their columns; null is absent.

    The data of an import is not a setting: repeats of one configuration have different data.
    """
    settings = {key: value for key, value in value_of(config).items() if key != IMPORTED_FROM}
    return dict(_leaves(settings, CONFIG))


def _leaves(config: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        name = f"{above}.{quoted_key(key)}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, name)
        elif value is not None:
            yield name, canonical(value)


def canonical(value: Any) -> str:  # noqa: ANN401
    """Return the JSON text of a value; equal values have equal texts, and 1.0 equals 1, but not true.

    A float that JSON lacks is its name without quotes, and a time its ISO form.
    """
    return json.dumps(_without_fractions(value), sort_keys=True, default=str)


def _without_fractions(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _without_fractions(item) for key, item in value.items()}
    return [_without_fractions(item) for item in value] if isinstance(value, list) else value
