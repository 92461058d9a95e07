"""A process that saves in one way for a long time, and looks now and then at what it keeps.

Run as a script, with the directory, the way, the number of results and a Parquet file, it prints a line of
JSON for each look: resident bytes, Python's allocated blocks, descriptors, threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, PersistenceError, ResultStore, SidecarError
from llenergymeasure.results.timeseries import Timeseries

LOOKS = 40
BATCH = 250
"""Results of one look, or of one part of it."""
STARTED = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)


def result(number: int) -> ExperimentResult:
    return ExperimentResult(
        experiment_id=f"{number}",
        measurement_config_hash="0123456789abcdef",
        measurement_methodology="total",
        total_tokens=number,
        total_energy_j=12.5,
        total_inference_time_sec=3.25,
        avg_tokens_per_second=307.7,
        avg_energy_per_token_j=0.0125,
        total_flops=0.0,
        start_time=STARTED,
        end_time=STARTED,
        # Now and then a model that was never there before.
        effective_config={"model": f"org/Model-{number // 100}", "padding": "x" * 2000},
    )


def trace() -> Timeseries:
    return Timeseries(timestamp_s=[0.0] * 50, gpu_index=[0] * 50, power_w=[1.5] * 50)


# The ways to save: each saves as many more as it is asked for.


class Singly:
    def __init__(self, root: Path, parquet: Path) -> None:
        self.store = ResultStore(root)
        self.sources: list[Any] = [None, None, None, parquet, trace()]

    def __call__(self, numbers: range) -> None:
        for number in numbers:
            self.store.save(result(number), self.sources[number % 5], durable=number % 20 == 0)


class InVain:
    """Saves that fail keep nothing either."""

    def __init__(self, root: Path, _: Path) -> None:
        self.root = root

    def __call__(self, numbers: range) -> None:
        self.root.mkdir(exist_ok=True)
        blocked = self.root / "file"
        blocked.touch()
        for number in numbers:
            with contextlib.suppress(PersistenceError):
                ResultStore(blocked).save(result(number))
            with contextlib.suppress(SidecarError):
                ResultStore(self.root).save(result(number), blocked, durable=False)


class Loading:
    """One save, and as many loads as there are to be results."""

    def __init__(self, root: Path, parquet: Path) -> None:
        self.store, self.parquet = ResultStore(root), parquet

    def __call__(self, numbers: range) -> None:
        saved = self.store.save(result(0), self.parquet, durable=False)
        for _ in numbers:
            self.store.load(saved, missing_sidecar="error")


class Many:
    def __init__(self, root: Path, parquet: Path) -> None:
        self.store, self.parquet = ResultStore(root), parquet
        self.engines = itertools.cycle(["fsync", "syncfs", None])

    def __call__(self, numbers: range) -> None:
        self.store._engine = next(self.engines)
        sources = [self.parquet if number % 5 == 0 else None for number in numbers]
        self.store.save_many(map(result, numbers), timeseries_sources=sources)


class OneWriter:
    def __init__(self, root: Path, parquet: Path) -> None:
        self.writer = ResultStore(root).writer()
        self.sources: list[Any] = [None, parquet, None, trace(), None]

    def __call__(self, numbers: range) -> None:
        for number in numbers:
            self.writer.submit(result(number), self.sources[number % 5])
        self.writer.flush()


class ManyWriters:
    """A writer for each few results."""

    def __init__(self, root: Path, _: Path) -> None:
        self.store = ResultStore(root)

    def __call__(self, numbers: range) -> None:
        for first in numbers[::25]:
            with self.store.writer(durable=False) as writer:
                for number in range(first, min(first + 25, numbers.stop)):
                    writer.submit(result(number))


class Leaking:
    """What a leak looks like: nothing that Python counts."""

    def __init__(self, root: Path, _: Path) -> None:
        self.root = root
        self.kept: list[bytes] = []

    def __call__(self, numbers: range) -> None:
        self.root.mkdir(exist_ok=True)
        self.kept += (bytes(1000) for _ in numbers)


WAYS: dict[str, Callable[[Path, Path], Callable[[range], None]]] = {
    "singly": Singly,
    "in vain": InVain,
    "loading": Loading,
    "many": Many,
    "one writer": OneWriter,
    "many writers": ManyWriters,
    "leaking": Leaking,
}


class MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc: ten sizes, of which two matter here."""

    _fields_ = (
        ("before", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),
        ("between", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),
        ("after", ctypes.c_size_t * 2),
    )


def allocated() -> int:
    """Bytes that were allocated and not freed, by Python and by Rust; 0 where the C library does not tell.

    It tells of the first arena only: `MALLOC_ARENA_MAX=1` lets there be no other.
    """
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = MallInfo
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


def look() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "allocated": allocated(),
        "blocks": sys.getallocatedblocks(),
        # The listings themselves have one open each.
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
    }


def main() -> None:
    root, way, count, parquet = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    save = WAYS[way](root, parquet)
    each = count // LOOKS
    for first in range(0, each * LOOKS, each):
        for start in range(first, first + each, BATCH):
            save(range(start, min(start + BATCH, first + each)))
        shutil.rmtree(root)  # a writer makes it anew
        print(json.dumps({"saves": each, **look()}), flush=True)  # noqa: T201 - it is a script
    shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
