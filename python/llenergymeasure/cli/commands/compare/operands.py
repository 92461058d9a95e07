"""The operands of `llem compare`: a result, or the results of a directory."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llenergymeasure import _store
from llenergymeasure.cli.query.options import check_path
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.query.statistics import Statistic
from llenergymeasure.results._columns import CONFIG

METRICS = (
    "total_energy_j",
    "avg_energy_per_token_j",
    "avg_tokens_per_second",
    "total_tokens",
    "total_inference_time_sec",
    "energy_adjusted_j",
    "latency_stats.ttft_mean_ms",
    "latency_stats.itl_mean_ms",
    "extended_metrics.tpot_ms",
)
_CIRCUMSTANCES = (
    "backend",
    "backend_version",
    "measurement_methodology",
    "environment_snapshot.hardware.gpu.name",
    "environment_snapshot.hardware.cuda.driver_version",
    "environment_snapshot.hardware.thermal.power_limit_w",
)
"""Fields that are compared with the configuration: their difference explains others."""


_BACKEND_AGAIN = f"{CONFIG}.backend"


@dataclass
class Operand:
    """One result, or a group of results.

    Attributes:
        path: The path as the user typed it.
        label: Its letter in the tables.
        statistics: The statistic of each metric.
        settings: The values, as JSON, of each configuration key and each circumstance.
    """

    path: str
    label: str
    reading: Reading
    statistics: dict[str, Statistic] = field(default_factory=lambda: {name: Statistic() for name in METRICS})
    settings: dict[str, dict[str, None]] = field(default_factory=dict)

    @classmethod
    def at(cls, path: str, label: str, *, follow_links: bool = False) -> Operand:
        """Return the operand for a result, its `result.json`, or a directory of results.

        Raises:
            UsageError: The path does not exist.
        """
        directory = path
        if Path(path).name == _store.RECORD and not Path(path).is_dir():
            check_path(path)
            directory = os.path.dirname(path) or "."  # noqa: PTH120 - keeps "./"
        columns = [*METRICS, *_CIRCUMSTANCES, CONFIG]
        return cls(path, label, Reading(directory, columns, (), follow_links=follow_links))

    @property
    def count(self) -> int:
        """The number of results."""
        return self.reading.found

    def read(self) -> None:
        """Read the results, and accumulate their statistics and settings."""
        for batch in self.reading.batches():
            for name, values in batch.items():
                if name in self.statistics:
                    for value in values:
                        self.statistics[name].add(value)
                else:
                    seen = self.settings.setdefault(name, {})
                    seen.update(dict.fromkeys(map(_as_json, _each_once(values))))

    def values(self, name: str) -> list[Any]:
        """Return the distinct values of a key in the order of the results, with null."""
        return [json.loads(text) for text in self.settings.get(name, {"null": None})]


def _each_once(values: list[Any]) -> Iterable[Any]:
    """Return values without most duplicates: a group has many results, but few settings."""
    return values if any(isinstance(value, list) for value in values) else dict.fromkeys(values)


def _as_json(value: Any) -> str:  # noqa: ANN401 - any value of a column
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of a column
    """Return a value with the floats that are integers as integers: 1.0 equals 1, also in a list."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else value if math.isfinite(value) else str(value)
    return value


def differing(operands: list[Operand]) -> tuple[list[str], int]:
    """Return the keys that differ between operands, and the number of the others."""
    keys = dict.fromkeys(key for operand in operands for key in operand.settings)
    if all(
        operand.settings.get(_BACKEND_AGAIN) in (None, operand.settings.get("backend"))
        for operand in operands
    ):
        keys.pop(_BACKEND_AGAIN, None)
    nothing = {"null": None}.keys()
    different = []
    for key in keys:
        first, *others = (
            operand.settings[key].keys() if key in operand.settings else nothing for operand in operands
        )
        if any(other != first for other in others):
            different.append(key)
    return different, len(keys) - len(different)


def ratio(one: Statistic, reference: Statistic) -> tuple[float | None, float | None]:
    """Return the ratio of two means, and its standard deviation by propagation.

    An unknown ratio is None; the deviation is None if both means are of a single value.
    """
    if one.mean is None or not reference.mean:
        return None, None
    quotient = one.mean / reference.mean
    if not one.mean or (one.deviation is None and reference.deviation is None):
        return quotient, None
    parts = (one.deviation or 0.0) / one.mean, (reference.deviation or 0.0) / reference.mean
    return quotient, abs(quotient) * math.hypot(*parts)
