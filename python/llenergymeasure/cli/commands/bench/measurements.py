"""Rounds of turns, and the figures that come out of them."""

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
    DUMP,
    DURABLE_FLOOR,
    FLOOR,
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

__all__ = ["Figures", "Report", "measure", "rounds_for"]

_TURN_SEC = 0.25
_MANY = 2000
_ENOUGH_SEC = 35
"""When a further round is not begun any more, if there have been the fewest."""
_ROUNDS, _FEWEST_ROUNDS = 5, 3


class Figures:
    """Microseconds a result, of each way in each round."""

    def __init__(self, samples: dict[Way, list[float]]) -> None:
        """Take the samples; the n-th ones of all ways are of one round."""
        self._samples = samples

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(self._samples[DUMP])

    @property
    def ways(self) -> list[Way]:
        """All ways, the floors too, in the order in which they were listed."""
        return list(self._samples)

    def samples(self, way: Way) -> list[float]:
        """Return the microseconds of each round: of the bare floors with what pydantic adds to them."""
        own = self._samples[way]
        if way.name != "floor":
            return own
        return [floor + dump for floor, dump in zip(own, self._samples[DUMP], strict=True)]

    def us(self, way: Way) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.samples(way))

    def quartiles(self, way: Way) -> tuple[float, float]:
        """Return the first and the third quartile over the rounds."""
        low, _, high = statistics.quantiles(self.samples(way), n=4, method="inclusive")
        return low, high

    def ratio(self, way: Way, floor: Way) -> float:
        """Return the median over the rounds of the ratio within a round."""
        pairs = zip(self.samples(way), self.samples(floor), strict=True)
        return statistics.median(one / other for one, other in pairs)


def rounds_for(results: int) -> int:
    """Choose the number of rounds: fewer where each leaves much on the disk."""
    return _ROUNDS if results <= _MANY else _FEWEST_ROUNDS


def measure(bench: Bench, listed: list[Contender], rounds: int, place: Path, bar: Bar) -> Figures:
    """Give each contender a turn in each round, in an order that turns round every time: A B C, C B A, ...

    A slow stretch of the machine then falls on all contenders of a round, and cancels in its ratios. Nothing
    is deleted: an ext4 without a journal would be slow to make files afterwards.
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
            # What one has left dirty, the next one's flushes would pay for.
            dirty = contender.way.durable is False
            bar.advance(1, saved=turn.results if contender.saves else 0)
        order.reverse()
    return Figures(samples)


@dataclass(frozen=True)
class Report:
    """Everything that a run found out."""

    directory: Path
    disk: Disk
    record_bytes: int
    results: int
    figures: Figures

    @property
    def doubts(self) -> list[str]:
        """What makes the figures mean something else than they seem to."""
        if _store.OPTIMISED:
            return self.disk.doubts
        return [
            *self.disk.doubts,
            "The extension was built without optimisation: the figures are not the package's.",
        ]

    @property
    def versions(self) -> dict[str, Any]:
        """What was measured, and on what."""
        return {
            "llenergymeasure": llenergymeasure.__version__,
            "optimised": _store.OPTIMISED,
            "python": platform.python_version(),
            "pydantic": pydantic.VERSION,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpus": os.cpu_count(),
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs; the ratios are to the floor and pydantic's dump, of the same rounds."""
        figures = self.figures
        floors = (FLOOR, DURABLE_FLOOR, DUMP, READ)
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
            "rounds": figures.rounds,
            "floors": [self._entry(way) for way in figures.ways if way in floors],
            "ways": [self._entry(way) for way in figures.ways if way not in floors],
        }

    def _entry(self, way: Way) -> dict[str, Any]:
        figures = self.figures
        to_floor = READ if way.durable is None else FLOOR
        compared = way not in (DUMP, READ)
        return {
            **asdict(way),
            "name": "floor + dump" if way.name == "floor" else way.name,
            "us_per_result": figures.us(way),
            "results_per_second": 1e6 / figures.us(way),
            "ratio_to_floor": figures.ratio(way, to_floor) if compared else None,
            "ratio_to_durable_floor": figures.ratio(way, DURABLE_FLOOR) if way.durable is not None else None,
            "samples_us": figures.samples(way),
        }
