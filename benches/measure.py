"""Times and ratios of interleaved rounds, and their table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rich.table import Table

__all__ = ["Contender", "Row", "Times", "interleave", "median_us", "named", "quartiles", "show", "verdict"]

Contender: TypeAlias = "Callable[[], dict[str, float]]"
"""A function that measures contenders in turns, and returns microseconds per operation by name."""

Times: TypeAlias = "dict[str, list[float]]"
"""Microseconds per operation in each round, by name."""


@dataclass(frozen=True)
class Row:
    """One metric: a number from each round, and its target."""

    metric: str
    samples: list[float]
    unit: str = "x"
    target: float | None = None
    ours_us: list[float] = field(default_factory=list)
    against_us: list[float] = field(default_factory=list)
    doubtful: bool = False
    at_least: bool = False
    """True if the target is a minimum."""

    @classmethod
    def ratio(cls, metric: str, ours: list[float], against: list[float], target: float | None = None) -> Row:
        """Compare two contenders, round by round."""
        return cls(metric, [a / b for a, b in zip(ours, against, strict=True)], "x", target, ours, against)

    @classmethod
    def faster(cls, metric: str, ours: list[float], than: list[float], target: float | None = None) -> Row:
        """Return the speed-up of ours over another contender, round by round, with a minimum as target."""
        times = [b / a for a, b in zip(ours, than, strict=True)]
        return cls(metric, times, "x", target, ours, than, at_least=True)

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and third quartile over the rounds."""
        return quartiles(self.samples)

    @property
    def met(self) -> bool | None:
        """The verdict on the target; None without a target."""
        if self.target is None:
            return None
        return self.median >= self.target if self.at_least else self.median <= self.target

    def doubted(self, word: str) -> Row:
        """Withhold the verdict if the metric contains the word."""
        return replace(self, doubtful=True) if word in self.metric else self

    def as_json(self) -> dict[str, object]:
        """Return the metric as JSON values."""
        low, high = self.quartiles
        return {
            "metric": self.metric,
            "unit": self.unit,
            "median": self.median,
            "quartiles": [low, high],
            "range": [min(self.samples), max(self.samples)],
            "target": self.target,
            "at_least": self.at_least,
            "met": self.met,
            "samples": self.samples,
            "ours_us": self.ours_us,
            "against_us": self.against_us,
        }


def median_us(operation: Callable[[], object], count: int) -> float:
    """Time each of a number of calls, and return the median in microseconds."""
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        operation()
        times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


def interleave(contenders: Iterable[Contender], rounds: int) -> Times:
    """Measure each contender once a round, in alternating order: A B C, C B A, ...

    A slow stretch of the machine then falls on all contenders of a round, and cancels in its ratios.
    """
    times: Times = {}
    order = list(contenders)
    for _ in range(rounds):
        for contender in order:
            for name, us in contender().items():
                times.setdefault(name, []).append(us)
        order.reverse()
    return times


def named(name: str, us: Callable[[], float]) -> Contender:
    """Return a contender with one measurement."""
    return lambda: {name: us()}


def show(title: str, rows: Iterable[Row]) -> Table:
    """Return rows as a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("metric")
    for column in ("median", "quartiles", "target"):
        table.add_column(column, justify="right")
    table.add_column("")
    for column in ("ours µs", "against µs"):
        table.add_column(column, justify="right", style="dim")
    for row in rows:
        table.add_row(
            row.metric,
            _format(row.median, row.unit),
            " - ".join(f"{quartile:.2f}" for quartile in row.quartiles) if len(row.samples) > 1 else "",
            "" if row.target is None else f"{'≥' if row.at_least else '≤'} {_format(row.target, row.unit)}",
            verdict(row.met, doubtful=row.doubtful and row.met is not None),
            *(f"{statistics.median(times):.0f}" if times else "" for times in (row.ours_us, row.against_us)),
        )
    return table


def verdict(met: bool | None, *, doubtful: bool) -> str:  # noqa: FBT001 - a verdict has three values
    """Return the word for a target that was met or missed, or cannot be judged."""
    if doubtful:
        return "[yellow]cannot say[/]"
    return {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[met]


def quartiles(samples: list[float]) -> tuple[float, float]:
    """Return the first and third quartile."""
    if len(samples) == 1:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def _format(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}"
