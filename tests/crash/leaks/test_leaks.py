"""A process that saves or reads for ever keeps nothing of it: no memory, no descriptor, no thread."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Any

    Figures = Any

SAVING = ["singly", "in vain", "many", "one writer", "many writers"]
READING = ["loading", "scanning", "streaming", "scanning traces", "completed", "verifying", "cleaning"]
READING += ["iterating", "abandoning", "reading in vain"]
FEWER = {"abandoning": 25}
"""Ways of which so many times fewer are enough, for each has so much more to do."""
HANG = 3000
"""Seconds, of which the longest way takes some hundreds."""
BYTES = 16
"""Of malloc's, that each time may leave, in the median between two looks, once caches are filled.

Half of the least that malloc gives: a leak comes each time, what is fragmented and cached comes to an end.
"""
PAGES = 4
"""What may come between two looks however few the times: 220 bytes for each in the short form."""
RESIDENT = 8 << 20
"""Bytes that the process may grow by in the last two thirds of its time, whatever it is that grows."""
OBJECTS = 0.5
"""Of Python's own, that each time may leave: caches that fill up at first are more than none."""
LOOKING = 5
"""Objects that may come between two looks however few the times: looking fills caches, too."""


@dataclass
class Kept:
    """What a process kept at each look, with so many times from one to the next."""

    times: int
    looks: list[dict[str, int]]

    @property
    def grown(self) -> float:
        """Bytes from one look to the next: those that malloc gave, where it tells, else the resident."""
        what = "allocated" if self.looks[0]["allocated"] else "resident"
        later = [look[what] for look in self.looks[len(self.looks) // 3 :]]
        return median(after - before for before, after in itertools.pairwise(later))

    @property
    def objects(self) -> float:
        """Python's own, left by each time."""
        later = self.looks[len(self.looks) // 3 :]
        return (later[-1]["blocks"] - later[0]["blocks"]) / (self.times * (len(later) - 1))

    def least(self, what: str) -> tuple[int, int]:
        """At first and at last; the least of some looks, for a thread that was joined is listed on."""
        third = len(self.looks) // 3
        return min(look[what] for look in self.looks[:third]), min(look[what] for look in self.looks[-third:])

    @property
    def leaks(self) -> bool:
        least = max(BYTES * self.times, PAGES * os.sysconf("SC_PAGE_SIZE"))
        resident = self.looks[-1]["resident"] - self.looks[len(self.looks) // 3]["resident"]
        objects = max(OBJECTS, LOOKING / self.times)
        return self.grown >= least or self.objects >= objects or resident >= RESIDENT


@pytest.fixture
def keep(memory: Path, parquet: Path, *, long_form: bool) -> Callable[[str], Kept]:
    """Do one thing in a process of its own for a long time."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("only Linux tells what a process keeps")

    def keep(way: str) -> Kept:
        count = (100_000 if long_form else 3_000) // FEWER.get(way, 1)
        script = Path(__file__).with_name("endless.py")
        command: list[str | Path] = [sys.executable, script, memory / "out", way, f"{count}", parquet]
        # Of one arena malloc tells what is in use; with more, it wastes more than a leak takes.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=HANG
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        looks = [json.loads(line) for line in done.stdout.splitlines()]
        return Kept(looks[0]["times"], looks)

    return keep


@pytest.mark.parametrize("way", SAVING + READING)
def test_repeat_operation_thousands_of_times_leaks_nothing(
    keep: Callable[[str], Kept], figures: Figures, way: str
) -> None:
    kept = keep(way)
    figures.note("Bounded", way, "times", kept.times * len(kept.looks))
    figures.note("Bounded", way, "resident at first, KiB", kept.looks[0]["resident"] >> 10)
    figures.note("Bounded", way, "at last", kept.looks[-1]["resident"] >> 10)
    figures.note("Bounded", way, "bytes a time, median", f"{kept.grown / kept.times:.2f}")
    figures.note("Bounded", way, "objects a time", f"{kept.objects:.4f}")
    assert not kept.leaks, kept
    for what in ("descriptors", "threads"):
        first, last = kept.least(what)
        figures.note("Bounded", way, what, last)
        assert last <= first, kept


def test_repeat_leaking_operation_is_detected(keep: Callable[[str], Kept]) -> None:
    assert keep("leaking").leaks
