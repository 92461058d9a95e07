"""Scans next to savers, in threads and in forks: no row is torn or lost, and every scan ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.parametrize(
    "what",
    ["scan_beside_savers", "scan_in_a_fork", "use_a_reader_in_a_fork", "scan_in_threads", "share_a_reader"],
)
def test_scan_next_to_concurrent_work_returns_complete_rows(tmp_path: Path, what: str) -> None:
    script = Path(__file__).with_name("scan_worker.py")
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", script, what, tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
