"""Ctrl-C stops each read of a store before its end, also inside one large unit of its work.

The tests of the crate bound the work between two checks.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.processes import HANG
from support.results import make_result

READER = """
import signal, sys
from datetime import timedelta
from pathlib import Path
from llenergymeasure import ResultStore, load_result
from llenergymeasure.results.timeseries import read_timeseries
root, verb, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])
store = ResultStore(root)
record = next(Path(root).glob("*/result.json"), None)
verbs = {
    "verify": lambda: store.verify(),
    "verify deep": lambda: store.verify(deep=True),
    "clean": lambda: store.clean(older_than=timedelta(0)),
    "scan": lambda: [len(batch) for batch in store.scan(["experiment_id"])],
    "scan_timeseries": lambda: [len(batch) for batch in store.scan_timeseries()],
    "completed": lambda: store.completed(),
    "load_all": lambda: store.load_all(),
    "export": lambda: store.scan(["experiment_id"]).export(root + ".parquet"),
    "read_timeseries": lambda: read_timeseries(record.with_name("timeseries.parquet")),
}
reads, seen = False, []
def at(number, frame):
    seen.append(reads)
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, at)
try:
    signal.setitimer(signal.ITIMER_REAL, delay)
    while True:  # until the signal
        reads = True
        verbs[verb]()
        reads = False
except KeyboardInterrupt:
    pass
print(seen)
"""
READS = ["verify", "verify deep", "clean", "scan", "scan_timeseries", "completed", "load_all", "export"]


def is_stopped(root: Path, verb: str) -> bool:
    """Return whether a signal stops a read; one that arrives between two reads shows nothing."""
    for after in ("0.03", "0.1", "0.2"):
        command = [sys.executable, "-c", READER, str(root), verb, after]
        process = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True)
        if process.stdout == "[True]\n":
            return True
    return False


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root of very many empty directories."""
    root = tmp_path_factory.mktemp("wide") / "root"
    root.mkdir()
    for n in range(20_000):
        (root / f"directory-{n}").mkdir()
    return root


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with one result, whose trace takes seconds to read."""
    root = tmp_path_factory.mktemp("long") / "root"
    rows = 2_000_000
    watts = [n % 977 / 3 for n in range(rows)]
    trace = Timeseries(timestamp_s=[n / 7 for n in range(rows)], gpu_index=[0] * rows, power_w=watts)
    ResultStore(root).save(make_result(), trace)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("verb", READS)
def test_interrupt_read_of_a_wide_root_stops_it(wide: Path, verb: str) -> None:
    assert is_stopped(wide, verb)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["verify deep", "scan_timeseries", "read_timeseries"])
def test_interrupt_read_of_a_long_trace_stops_it(long: Path, verb: str) -> None:
    assert is_stopped(long, verb)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with one record of a million keys."""
    root = tmp_path_factory.mktemp("large") / "root"
    ResultStore(root).save(make_result(effective_config={"n": {str(n): n for n in range(1_000_000)}}))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["verify", "scan", "completed"])
def test_interrupt_read_of_a_large_record_stops_it(large: Path, verb: str) -> None:
    assert is_stopped(large, verb)
