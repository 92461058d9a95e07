"""Savers that are killed at full speed, next to readers, a scan and a cleaner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.crash_report import Measurements

HANG = 3000
"""Seconds for all kills; the long form takes some hundreds."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")
def test_kill_savers_at_full_speed_loses_nothing(
    memory: Path, parquet: Path, measurements: Measurements, *, long_form: bool
) -> None:
    kills = 1000 if long_form else 50
    top = memory / "kills"
    top.mkdir()
    script = Path(__file__).with_name("worker.py")
    done = subprocess.run(
        [sys.executable, script, top, f"{kills}", parquet],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = json.loads(done.stdout)
    for name, value in found.items():
        measurements.note(
            "Kills",
            "8 savers, 2 readers, scan, cleaner",
            name,
            len(value) if isinstance(value, list) else value,
        )
    assert [found[name] for name in ("torn", "missing", "overwritten", "wrong")] == [[], [], [], []]
    assert found["kills"] == kills
    assert found["there"] >= found["acknowledged"] > kills
    assert found["leftovers"] == found["cleaned away"] > 0
    assert min(found["read"], found["scanned"], found["cleaned"]) > 0
    assert list(top.iterdir()) == []
