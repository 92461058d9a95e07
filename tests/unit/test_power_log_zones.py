"""Power logs whose clock is set forward and back."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from llenergymeasure.importers.power import PowerLog, read_power


def log_of(tmp_path: Path, text: str, zone: str | None = None) -> PowerLog:
    path = tmp_path / "log.csv"
    path.write_text(text)
    return read_power(path, zone=zone)


def test_power_zone_local_has_the_offset_of_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        for month, hour in (("01", 9), ("07", 8)):
            rows = f"2026/{month}/04 10:00:00.000, 100 W\n2026/{month}/04 10:00:10.000, 100 W\n"
            log = log_of(tmp_path, "timestamp, power.draw [W]\n" + rows, zone="local")
            start = datetime(2026, int(month), 4, hour, tzinfo=timezone.utc)
            assert log.energy_j(start, start + timedelta(seconds=10)) == 1000.0  # 100 W for 10 s
    finally:
        monkeypatch.undo()
        time.tzset()


def test_power_log_over_the_end_of_summer_time(tmp_path: Path) -> None:
    hours = ((2, 100), (2, 300), (3, 100))
    rows = "".join(
        f"2026/10/25 {hour:02}:{minute:02}:00.000, 0, {watts} W\n"
        for hour, watts in hours
        for minute in range(60)
    )
    header = "timestamp, index, power.draw [W]\n"
    log = log_of(tmp_path, header + rows, zone="Europe/Paris")
    assert log.start == datetime(2026, 10, 25, 0, tzinfo=timezone.utc)
    # 59 min of 100 W, 1 min of 200 W, 59 min of 300 W, 1 min of 200 W and 59 min of 100 W.
    assert log.energy_j() == (59 * 100 + 200 + 59 * 300 + 200 + 59 * 100) * 60
    assert log.warnings == ()
    assert "--power-zone" in log_of(tmp_path, header + rows).warnings[0]


def test_power_log_over_the_start_of_summer_time(tmp_path: Path) -> None:
    rows = "2026/03/29 01:59:59.000, 100 W\n2026/03/29 03:00:00.000, 100 W\n"
    log = log_of(tmp_path, "timestamp, power.draw [W]\n" + rows, zone="Europe/Paris")
    assert log.energy_j() == 100.0  # 1 s: at 02:00 the clock shows 03:00
