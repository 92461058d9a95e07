"""Operations that are repeated thousands of times leak no memory, no descriptor and no thread."""

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

import pytest

from support.crash_report import Measurements

SAVING = ["singly", "in vain", "many", "one writer", "many writers"]
READING = ["loading", "scanning", "streaming", "scanning traces", "completed", "verifying", "cleaning"]
READING += ["iterating", "abandoning", "reading in vain"]
FEWER = {"abandoning": 25}
"""Ways to repeat less often by this factor, because one operation does so much more."""
HANG = 3000
"""Seconds for one way; the longest takes some hundreds in the long form."""
BYTES = 16
"""Bytes of malloc that an operation may leave, in the median between two looks, once caches are filled.

This is half of malloc's smallest block: a leak grows each time; fragmentation and caches come to an end.
"""
PAGES = 4
"""Pages that may come between two looks with few operations: 220 bytes each in the short form."""
RESIDENT = 8 << 20
"""Bytes by which the process may grow in the last two thirds of its time."""
OBJECTS = 0.5
"""Python objects that an operation may leave, because caches fill up at first."""
LOOK_OBJECTS = 5
"""Objects that may come between two looks with few operations, because a look fills caches too."""


@dataclass
class Kept:
    """The resources of a process at each look, with a number of operations between two looks."""

    times: int
    looks: list[dict[str, int]]

    @property
    def grown(self) -> float:
        """Bytes from one look to the next: those of malloc if it counts them, else the resident ones."""
        what = "allocated" if self.looks[0]["allocated"] else "resident"
        later = [look[what] for look in self.looks[len(self.looks) // 3 :]]
        return median(after - before for before, after in itertools.pairwise(later))

    @property
    def objects(self) -> float:
        """Python objects that each operation left."""
        later = self.looks[len(self.looks) // 3 :]
        return (later[-1]["blocks"] - later[0]["blocks"]) / (self.times * (len(later) - 1))

    def least(self, what: str) -> tuple[int, int]:
        """Return the first and last count; the least of some looks, because a joined thread stays listed."""
        third = len(self.looks) // 3
        return min(look[what] for look in self.looks[:third]), min(look[what] for look in self.looks[-third:])

    @property
    def leaks(self) -> bool:
        least = max(BYTES * self.times, PAGES * os.sysconf("SC_PAGE_SIZE"))
        resident = self.looks[-1]["resident"] - self.looks[len(self.looks) // 3]["resident"]
        objects = max(OBJECTS, LOOK_OBJECTS / self.times)
        return self.grown >= least or self.objects >= objects or resident >= RESIDENT


@pytest.fixture
def keep(memory: Path, parquet: Path, *, long_form: bool) -> Callable[[str], Kept]:
    """Repeat an operation in a process of its own, and return its resources."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("/proc/self/statm exists only on Linux")

    def keep(way: str) -> Kept:
        count = (100_000 if long_form else 3_000) // FEWER.get(way, 1)
        script = Path(__file__).with_name("worker.py")
        command: list[str | Path] = [sys.executable, script, memory / "out", way, f"{count}", parquet]
        # malloc counts only its first arena.
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
    keep: Callable[[str], Kept], measurements: Measurements, way: str
) -> None:
    kept = keep(way)
    measurements.note("Bounded", way, "times", kept.times * len(kept.looks))
    measurements.note("Bounded", way, "resident at first, KiB", kept.looks[0]["resident"] >> 10)
    measurements.note("Bounded", way, "at last", kept.looks[-1]["resident"] >> 10)
    measurements.note("Bounded", way, "bytes a time, median", f"{kept.grown / kept.times:.2f}")
    measurements.note("Bounded", way, "objects a time", f"{kept.objects:.4f}")
    assert not kept.leaks, kept
    for what in ("descriptors", "threads"):
        first, last = kept.least(what)
        measurements.note("Bounded", way, what, last)
        assert last <= first, kept


def test_repeat_leaking_operation_is_detected(keep: Callable[[str], Kept]) -> None:
    assert keep("leaking").leaks
