"""The samples of a power log: each GPU's times and powers, in the order of time."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import groupby, pairwise
from statistics import median
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.results._log_cells import MICROSECONDS

__all__ = ["Samples", "check_one_device"]

_MOST_WATTS = 10_000
"""No GPU draws more."""
_TWICE = 2 * MICROSECONDS
_SCALES = (1, 1000, 1_000_000)
_FEW_GAPS = 4
_BURST = 10
"""The gap between two readings of all GPUs is so many times that between two GPUs of one reading."""


@dataclass
class Samples:
    """The samples of one GPU.

    Attributes:
        times: Microseconds, as the log has them.
        powers: Watts; NaN without a value.
        others: The other quantities, by name; NaN without a value.
    """

    times: array[int] = field(default_factory=lambda: array("q"))
    powers: array[float] = field(default_factory=lambda: array("d"))
    others: dict[str, array[float]] = field(default_factory=dict)

    def sort(self) -> bool:
        """Sort the samples by time, and return True if they were not."""
        if all(one <= other for one, other in pairwise(self.times)):
            return False
        order = sorted(range(len(self.times)), key=self.times.__getitem__)
        self.times = array("q", [self.times[place] for place in order])
        self.powers = array("d", [self.powers[place] for place in order])
        self.others = {
            name: array("d", [values[place] for place in order]) for name, values in self.others.items()
        }
        return True

    def doubts(self) -> list[str]:
        """Return why the powers may be wrong, as sentences."""
        found = []
        if any(power < 0 for power in self.powers):
            found.append("the power log has powers below 0 W")
        known = sorted(power for power in self.powers if not math.isnan(power))
        if known and (usual := known[len(known) // 2]) > _MOST_WATTS:
            found.append(
                f"the power log has a power of {usual:.0f} W, which is more than a GPU draws; if it is in "
                "milliwatts, rename the column as power_mw"
            )
        return found

    def readings(self) -> Readings:
        """Return the samples that have a power; those of one time count with their mean."""
        known = [pair for pair in zip(self.times, self.powers, strict=True) if not math.isnan(pair[1])]
        times, powers = array("q"), array("d")
        for time, pairs in groupby(known, key=lambda pair: pair[0]):
            values = [power for _, power in pairs]
            times.append(time)
            powers.append(values[0] if len(values) == 1 else math.fsum(values) / len(values))
        return Readings(times, powers)


@dataclass(frozen=True)
class Readings:
    """The powers of one GPU at increasing times, in microseconds and watts."""

    times: array[int]
    powers: array[float]

    @property
    def interval(self) -> float:
        """The usual time between two readings, in microseconds; 0 of fewer than two."""
        return median(other - one for one, other in pairwise(self.times)) if len(self.times) > 1 else 0

    def power_at(self, time: int) -> float:
        """Return the power at a time, on the line between its neighbours; outside, that of the end."""
        return float(self._exact_power(time))

    def energy_j(self, start: int, end: int) -> float:
        """Return the integral between two times by the trapezoid rule, in joules."""
        return float(self.exact_energy_j(start, end))

    def exact_energy_j(self, start: int, end: int) -> Fraction:
        """Return the integral as `energy_j`, of the decimal numbers in the log, without rounding."""
        if end <= start:
            return Fraction(0)
        first, last = bisect_right(self.times, start), bisect_left(self.times, end)
        if first == last:
            return (self._exact_power(start) + self._exact_power(end)) * (end - start) / _TWICE
        inner = self._areas(first, last)
        left = (self._exact_power(start) + self._exact(first)) * (self.times[first] - start)
        right = (self._exact(last - 1) + self._exact_power(end)) * (end - self.times[last - 1])
        return (left + inner + right) / _TWICE

    def _areas(self, first: int, last: int) -> Fraction:
        """Return twice the integral from one reading to another, in microseconds times watts."""
        times, (numbers, scale) = self.times[first:last], self._scaled
        values = numbers[first:last]
        steps = zip(times, times[1:], values, values[1:], strict=False)
        return Fraction(sum((after - before) * (low + high) for before, after, low, high in steps)) / scale

    @cached_property
    def _scaled(self) -> tuple[list[Any], int]:
        """The powers as integers, and their unit as a part of a watt; fractions if they have many digits."""
        for scale in _SCALES:
            numbers = [round(power * scale) for power in self.powers]
            if all(number / scale == power for number, power in zip(numbers, self.powers, strict=True)):
                return numbers, scale
        return [Fraction(repr(power)) for power in self.powers], 1

    def _exact(self, place: int) -> Fraction:
        numbers, scale = self._scaled
        return Fraction(numbers[place]) / scale

    def _exact_power(self, time: int) -> Fraction:
        """Return the power at a time; see `power_at`."""
        place = bisect_left(self.times, time)
        if place == len(self.times):
            return self._exact(place - 1)
        if self.times[place] == time or place == 0:
            return self._exact(place)
        before, after = self.times[place - 1], self.times[place]
        low, high = self._exact(place - 1), self._exact(place)
        return low + (high - low) * Fraction(time - before, after - before)

    def longest_gap(self, start: int, end: int) -> int:
        """Return the longest time without a reading between two times, in microseconds."""
        first, last = bisect_right(self.times, start), bisect_left(self.times, end)
        times = [start, *self.times[first:last], end]
        return max(other - one for one, other in pairwise(times))


def check_one_device(samples: Samples) -> list[str]:
    """Check that rows without a GPU are of one device; return warnings.

    Raises:
        NotImportableError: The rows are of several GPUs.
    """
    by_time: dict[int, set[float]] = {}
    counts = Counter(samples.times)
    for time, power in zip(samples.times, samples.powers, strict=True):
        if not math.isnan(power):
            by_time.setdefault(time, set()).add(power)
    repeated = [time for time, count in counts.items() if count > 1]
    if any(len(by_time.get(time, ())) > 1 for time in repeated) or len(repeated) > max(1, len(counts) / 2):
        most = max(counts.values())
        raise NotImportableError(
            f"expected one row for each time, got {most} of one time and no column of the GPU, so that they "
            "are "
            f"of several GPUs; log the index or the UUID, or name the column with --power-columns gpu=NAME"
        )
    size = _burst(sorted(counts))
    if size > 1:
        raise NotImportableError(
            f"expected rows at equal distances, got bursts of {size} rows and no column of the GPU, so that "
            "they "
            f"are of {size} GPUs; log the index or the UUID, or name the column with --power-columns gpu=NAME"
        )
    return [f"{len(repeated)} times of the power log occur twice"] if repeated else []


def _burst(times: list[int]) -> int:
    """Return the number of rows in each of many bursts of one size; 1 where there are none."""
    gaps = [other - one for one, other in pairwise(times)]
    if len(gaps) < _FEW_GAPS:
        return 1
    least = (
        max(gaps) / _BURST if len(gaps) < 2 * _FEW_GAPS else sorted(gaps)[-max(1, len(gaps) // 20)] / _BURST
    )
    sizes, size = [], 1
    for gap in gaps:
        if gap < least:
            size += 1
        else:
            sizes.append(size)
            size = 1
    sizes.append(size)
    inner = sizes[1:-1] if len(sizes) > _FEW_GAPS - 1 else sizes
    usual, count = Counter(inner).most_common(1)[0]
    return usual if usual > 1 and len(inner) > 1 and count >= 0.9 * len(inner) else 1
