"""Times of samples: numbers, datetimes and timedeltas, of Python, numpy and pandas."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure.results._resample import resample
from llenergymeasure.results._values import to_time
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet
from support.optional import load, needs

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.published

pd = load("pandas")

START = datetime(2026, 5, 4, 10)  # noqa: DTZ001 - naive times occur
UNITS = ("W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")


def seconds(times: list[Any]) -> list[int]:
    """Return the number of samples in each second of the resampled trace."""
    counted = resample([{"timestamp": time, "count": 1.0} for time in times], 0, ["count"])
    (_, counts), *_ = counted.extra
    return [0 if count is None else 1 for count in counts]


def energy(times: list[Any], tmp_path: Path) -> float | None:
    samples = [{"timestamp": time, "power_w": 100.0} for time in times]
    return read_timeseries(write_timeseries_parquet(samples, tmp_path / "trace.parquet")).energy_j


def rows(times: list[Any], power_w: list[float]) -> list[float | None]:
    samples = [{"timestamp": time, "power_w": power} for time, power in zip(times, power_w, strict=True)]
    return resample(samples, 0).trace.power_w


@pytest.mark.parametrize("unit", UNITS)
def test_write_timeseries_converts_datetime64_by_its_unit(unit: Any, tmp_path: Path) -> None:
    per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}.get(unit)
    if per_second is None:
        step = {"W": 604_800, "D": 86_400, "h": 3600, "m": 60, "s": 1}[unit]
        for kind in (np.datetime64, np.timedelta64):
            assert to_time(kind(1000, unit)).microseconds == 1000 * step * 10**6
        return
    for kind in (np.datetime64, np.timedelta64):
        assert energy([kind(tick * per_second, unit) for tick in range(3)], tmp_path) == 200.0
        assert energy([kind(tick * per_second // 10, unit) for tick in range(2)], tmp_path) == pytest.approx(
            10.0
        )


@pytest.mark.parametrize("unit", ["Y", "M"])
def test_write_timeseries_converts_calendar_units_of_datetime64_only(unit: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"got timedelta64\[{unit}\]; convert it to seconds"):
        energy([np.timedelta64(tick, unit) for tick in range(2)], tmp_path)
    for date_text in ("1969", "1970", "2026", "0001", "9999"):
        time = to_time(np.datetime64(f"{date_text}-01", unit))
        exact = np.datetime64(f"{date_text}-01-01", "us").astype("int64")
        assert (time.kind, time.microseconds) == ("a naive datetime", exact)
    with pytest.raises(ValueError, match="expects a year from 1 to 9999, got 12000"):
        to_time(np.datetime64("12000-01", unit))


def test_write_timeseries_converts_multiples_of_a_numpy_unit(tmp_path: Path) -> None:
    assert energy(list(np.arange(5).astype("m8[500ms]")), tmp_path) == 200.0


@needs("pandas")
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_write_timeseries_converts_times_of_pandas(unit: str, tmp_path: Path) -> None:
    stamps = pd.to_datetime(["2026-05-04 10:00:00.5", "2026-05-04 10:00:02.5"]).as_unit(unit)
    frame = pd.DataFrame(
        {"naive": stamps, "aware": stamps.tz_localize("Europe/Berlin"), "elapsed": stamps - stamps[0]}
    )
    for column in frame:
        assert energy(frame[column].tolist(), tmp_path) == 200.0
        assert energy(list(frame[column].to_numpy()), tmp_path) == 200.0
    burst = pd.date_range("2026-05-04", periods=4, freq="100us", unit="ns")
    assert energy(list(burst), tmp_path) == pytest.approx(100 * 3e-4)


@pytest.mark.parametrize(
    "value",
    [
        np.datetime64("NaT"),
        np.timedelta64("NaT", "s"),
        np.timedelta64(5),
        np.bool_(True),  # noqa: FBT003 - as a caller has it
        np.array([1.0]),
        np.array([np.datetime64(1, "s")]),
        np.complex64(1),
        np.str_("1"),
        1_777_888_800_000,
        1.7778888e15,
        1_777_888_800_000_000_000,
        np.int64(1_777_888_800_000),
        "2026-05-04T10:00:00",
        b"1",
        date(2026, 5, 4),
        START.time(),
        [1.0],
        {"s": 1},
        1j,
    ],
)
def test_write_timeseries_rejects_a_time_without_unit_by_its_type(value: Any) -> None:
    with pytest.raises(ValueError, match="timestamp of sample 0 expects"):
        resample([{"timestamp": value}], 0)


@needs("pandas")
def test_write_timeseries_rejects_missing_times_of_pandas() -> None:
    for missing, text in [(pd.NaT, "got NaT"), (pd.NA, "got none")]:
        with pytest.raises(ValueError, match=text):
            resample([{"timestamp": missing}], 0)


def test_write_timeseries_names_the_unit_of_an_epoch_time() -> None:
    for factor, unit in [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")]:
        with pytest.raises(ValueError, match=f"seems to be {unit} since 1970; divide it by "):
            resample([{"timestamp": 1_777_888_800 * factor}], 0)
    assert len(resample([{"timestamp": 1_777_888_800.5}], 0).trace) == 1


def test_write_timeseries_converts_timedeltas(tmp_path: Path) -> None:
    assert energy([timedelta(seconds=tick / 2) for tick in range(5)], tmp_path) == 200.0
    with pytest.raises(ValueError, match="sample 1 expects a timedelta, as sample 0 has, got a number"):
        energy([timedelta(0), 1.0], tmp_path)


def test_write_timeseries_mixes_datetimes_of_python_and_numpy(tmp_path: Path) -> None:
    assert energy([START, np.datetime64("2026-05-04T10:00:02", "ns")], tmp_path) == 200.0


def test_write_timeseries_below_a_second_knows_its_energy(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    samples = [{"timestamp": tick / 10, "power_w": 100.0 * tick, "gpu_index": tick % 2} for tick in range(6)]
    trace = read_timeseries(write_timeseries_parquet(samples, path))
    assert (len(trace), trace.warnings) == (2, [])
    assert trace.energy_per_gpu_j == pytest.approx({0: 80.0, 1: 120.0})
    assert trace.energy_j == pytest.approx(200.0)
    single = read_timeseries(write_timeseries_parquet(samples[:1], path))
    assert (single.energy_j, single.mean_power_w) == (None, 0.0)
    single = read_timeseries(write_timeseries_parquet([{"timestamp": 3, "power_w": 7.0}], path))
    assert (single.energy_j, single.mean_power_w) == (None, 7.0)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.999999])
@pytest.mark.parametrize("start", [0, 1, 65_536, 1_777_888_800, 4_000_000_000])
def test_write_timeseries_at_one_hertz_fills_each_second_once(start: int, fraction: float) -> None:
    power = [float(tick) for tick in range(2000)]
    assert rows([float(f"{start + tick + fraction:.6f}") for tick in range(2000)], power) == power


@settings(deadline=None, max_examples=50)
@given(
    start=st.integers(-(10**10), 4 * 10**15),
    rate=st.sampled_from([1, 2, 4, 5, 8, 10, 20, 25, 50, 100, 1000]),
    length=st.integers(1, 150),
)
def test_write_timeseries_of_a_steady_rate_has_equal_seconds(start: int, rate: int, length: int) -> None:
    # Times of whole microseconds, as decimals with six places: exact, and as the floats nearest to them.
    micros = [start + tick * 10**6 // rate for tick in range(length)]
    counts = [min(rate, length - second * rate) for second in range((length - 1) // rate + 1)]
    power = [float(tick) for tick in range(length)]
    expected = [
        float(np.float32(math.fsum(power[second * rate : second * rate + count]) / count))
        for second, count in enumerate(counts)
    ]
    forms: list[Callable[[int], Any]] = [
        lambda micro: micro / 10**6,
        lambda micro: Fraction(micro, 10**6),
        lambda micro: Decimal(micro).scaleb(-6),
        lambda micro: datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micro),
        lambda micro: datetime(1970, 1, 1) + timedelta(microseconds=micro),  # noqa: DTZ001
        lambda micro: timedelta(microseconds=micro),
        lambda micro: np.datetime64(micro, "us"),
        lambda micro: np.timedelta64(micro, "us"),
        lambda micro: np.datetime64(micro * 1000, "ns"),
    ]
    for form in forms:
        assert rows([form(micro) for micro in micros], power) == expected


@settings(deadline=None)
@given(
    offsets=st.lists(st.integers(0, 20 * 10**6), min_size=1, max_size=60, unique=True),
    start=st.integers(0, 2 * 10**15),
)
def test_write_timeseries_of_numbers_and_datetimes_agree(offsets: list[int], start: int) -> None:
    power = [float(place) for place in range(len(offsets))]
    micros = [start + offset for offset in offsets]
    numbers = rows([micro / 10**6 for micro in micros], power)
    assert numbers == rows([datetime.fromtimestamp(micro / 10**6, timezone.utc) for micro in micros], power)
    assert numbers == rows([datetime(1970, 1, 1) + timedelta(microseconds=m) for m in micros], power)  # noqa: DTZ001


def test_write_timeseries_file_has_the_times_as_whole_seconds(tmp_path: Path) -> None:
    path = write_timeseries_parquet(
        [{"timestamp": tick + 0.3} for tick in range(5)], tmp_path / "trace.parquet"
    )
    assert pq.read_table(path)["timestamp_s"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert seconds([tick + 0.3 for tick in range(50)]) == [1] * 50
