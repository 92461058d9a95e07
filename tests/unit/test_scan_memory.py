"""Memory and threads of a scan are bounded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import (
    ExperimentResult,
    ResultStore,
)
from support.processes import run_code, wait_until

Make = Callable[..., ExperimentResult]
Plant = Callable[..., None]

# getrusage would count the parent process, too.
PEAK = """
import os, sys
from pathlib import Path
from llenergymeasure import ResultStore

def kibibytes():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # the read-ahead grows with the threads
before = kibibytes()
columns = sys.argv[2].split(",") if sys.argv[2] else None
scan = ResultStore(sys.argv[1]).scan(columns, optional=["config.model"], batch_size=int(sys.argv[3]))
rows = sum(map(len, scan))
print(rows, (kibibytes() - before) // 1024)
"""


def peak(root: Path, columns: str = "", batch_size: int = 4096) -> tuple[int, int]:
    """Read a tree in its own process; return the rows and the peak memory in MiB."""
    if not os.access("/proc/self/status", os.R_OK):
        pytest.skip("no /proc to read the memory of a process from")
    run = run_code(PEAK, root, columns, str(batch_size))
    assert (run.returncode, run.stderr) == (0, "")
    rows, mebibytes = map(int, run.stdout.split())
    return rows, mebibytes


@pytest.fixture
def linked(tmp_path: Path, make_result: Make) -> Callable[[list[str], int], Path]:
    """Return a function that links one record of a given size under many names."""

    def linked(names: list[str], size: int) -> Path:
        record = tmp_path / "record"
        record.write_text(make_result(effective_config={"padding": "x" * size}).model_dump_json())
        root = tmp_path / "root"
        for name in names:
            (root / name).mkdir(parents=True)
            os.link(record, root / name / "result.json")
        return root

    return linked


@pytest.mark.slow
def test_scan_large_tree_needs_bounded_memory(linked: Callable[[list[str], int], Path]) -> None:
    root = linked([f"{number:04}" for number in range(4000)], 300_000)
    rows, mebibytes = peak(root)
    assert rows == 4000
    assert mebibytes < 600, mebibytes  # of 1145 MiB


@pytest.mark.slow
def test_scan_tree_of_small_directories_needs_bounded_memory(
    linked: Callable[[list[str], int], Path],
) -> None:
    root = linked([f"{a:02}/{b:02}/{c}" for a in range(50) for b in range(40) for c in range(2)], 300_000)
    rows, mebibytes = peak(root)
    assert rows == 4000
    assert mebibytes < 600, mebibytes  # of 1145 MiB


def test_scan_few_columns_keeps_only_those_in_memory(
    linked: Callable[[list[str], int], Path],
) -> None:
    # One large record for each unit of 64 names.
    root = linked([f"{number:04}" for number in range(0, 3840, 64)], 8_000_000)
    for number in range(3840):
        (root / f"{number:04}").mkdir(exist_ok=True)
    rows, mebibytes = peak(root, "path,effective_config.model")
    assert rows == 60
    assert mebibytes < 250  # of 458 MiB


def test_scan_in_small_batches_needs_little_memory(
    linked: Callable[[list[str], int], Path],
) -> None:
    root = linked([f"{number:04}" for number in range(1000)], 0)
    rows, mebibytes = peak(root, batch_size=1)
    assert rows == 1000
    assert mebibytes < 128  # the records are 1 MiB in all


def test_abandon_scan_ends_its_threads(plant: Plant, tmp_path: Path) -> None:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("no /proc to count threads in")
    plant(*(f"{number:04}" for number in range(2000)))

    def workers() -> int:
        return sum((task / "comm").read_text().startswith("llem-scan") for task in tasks.iterdir())

    rows = iter(ResultStore(tmp_path).scan(["path"], batch_size=1))
    next(rows)
    assert workers() > 0
    rows.close()  # type: ignore[attr-defined]
    # The kernel lists a thread for a moment after its end.
    wait_until(lambda: workers() == 0)
