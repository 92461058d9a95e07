"""Rounds of turns, and the measurements that they produce."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pydantic

import llenergymeasure
from llenergymeasure import _store
from llenergymeasure.cli.commands.bench.contenders import (
    BASELINE,
    DUMP,
    DURABLE_BASELINE,
    READ,
    Bench,
    Contender,
    Turn,
    Way,
)
from llenergymeasure.cli.commands.bench.disk import Disk, write_out

if TYPE_CHECKING:
    from pathlib import Path

    from llenergymeasure.cli.terminal.progress import Bar

_TURN_SEC = 0.25
_MANY = 2000
_ENOUGH_SEC = 35
"""The time after which no round beyond the fewest starts."""
_ROUNDS, _FEWEST_ROUNDS = 5, 3


class Measurements:
    """Microseconds per result, of each way in each round."""

    def __init__(self, samples: dict[Way, list[float]]) -> None:
        """Take the samples; the n-th samples of all ways are of one round."""
        self._samples = samples

    @property
    def rounds(self) -> int:
        """The number of rounds."""
        return len(self._samples[DUMP])

    @property
    def ways(self) -> list[Way]:
        """All ways, with the baselines, in the order of the contenders."""
        return list(self._samples)

    def samples(self, way: Way) -> list[float]:
        """Return the microseconds of each round; those of a baseline include the dump of pydantic."""
        own = self._samples[way]
        if way.name != "baseline":
            return own
        return [bare + dump for bare, dump in zip(own, self._samples[DUMP], strict=True)]

    def us(self, way: Way) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.samples(way))

    def quartiles(self, way: Way) -> tuple[float, float]:
        """Return the first and the third quartile over the rounds."""
        low, _, high = statistics.quantiles(self.samples(way), n=4, method="inclusive")
        return low, high

    def ratio(self, way: Way, baseline: Way) -> float:
        """Return the median over the rounds of the ratio within a round."""
        pairs = zip(self.samples(way), self.samples(baseline), strict=True)
        return statistics.median(one / other for one, other in pairs)


def rounds_for(results: int) -> int:
    """Return the number of rounds: fewer if each fills much of the disk."""
    return _ROUNDS if results <= _MANY else _FEWEST_ROUNDS


def measure(bench: Bench, listed: list[Contender], rounds: int, place: Path, bar: Bar) -> Measurements:
    """Give each contender a turn in each round, in alternating order: A B C, C B A, ...

    A slow phase of the machine then hits all contenders of a round, and cancels in its ratios. Nothing is
    deleted: afterwards, an ext4 without a journal would create files slowly.
    """
    place.mkdir()
    samples: dict[Way, list[float]] = {contender.way: [] for contender in listed}
    order = list(listed)
    began, dirty = time.monotonic(), True
    for number in range(rounds):
        if number >= _FEWEST_ROUNDS and time.monotonic() - began > _ENOUGH_SEC:
            break
        for turn_number, contender in enumerate(order):
            root = place / f"{number}-{turn_number}"
            root.mkdir()
            bar.label(f"Measuring {contender.way.name}")
            if dirty:
                write_out(root)
            turn = Turn(bench, root, contender.most, time.perf_counter_ns() + round(_TURN_SEC * 1e9))
            contender.take(turn)
            samples[contender.way].append(turn.spent_ns / turn.results / 1000)
            # The next flushes would pay for dirty data.
            dirty = contender.way.durable is False
            bar.advance(1, saved=turn.results if contender.saves else 0)
        order.reverse()
    return Measurements(samples)


@dataclass(frozen=True)
class Report:
    """The outcome of a run."""

    directory: Path
    disk: Disk
    record_bytes: int
    results: int
    measurements: Measurements

    @property
    def doubts(self) -> list[str]:
        """The reasons to doubt the measurements."""
        if _store.OPTIMISED:
            return self.disk.doubts
        return [
            *self.disk.doubts,
            "The extension was built without optimisation: the measurements are not the package's.",
        ]

    @property
    def versions(self) -> dict[str, Any]:
        """The versions of the package, of its dependencies and of the system."""
        return {
            "llenergymeasure": llenergymeasure.__version__,
            "optimised": _store.OPTIMISED,
            "python": platform.python_version(),
            "pydantic": pydantic.VERSION,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpus": os.cpu_count(),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON; ratios are to the baseline with pydantic's dump, within a round."""
        measurements = self.measurements
        baselines = (BASELINE, DURABLE_BASELINE, DUMP, READ)
        return {
            "versions": self.versions,
            "disk": {
                "directory": str(self.directory),
                "file_system": self.disk.mount and self.disk.mount.kind,
                "device": self.disk.mount and self.disk.mount.device,
                "mount_point": self.disk.mount and self.disk.mount.point,
                "mount_options": self.disk.mount and self.disk.mount.options,
                "super_options": self.disk.mount and self.disk.mount.super_options,
                "flush_us": self.disk.flush_us,
                "flush_reaches_device": self.disk.flush_reaches_device,
            },
            "doubts": self.doubts,
            "record_bytes": self.record_bytes,
            "results": self.results,
            "rounds": measurements.rounds,
            "baselines": [self._entry(way) for way in measurements.ways if way in baselines],
            "ways": [self._entry(way) for way in measurements.ways if way not in baselines],
        }

    def _entry(self, way: Way) -> dict[str, Any]:
        measurements = self.measurements
        own_baseline = READ if way.durable is None else BASELINE
        compared = way not in (DUMP, READ)
        return {
            **asdict(way),
            "name": "baseline + dump" if way.name == "baseline" else way.name,
            "us_per_result": measurements.us(way),
            "results_per_second": 1e6 / measurements.us(way),
            "ratio_to_baseline": measurements.ratio(way, own_baseline) if compared else None,
            "ratio_to_durable_baseline": measurements.ratio(way, DURABLE_BASELINE)
            if way.durable is not None
            else None,
            "samples_us": measurements.samples(way),
        }
