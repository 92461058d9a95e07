"""The report: a line for each contender, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from measure import quartiles, verdict
from peers.contenders import BASE, Contender

__all__ = ["Line", "show"]


@dataclass(frozen=True)
class Line:
    """One contender's rounds, and those of ours."""

    contender: Contender
    version: str
    results: int
    """The results per round."""
    us: list[float]
    """Microseconds per result in each round."""
    ours: dict[str, list[float]]
    doubtful: bool = False

    def ratios(self, other: str) -> list[float]:
        """Return the ratio of its time to that of another contender, round by round."""
        return [mine / theirs for mine, theirs in zip(self.us, self.ours[other], strict=True)]

    @property
    def met(self) -> bool | None:
        """The verdict on the target of `save_many` against this contender; None without one."""
        if self.contender.target is None or BASE not in self.ours or self.doubtful:
            return None
        return statistics.median(self.ratios(BASE)) >= self.contender.target

    def as_json(self) -> dict[str, object]:
        """Return the line as JSON values."""
        return {
            "contender": self.contender.name,
            "version": self.version,
            "setting": self.contender.setting,
            "flushed": self.contender.flushed,
            "survives_power_cut": self.contender.survives,
            "results_per_round": self.results,
            "us_per_result": _summary(self.us),
            "ratio_to": {other: _summary(self.ratios(other)) for other in self.ours},
            "target": self.contender.target,
            "met": self.met,
        }


def show(lines: Iterable[Line]) -> Table:
    """Return the lines as a table."""
    table = Table(title="One result", title_justify="left", title_style="bold")
    for column in ("", "version", "flushed when it returns", "safe"):
        table.add_column(column)
    for column in ("µs", "save_many faster by", "quartiles", "target"):
        table.add_column(column, justify="right")
    table.add_column("")
    for line in lines:
        compared = BASE in line.ours and line.contender.name != BASE
        ratios = line.ratios(BASE) if compared else []
        target = line.contender.target
        table.add_row(
            line.contender.name,
            line.version,
            line.contender.flushed,
            "yes" if line.contender.survives else "no",
            f"{statistics.median(line.us):.0f}",
            f"{statistics.median(ratios):.2f} x" if ratios else "",
            " - ".join(f"{quartile:.2f}" for quartile in quartiles(ratios)) if len(ratios) > 1 else "",
            f"≥ {target:.0f} x" if target is not None else "",
            verdict(line.met, doubtful=target is not None and line.met is None),
            style="bold" if line.contender.ours else None,
        )
    return table


def _summary(samples: list[float]) -> dict[str, object]:
    return {"median": statistics.median(samples), "quartiles": list(quartiles(samples)), "samples": samples}
