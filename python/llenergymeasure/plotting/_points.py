"""The points of a Pareto plot: energy per token against throughput."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL = "effective_config.model"
COLUMNS = ("path", MODEL, "backend", "avg_tokens_per_second", "avg_energy_per_token_j")
OTHER = "other models"
_UNKNOWN = "unknown"


class ParetoPoint(NamedTuple):
    """One result."""

    path: str
    model: str
    backend: str
    rate: float
    """Tokens per second."""
    energy: float
    """Joules per token."""


class ParetoPoints:
    """The results that have both a throughput and an energy per token.

    Attributes:
        points: The points in the order of the input.
        left_out: The number of results with a value that is missing, zero, negative or not finite.
    """

    def __init__(self, batches: Iterable[dict[str, list[Any]]]) -> None:
        """Take batches of `COLUMNS`, as lists by column."""
        self.points: list[ParetoPoint] = []
        self.left_out = 0
        for batch in batches:
            for path, model, backend, rate, energy in zip(*(batch[name] for name in COLUMNS), strict=True):
                if _is_plotted(rate) and _is_plotted(energy):
                    name = _UNKNOWN if model is None else str(model)
                    self.points.append(ParetoPoint(path, name, str(backend), rate, energy))
                else:
                    self.left_out += 1

    @property
    def front(self) -> list[int]:
        """The indices of the points that no other point beats in both values, by rising throughput."""
        points = self.points
        by_rate = sorted(range(len(points)), key=lambda index: (-points[index].rate, points[index].energy))
        front: list[int] = []
        least = math.inf
        for index in by_rate:
            if points[index].energy < least:
                least = points[index].energy
                front.append(index)
        return front[::-1]

    def by_model(self, most: int) -> dict[str, list[int]]:
        """Return the indices of each model's points, the models by their least energy per token.

        If there are more than `most` models, those with the fewest results share the last group, `OTHER`.
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
        for index, point in enumerate(self.points):
            (groups.setdefault(point.model, []) if point.model in kept else others).append(index)
        ordered = {model: groups[model] for model in sorted(groups, key=lambda model: (best[model], model))}
        return ordered | ({OTHER: others} if others else {})

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the rows that `llem plot --json` prints."""
        front = set(self.front)
        return [
            {
                "path": point.path,
                "model": point.model,
                "backend": point.backend,
                "tokens_per_second": point.rate,
                "joules_per_token": point.energy,
                "on_front": index in front,
            }
            for index, point in enumerate(self.points)
        ]


def _is_plotted(value: float | None) -> bool:
    return value is not None and 0 < value < math.inf
