"""Mean and standard deviation, added up value by value."""

from __future__ import annotations

import math

__all__ = ["Statistic"]


class Statistic:
    """The mean and the sample standard deviation (n - 1) of the values that are finite numbers.

    By Welford's method, which loses no digits where the deviation is small beside the mean.

    Attributes:
        count: How many there were.
        left_out: How many were null, NaN or infinite, and count for nothing.
    """

    __slots__ = ("_mean", "_squares", "count", "left_out")

    def __init__(self) -> None:
        """Begin with no value."""
        self.count = self.left_out = 0
        self._mean = self._squares = 0.0

    def add(self, value: float | None) -> None:
        """Take one value more."""
        if value is None or not math.isfinite(value):
            self.left_out += 1
            return
        self.count += 1
        off = value - self._mean
        self._mean += off / self.count
        self._squares += off * (value - self._mean)

    @property
    def mean(self) -> float | None:
        """The mean; None where there was no value."""
        return self._mean if self.count else None

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None of fewer than two values."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None

    @property
    def as_json(self) -> dict[str, float | int | None]:
        """What `--json` says of it."""
        return {"n": self.count, "mean": self.mean, "sd": self.deviation}
