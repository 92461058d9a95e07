"""Run one verb with a limit on the address space beyond the size of the interpreter after the import.

Usage: memory_worker.py VERB ROOT MEBIBYTES. Writes `ok N` or the name of the exception's class.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sized
from datetime import timedelta
from pathlib import Path

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

SAVES = 300
TRACE = 600


def size() -> int:
    """Return the size of the address space in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def trace() -> Timeseries:
    times = [float(n) for n in range(TRACE)]
    return Timeseries(timestamp_s=times, gpu_index=[0] * TRACE, power_w=[200.0] * TRACE)


def save(store: ResultStore, result: ExperimentResult) -> Sized:
    return [store.save(result, trace() if n % 3 == 0 else None) for n in range(10)]


def save_many(store: ResultStore, result: ExperimentResult, method: str) -> Sized:
    store._flush_method = method
    traces = [trace() if n % 3 == 0 else None for n in range(SAVES)]
    return store.save_many([result] * SAVES, timeseries_sources=traces)


def writer(store: ResultStore, result: ExperimentResult) -> Sized:
    store._flush_method = "fsync"
    with store.writer() as writer:
        futures = [writer.submit(result, trace() if n % 3 == 0 else None) for n in range(SAVES)]
    return [future.result() for future in futures]


def verify(store: ResultStore, *, deep: bool) -> Sized:
    found = store.verify(deep=deep)
    if not found.ok:
        raise LookupError(found.damaged[0].problem)
    return range(found.complete)


def export(store: ResultStore) -> Sized:
    return range(store.scan().export(store.root.parent / "table.parquet"))


VERBS: dict[str, Callable[[ResultStore, ExperimentResult], Sized]] = {
    "save": save,
    "save_many by fsync": lambda store, result: save_many(store, result, "fsync"),
    "save_many by syncfs": lambda store, result: save_many(store, result, "syncfs"),
    "writer": writer,
    "scan": lambda store, _: [row for batch in store.scan() for row in range(len(batch))],
    "scan_timeseries": lambda store, _: [
        row for batch in store.scan_timeseries() for row in range(len(batch))
    ],
    "verify": lambda store, _: verify(store, deep=False),
    "verify deep": lambda store, _: verify(store, deep=True),
    "load_all": lambda store, _: store.load_all(),
    "completed": lambda store, _: range(len(store.load_all()) * bool(store.completed())),
    "export": lambda store, _: export(store),
    "clean": lambda store, _: store.clean(older_than=timedelta(0), dry_run=False).removed,
}


def main() -> None:
    """Run the verb."""
    verb, root, mebibytes = sys.argv[1:]
    store = ResultStore(root)
    result = ExperimentResult.model_validate_json(sys.stdin.read())
    limit = size() + (int(mebibytes) << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        outcome = f"ok {len(VERBS[verb](store, result))}"
    except Exception as error:  # noqa: BLE001 - the test judges it
        outcome = f"{type(error).__name__}: {error}"
    sys.stdout.write(outcome)


if __name__ == "__main__":
    main()
