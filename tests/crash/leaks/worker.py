"""A process that saves or reads in one way for a long time, and looks now and then at what it keeps.

Run as a script, with the directory, the way, the number of times and a Parquet file, it prints a line of
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
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, LLEMError, PersistenceError, ResultStore, SidecarError
from llenergymeasure.results.timeseries import Timeseries

LOOKS = 40
BATCH = 250
"""Times of one look, or of one part of it."""
FEW = 3
"""Results of a tree that is read again and again."""
MANY = 1000
"""More results than a scan reads ahead of whoever takes them, on two cores."""
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
        self.store._flush_method = next(self.engines)
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


# The ways to read: each reads one tree as many times as it is asked for, in one of a few forms by the number.


class Reading:
    """A tree of results, one in two with a power trace, and of what a save has left."""

    def __init__(
        self, root: Path, _: Path, *, read: Callable[[ResultStore, int], None], results: int = FEW
    ) -> None:
        self.store, self.read = ResultStore(root.with_name("tree")), read
        for number in range(results):  # one by one: then they are named in this order
            self.store.save(result(number), trace() if number % 2 else None, durable=False)
        (self.store.root / "org-model_pytorch_2026-02-18T14-30").mkdir()

    def __call__(self, numbers: range) -> None:
        for number in numbers:
            self.read(self.store, number)


COLUMNS = ("experiment_id", "effective_config.model", "has_timeseries")


def scan(store: ResultStore, number: int) -> None:
    """To the end, or closed in the middle; as lists, or batch by batch."""
    where: list[Any] = [("total_tokens", ">=", 1)]
    if number % 4 == 0:
        assert len(store.scan(COLUMNS).to_pydict()["experiment_id"]) == FEW
    elif number % 4 == 1:
        assert sum(map(len, store.scan(None, where=where, batch_size=1))) == FEW - 1
    else:
        batches = iter(store.scan(COLUMNS, batch_size=1))
        assert next(batches).to_pydict()["has_timeseries"] == [False]
        if number % 4 == 2:
            batches.close()  # type: ignore[attr-defined]


def stream(store: ResultStore, number: int) -> None:
    """Hand a stream to another library, which reads it to the end, or not, or never touches it."""
    import pyarrow as pa

    question = store.scan(COLUMNS, batch_size=1)
    if number % 4 == 0:
        assert pa.table(question).num_rows == FEW
    elif number % 4 == 1:
        assert pa.RecordBatchReader.from_stream(question).read_next_batch().num_rows == 1
    elif number % 4 == 2:
        question.__arrow_c_stream__()
    else:
        assert pa.schema(question).names == list(COLUMNS)


def scan_traces(store: ResultStore, number: int) -> None:
    if number % 3 == 0:
        powers = store.scan_timeseries(["experiment_id", "power_w"], where=[("power_w", ">", 1.0)])
        assert set(powers.to_pydict()["experiment_id"]) == {"1"}
    elif number % 3 == 1:
        next(iter(store.scan_timeseries()))
    else:
        store.scan_timeseries(["timestamp_s"]).__arrow_c_stream__()


def find_completed(store: ResultStore, number: int) -> None:
    config = {"model": f"org/Model-{number}"}
    assert store.completed() == {"0123456789abcdef"}
    assert store.missing([config]) == [config]


def verify(store: ResultStore, number: int) -> None:
    found = store.verify(deep=number % 2 == 0)
    assert (found.complete, len(found.incomplete), found.ok) == (FEW, 1, True)


def clean(store: ResultStore, number: int) -> None:
    """Dry, for there is nothing to clean the second time."""
    cleaning = store.clean(older_than=timedelta(days=number % 2))
    assert (len(cleaning.removed), len(cleaning.young)) == ((0, 1) if number % 2 else (1, 0))


def iterate(store: ResultStore, number: int) -> None:
    if number % 3 == 0:
        assert len(store.load_all(missing_sidecar="error")) == FEW
    elif number % 3 == 1:
        assert next(store.iter_results()).experiment_id == "0"
    else:
        assert sum(stored.load().total_tokens for stored in store) == sum(range(FEW))


def abandon(store: ResultStore, number: int) -> None:
    """Take the first of so many that threads still read, or wait until what they have read is taken."""
    ways = (store.scan(COLUMNS, batch_size=1), store.scan_timeseries(), store.iter_results())
    next(iter(ways[number % 3]))


class ReadingInVain(Reading):
    """Reads that fail, and warnings, keep nothing either."""

    def __init__(self, root: Path, parquet: Path) -> None:
        super().__init__(root, parquet, read=read_in_vain)
        bad = {"empty": "", "truncated": '{"a": [', "newer": '{"schema_version": "7"}'}
        for name, content in bad.items():
            (self.store.root / name).mkdir()
            (self.store.root / name / "result.json").write_text(content)
        saved = self.store.save(result(FEW), parquet, durable=False)
        saved.with_name("timeseries.parquet").write_bytes(b"PAR1, and no more")


def read_in_vain(store: ResultStore, number: int) -> None:
    import pyarrow as pa

    scans = (partial(store.scan, COLUMNS), store.scan_timeseries)
    question = scans[number % 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if number % 7 == 0:
            fails(question(on_error="raise").to_pydict)
        elif number % 7 == 1:
            fails(partial(pa.table, question(on_error="raise")))
        elif number % 7 == 2:
            assert question(on_error="skip").to_pydict()["experiment_id"]
        elif number % 7 == 3:
            collected = question(on_error="collect")
            assert len(pa.table(collected)) >= FEW
            assert len(collected.errors) >= 3
        elif number % 7 == 4:
            fails(store.load_all)
            assert len(list(store.iter_results(on_error="skip"))) == FEW + 1
        elif number % 7 == 5:
            assert len(store.verify(deep=True).damaged) == 4
            assert store.completed() == {"0123456789abcdef"}
        else:
            nowhere = ResultStore(store.root / "nowhere")
            fails(nowhere.scan(COLUMNS).to_pydict)
            fails(nowhere.verify)
            fails(nowhere.clean)


def fails(read: Callable[[], object]) -> None:
    try:
        read()
    except (LLEMError, ValueError):  # pyarrow makes a ValueError of what a stream says
        return
    raise AssertionError("nothing is wrong")


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
    "scanning": partial(Reading, read=scan),
    "streaming": partial(Reading, read=stream),
    "scanning traces": partial(Reading, read=scan_traces),
    "completed": partial(Reading, read=find_completed),
    "verifying": partial(Reading, read=verify),
    "cleaning": partial(Reading, read=clean),
    "iterating": partial(Reading, read=iterate),
    "abandoning": partial(Reading, read=abandon, results=MANY),
    "reading in vain": ReadingInVain,
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
    do = WAYS[way](root, parquet)
    each = count // LOOKS
    for first in range(0, each * LOOKS, each):
        for start in range(first, first + each, BATCH):
            do(range(start, min(start + BATCH, first + each)))
        shutil.rmtree(root, ignore_errors=True)  # a writer makes it anew
        print(json.dumps({"times": each, **look()}), flush=True)  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
