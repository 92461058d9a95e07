"""A process that repeats one operation for a long time, and looks at its own resources now and then.

Run as a script, with a directory, the way, the number of operations and a Parquet file, it prints a line of
JSON for each look: resident and allocated bytes, Python's blocks, descriptors, threads.
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
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, LLEMError, PersistenceError, ResultStore, SidecarError
from llenergymeasure.results.timeseries import Timeseries
from support.results import make_result

LOOKS = 40
BATCH = 250
"""Operations in one call of a way, at most."""
FEW = 3
"""Results of a tree for repeated reads."""
MANY = 1000
"""More results than a scan on two cores reads ahead."""


def result(number: int) -> ExperimentResult:
    # A new model for every hundred results.
    config = {"model": f"org/Model-{number // 100}", "padding": "x" * 2000}
    return make_result(experiment_id=f"{number}", total_tokens=number, effective_config=config)


def trace() -> Timeseries:
    return Timeseries(timestamp_s=[0.0] * 50, gpu_index=[0] * 50, power_w=[1.5] * 50)


class Singly:
    def __init__(self, root: Path, parquet: Path) -> None:
        self.store = ResultStore(root)
        self.sources: list[Any] = [None, None, None, parquet, trace()]

    def __call__(self, numbers: range) -> None:
        for number in numbers:
            self.store.save(result(number), self.sources[number % 5], durable=number % 20 == 0)


class InVain:
    """Saves that fail."""

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
    """One save, and many loads."""

    def __init__(self, root: Path, parquet: Path) -> None:
        self.store, self.parquet = ResultStore(root), parquet

    def __call__(self, numbers: range) -> None:
        saved = self.store.save(result(0), self.parquet, durable=False)
        for _ in numbers:
            self.store.load(saved, missing_sidecar="error")


class Many:
    def __init__(self, root: Path, parquet: Path) -> None:
        self.store, self.parquet = ResultStore(root), parquet
        self.flush_methods = itertools.cycle(["fsync", "syncfs", None])

    def __call__(self, numbers: range) -> None:
        self.store._flush_method = next(self.flush_methods)
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
    """Writers of few results each."""

    def __init__(self, root: Path, _: Path) -> None:
        self.store = ResultStore(root)

    def __call__(self, numbers: range) -> None:
        for first in numbers[::25]:
            with self.store.writer(durable=False) as writer:
                for number in range(first, min(first + 25, numbers.stop)):
                    writer.submit(result(number))


class Reading:
    """Reads of one tree of results and a leftover, in a form that depends on the number."""

    def __init__(
        self, root: Path, _: Path, *, read: Callable[[ResultStore, int], None], results: int = FEW
    ) -> None:
        self.store, self.read = ResultStore(root.with_name("tree")), read
        for number in range(results):  # one by one, so that names follow this order
            self.store.save(result(number), trace() if number % 2 else None, durable=False)
        (self.store.root / "org-model_pytorch_2026-02-18T14-30").mkdir()

    def __call__(self, numbers: range) -> None:
        for number in numbers:
            self.read(self.store, number)


COLUMNS = ("experiment_id", "effective_config.model", "has_timeseries")


def scan(store: ResultStore, number: int) -> None:
    """Scan to the end or to the middle, as columns or batches."""
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
    """Pass a stream to another library, which reads all of it, some of it, or nothing."""
    import pyarrow as pa

    query = store.scan(COLUMNS, batch_size=1)
    if number % 4 == 0:
        assert pa.table(query).num_rows == FEW
    elif number % 4 == 1:
        assert pa.RecordBatchReader.from_stream(query).read_next_batch().num_rows == 1
    elif number % 4 == 2:
        query.__arrow_c_stream__()
    else:
        assert pa.schema(query).names == list(COLUMNS)


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
    """Clean with dry_run, so that the leftover stays."""
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
    """Take the first of many results, while threads still read ahead."""
    ways = (store.scan(COLUMNS, batch_size=1), store.scan_timeseries(), store.iter_results())
    next(iter(ways[number % 3]))


class ReadingInVain(Reading):
    """Reads that fail, or warn."""

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
    query = scans[number % 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if number % 7 == 0:
            fails(query(on_error="raise").to_pydict)
        elif number % 7 == 1:
            fails(partial(pa.table, query(on_error="raise")))
        elif number % 7 == 2:
            assert query(on_error="skip").to_pydict()["experiment_id"]
        elif number % 7 == 3:
            collected = query(on_error="collect")
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
    except (LLEMError, ValueError):  # pyarrow raises ValueError for an error of a stream
        return
    raise AssertionError("expected an error, got none")


class Leaking:
    """A leak that Python does not count: the negative control."""

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
    """The `struct mallinfo2` of glibc: ten sizes, of which two matter here."""

    _fields_ = (
        ("before", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),
        ("between", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),
        ("after", ctypes.c_size_t * 2),
    )


def allocated() -> int:
    """Return the bytes that Python and Rust have allocated and not freed; 0 without `mallinfo2`.

    It counts the first arena only: `MALLOC_ARENA_MAX=1` permits no other.
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
        shutil.rmtree(root, ignore_errors=True)  # a writer makes it again
        print(json.dumps({"times": each, **look()}), flush=True)  # noqa: T201 - it is a script


if __name__ == "__main__":
    main()
