"""Mean and standard deviation, accumulated value by value."""

from __future__ import annotations

import math


class Statistic:
    """The mean and the sample standard deviation (n - 1) of the values that are finite numbers.

    Welford's method keeps its digits where the deviation is small compared with the mean.

    Attributes:
        count: The number of finite values.
        left_out: The number of values that were null, NaN or infinite.
    """

    __slots__ = ("_mean", "_squares", "count", "left_out")

    def __init__(self) -> None:
        """Start without values."""
        self.count = self.left_out = 0
        self._mean = self._squares = 0.0

    def add(self, value: float | None) -> None:
        """Add one value."""
        if value is None or not math.isfinite(value):
            self.left_out += 1
            return
        self.count += 1
        off = value - self._mean
        self._mean += off / self.count
        self._squares += off * (value - self._mean)

    @property
    def mean(self) -> float | None:
        """The mean; None without a value."""
        return self._mean if self.count else None

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None of fewer than two values."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None

    @property
    def as_json(self) -> dict[str, float | int | None]:
        """The object that `--json` prints."""
        return {"n": self.count, "mean": self.mean, "sd": self.deviation}


class RatioOfSums:
    """The sum of the energies divided by the sum of the tokens.

    A result counts if both of its numbers are finite.

    Attributes:
        count: The number of results that count.
        energy_j: The sum of their energies in joules.
        tokens: The sum of their tokens.
    """

    __slots__ = ("count", "energy_j", "tokens")

    def __init__(self) -> None:
        """Start without results."""
        self.count = self.tokens = 0
        self.energy_j = 0.0

    def add(self, energy_j: float | None, tokens: int | None) -> None:
        """Add a result."""
        if energy_j is not None and tokens is not None and math.isfinite(energy_j):
            self.count += 1
            self.energy_j += energy_j
            self.tokens += tokens

    @property
    def value(self) -> float | None:
        """Joules per token; None without a token."""
        return self.energy_j / self.tokens if self.tokens else None

    @property
    def as_json(self) -> dict[str, float | int | None]:
        """The object that `--json` prints."""
        return {"n": self.count, "j_per_token": self.value, "energy_j": self.energy_j, "tokens": self.tokens}
