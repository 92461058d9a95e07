"""The operands of `llem compare`: a result, or the results of a directory."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from llenergymeasure import _store
from llenergymeasure.cli.query.options import check_path, is_url
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.query.settings import SETTINGS, Settings
from llenergymeasure.cli.query.statistics import Statistic

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


@dataclass
class Operand:
    """One result, or a group of results.

    Attributes:
        path: The path as the user typed it.
        label: Its letter in the tables.
        statistics: The statistic of each metric.
        settings: The values of each configuration key and each circumstance.
    """

    path: str
    label: str
    reading: Reading
    statistics: dict[str, Statistic] = field(default_factory=lambda: {name: Statistic() for name in METRICS})
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def at(cls, path: str, label: str, *, follow_links: bool = False) -> Operand:
        """Return the operand for a result, its `result.json`, or a directory of results.

        Raises:
            UsageError: The path does not exist.
        """
        directory = path
        if Path(path).name == _store.RECORD and (is_url(path) or not Path(path).is_dir()):
            check_path(path)
            directory = os.path.dirname(path) or "."  # noqa: PTH120 - keeps "./", and the slashes of a URL
        reading = Reading(directory, [*METRICS, *SETTINGS], (), config="json", follow_links=follow_links)
        return cls(path, label, reading)

    @property
    def count(self) -> int:
        """The number of results."""
        return self.reading.found

    def read(self) -> None:
        """Read the results, and accumulate their statistics and settings."""
        for batch in self.reading.batches():
            for name, statistic in self.statistics.items():
                for value in batch[name]:
                    statistic.add(value)
            for values in zip(*(batch[name] for name in SETTINGS), strict=True):
                self.settings.add(dict(zip(SETTINGS, values, strict=True)))


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
