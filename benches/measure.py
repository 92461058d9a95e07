"""Timing, ratios of interleaved rounds, and how they are shown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rich.table import Table

__all__ = ["Contender", "Row", "Times", "interleave", "median_us", "named", "show"]

Contender: TypeAlias = "Callable[[], dict[str, float]]"
"""Measures itself for one round, or several that take turns; returns microseconds an operation, by name."""

Times: TypeAlias = "dict[str, list[float]]"
"""By name, microseconds an operation in each round."""


@dataclass(frozen=True)
class Row:
    """One metric: a figure from each round, and the most that it should be."""

    metric: str
    samples: list[float]
    unit: str = "x"
    target: float | None = None
    ours_us: list[float] = field(default_factory=list)
    against_us: list[float] = field(default_factory=list)
    doubtful: bool = False
    at_least: bool = False
    """Whether the target is the least that the figure should be."""

    @classmethod
    def ratio(cls, metric: str, ours: list[float], against: list[float], target: float | None = None) -> Row:
        """Compare two contenders, round by round."""
        return cls(metric, [a / b for a, b in zip(ours, against, strict=True)], "x", target, ours, against)

    @classmethod
    def faster(cls, metric: str, ours: list[float], than: list[float], target: float | None = None) -> Row:
        """Say round by round how many times faster ours are, which should be so many times at least."""
        times = [b / a for a, b in zip(ours, than, strict=True)]
        return cls(metric, times, "x", target, ours, than, at_least=True)

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and third quartile over the rounds."""
        if len(self.samples) == 1:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def met(self) -> bool | None:
        """Whether the median is within the target; None where there is no target."""
        if self.target is None:
            return None
        return self.median >= self.target if self.at_least else self.median <= self.target

    def doubted(self, word: str) -> Row:
        """Withhold the verdict, where the metric has the word in it."""
        return replace(self, doubtful=True) if word in self.metric else self

    def as_json(self) -> dict[str, object]:
        """Everything that is known of it."""
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
    """Measure each contender once a round, in an order that turns round every time: A B C, C B A, ...

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
    """Make a contender of one measurement."""
    return lambda: {name: us()}


def show(title: str, rows: Iterable[Row]) -> Table:
    """Lay rows out as a table."""
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
            _figure(row.median, row.unit),
            " - ".join(f"{quartile:.2f}" for quartile in row.quartiles) if len(row.samples) > 1 else "",
            "" if row.target is None else f"{'≥' if row.at_least else '≤'} {_figure(row.target, row.unit)}",
            _verdict(row),
            *(f"{statistics.median(times):.0f}" if times else "" for times in (row.ours_us, row.against_us)),
        )
    return table


def _verdict(row: Row) -> str:
    if row.doubtful and row.met is not None:
        return "[yellow]cannot say[/]"
    return {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row.met]


def _figure(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}"
