"""Scans next to savers, in threads and in forks: no row is torn or lost, and every scan ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.processes import run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.parametrize(
    "function",
    ["scan_next_to_savers", "scan_in_a_fork", "use_a_reader_in_a_fork", "scan_in_threads", "share_a_reader"],
)
def test_scan_next_to_concurrent_work_returns_complete_rows(tmp_path: Path, function: str) -> None:
    done = run_script(Path(__file__).with_name("scan_worker.py"), function, tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
