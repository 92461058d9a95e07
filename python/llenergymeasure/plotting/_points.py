"""Results as points: energy per token against throughput."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["COLUMNS", "OTHER", "Cloud", "Point"]

COLUMNS = ("path", "effective_config.model", "backend", "avg_tokens_per_second", "avg_energy_per_token_j")
OTHER = "other models"
_UNKNOWN = "unknown"


class Point(NamedTuple):
    """One result."""

    path: str
    model: str
    backend: str
    rate: float
    """Tokens a second."""
    energy: float
    """Joules a token."""


class Cloud:
    """The results that have both figures.

    Attributes:
        points: In the order in which they were read.
        left_out: How many have a figure that is missing, zero, negative or not finite.
    """

    def __init__(self, batches: Iterable[dict[str, list[Any]]]) -> None:
        """Take batches of `COLUMNS`, as lists by column."""
        self.points: list[Point] = []
        self.left_out = 0
        for batch in batches:
            for path, model, backend, rate, energy in zip(*(batch[name] for name in COLUMNS), strict=True):
                if _is_plotted(rate) and _is_plotted(energy):
                    name = _UNKNOWN if model is None else str(model)
                    self.points.append(Point(path, name, str(backend), rate, energy))
                else:
                    self.left_out += 1

    @property
    def front(self) -> list[int]:
        """The places of the points that no other beats in both figures, by rising throughput."""
        points = self.points
        by_rate = sorted(range(len(points)), key=lambda place: (-points[place].rate, points[place].energy))
        front: list[int] = []
        least = math.inf
        for place in by_rate:
            if points[place].energy < least:
                least = points[place].energy
                front.append(place)
        return front[::-1]

    def by_model(self, most: int) -> dict[str, list[int]]:
        """Return the places of each model's points, the models by their least energy per token.

        Where there are more models than `most`, those with the fewest results are together in `OTHER`, last.
        """
        counts = Counter(point.model for point in self.points)
        best: dict[str, float] = {}
        for point in self.points:
            best[point.model] = min(point.energy, best.get(point.model, math.inf))
        kept = set(counts)
        if len(counts) > most:
            kept = set(sorted(counts, key=lambda model: (-counts[model], best[model], model))[: most - 1])
        groups: dict[str, list[int]] = {}
        others: list[int] = []
        for place, point in enumerate(self.points):
            (groups.setdefault(point.model, []) if point.model in kept else others).append(place)
        ordered = {model: groups[model] for model in sorted(groups, key=lambda model: (best[model], model))}
        return ordered | ({OTHER: others} if others else {})

    def as_rows(self) -> list[dict[str, Any]]:
        """Return what `--json` prints."""
        front = set(self.front)
        return [
            {
                "path": point.path,
                "model": point.model,
                "backend": point.backend,
                "tokens_per_second": point.rate,
                "joules_per_token": point.energy,
                "on_front": place in front,
            }
            for place, point in enumerate(self.points)
        ]


def _is_plotted(figure: float | None) -> bool:
    return figure is not None and 0 < figure < math.inf
