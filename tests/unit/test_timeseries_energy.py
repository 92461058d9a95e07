"""Columns, energy and text of a power trace in memory."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure.results.timeseries import Timeseries, read_timeseries


def test_timeseries_gives_columns_as_lists_and_totals() -> None:
    trace = Timeseries(
        timestamp_s=[0, 1, 2],
        gpu_index=[0, 0, 0],
        power_w=[100.0, None, 300.0],
        throttle_reasons=[None, 1 << 62, 0],
    )
    assert trace.timestamp_s == [0.0, 1.0, 2.0]
    assert trace.gpu_index == [0, 0, 0]
    assert trace.power_w == [100.0, None, 300.0]
    assert trace.throttle_reasons == [None, 1 << 62, 0]
    others = (trace.temperature_c, trace.memory_used_mb, trace.memory_total_mb, trace.sm_utilisation_pct)
    assert others == ([None] * 3,) * 4
    assert (trace.energy_j, trace.duration_s, trace.mean_power_w) == (400.0, 2.0, 200.0)
    assert repr(trace) == "<Timeseries: 3 rows, gpu_index [0], 2.0 s, 400.0 J, 200.0 W on average>"
    empty = Timeseries(timestamp_s=[], gpu_index=[], power_w=[])
    assert (empty.energy_j, empty.energy_per_gpu_j, empty.duration_s, empty.mean_power_w) == (
        None,
        {},
        0.0,
        None,
    )
    assert trace.warnings == empty.warnings == []
    assert repr(empty) == "<Timeseries: 0 rows, gpu_index [], 0.0 s>"


def test_timeseries_energy_counts_whole_system_instead_of_its_gpus() -> None:
    gpus = {"timestamp_s": [0, 0, 2, 2], "gpu_index": [0, 1] * 2, "power_w": [100.0, 50.0, 100.0, 50.0]}
    trace = Timeseries(**gpus)  # type: ignore[arg-type]
    assert trace.energy_per_gpu_j == {0: 200.0, 1: 100.0}
    assert (trace.energy_j, trace.mean_power_w) == (300.0, 150.0)
    system = {"timestamp_s": [0, 2], "gpu_index": [-1, -1], "power_w": [400.0, 400.0]}
    both = Timeseries(**{name: gpus[name] + system[name] for name in gpus})  # type: ignore[operator]
    assert both.energy_per_gpu_j == {-1: 800.0, 0: 200.0, 1: 100.0}
    assert (both.energy_j, both.mean_power_w) == (800.0, 400.0)
    silent = system | {"power_w": [None, math.nan]}
    both = Timeseries(**{name: gpus[name] + silent[name] for name in gpus})  # type: ignore[operator]
    assert both.energy_per_gpu_j == {-1: None, 0: 200.0, 1: 100.0}
    assert both.energy_j == 300.0


def test_timeseries_energy_of_real_traces_matches_their_results(data: Path) -> None:
    records = sorted((data / "mlperf").glob("*.json"))
    if not records:
        pytest.skip(f"no MLPerf runs in {data}")
    for record in records:
        run = json.loads(record.read_text())
        trace = read_timeseries(record.with_suffix(".parquet"))
        assert trace.mean_power_w is not None
        assert trace.warnings == []
        expected = pytest.approx(run["total_energy_j"], rel=1e-8)
        assert trace.mean_power_w * run["total_inference_time_sec"] == expected
        # The trapezoid ends at the last sample, up to 1.5 s before the run.
        seconds = run["total_inference_time_sec"]
        assert trace.energy_j == pytest.approx(run["total_energy_j"] * trace.duration_s / seconds, rel=1e-3)


ROWS = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6) | st.just(math.nan),
        st.integers(-1, 2),
        st.none() | st.just(math.nan) | st.floats(0, 1e4, width=32),
    ),
    max_size=30,
)


def trapezoid(table: list[tuple[float, int, float | None]], gpu: int) -> float | None:
    points = sorted(
        (time, power)
        for time, index, power in table
        if index == gpu and power is not None and not math.isnan(power) and not math.isnan(time)
    )
    if len(points) < 2:
        return None
    return math.fsum((end - begin) * (first + last) / 2 for (begin, first), (end, last) in pairwise(points))


@settings(deadline=None)
@given(table=ROWS)
def test_timeseries_energy_matches_a_plain_trapezoid(table: list[tuple[float, int, float | None]]) -> None:
    # Two samples at one time have no order, so the trapezoid is undefined.
    table = list({(row[1], row[0]): row for row in table}.values())
    times, gpus, powers = zip(*table, strict=True) if table else ((), (), ())
    trace = Timeseries(timestamp_s=times, gpu_index=gpus, power_w=powers)
    energies = {gpu: trapezoid(table, gpu) for gpu in sorted(set(gpus))}
    assert list(trace.energy_per_gpu_j) == list(energies)
    for gpu, energy in energies.items():
        assert trace.energy_per_gpu_j[gpu] == (energy and pytest.approx(energy, rel=1e-9, abs=1e-6))
    has_system = any(
        gpu == -1 and power is not None and not math.isnan(power + time) for time, gpu, power in table
    )
    summands = [energies[-1]] if has_system else [energies[gpu] for gpu in energies if gpu != -1]
    known = [energy for energy in summands if energy is not None]
    if not known or len(known) < len(summands):
        assert trace.energy_j is None
        assert trace.warnings or not table
    else:
        assert trace.energy_j == pytest.approx(sum(known), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("power_w", "mean", "text"),
    [
        ([None, None], None, "<Timeseries: 2 rows, gpu_index [0], 1.0 s>"),
        ([math.nan, None], None, "<Timeseries: 2 rows, gpu_index [0], 1.0 s>"),
        ([250.0, None], 250.0, "<Timeseries: 2 rows, gpu_index [0], 1.0 s, 250.0 W on average>"),
    ],
)
def test_timeseries_energy_without_two_powers_is_none(
    power_w: list[float | None], mean: float | None, text: str
) -> None:
    trace = Timeseries(timestamp_s=[0, 1], gpu_index=[0, 0], power_w=power_w)
    assert (trace.energy_j, trace.energy_per_gpu_j, trace.mean_power_w) == (None, {0: None}, mean)
    assert repr(trace) == text
    assert "the energy is unknown" in trace.warnings[0]


def test_timeseries_energy_with_one_unknown_gpu_is_none() -> None:
    trace = Timeseries(timestamp_s=[0, 0, 1, 1], gpu_index=[0, 1] * 2, power_w=[100.0, None, 100.0, None])
    assert (trace.energy_j, trace.mean_power_w) == (None, None)
    assert trace.energy_per_gpu_j == {0: 100.0, 1: None}
    assert trace.warnings == ["GPU 1: no row has a power_w, so that the energy is unknown"]


@pytest.mark.parametrize(
    "column", ["timestamp_s", "gpu_index", "power_w", "temperature_c", "throttle_reasons"]
)
@pytest.mark.parametrize(
    "value",
    [
        np.timedelta64(1, "ns"),
        np.datetime64(1, "s"),
        timedelta(1),
        True,
        np.bool_(1),
        "1",
        [1.0],
        10**400,
        1j,
    ],
)
def test_create_timeseries_rejects_a_value_that_is_not_a_number(column: str, value: object) -> None:
    columns: dict[str, Any] = {"timestamp_s": [0, 1], "gpu_index": [0, 0], "power_w": [1.0, 1.0]}
    with pytest.raises(ValueError, match=f"{column} of row 1 expects"):
        Timeseries(**columns | {column: [0, value]})


def test_create_timeseries_accepts_numbers_of_any_type() -> None:
    trace = Timeseries(
        timestamp_s=np.arange(3, dtype="f4"),  # type: ignore[arg-type]
        gpu_index=np.zeros(3, "u1"),  # type: ignore[arg-type]
        power_w=[Fraction(1, 2), Decimal("0.5"), None],  # type: ignore[list-item]
        temperature_c=(40, np.float16(40), math.nan),
        throttle_reasons=[4, 4.0, None],  # type: ignore[list-item]
    )
    assert (trace.timestamp_s, trace.gpu_index, trace.energy_j) == ([0.0, 1.0, 2.0], [0, 0, 0], 0.5)
    assert trace.temperature_c[:2] == [40.0, 40.0]
    assert trace.throttle_reasons == [4, 4, None]
    for column, value in [
        ("gpu_index", 1 << 31),
        ("power_w", 1e39),
        ("gpu_index", 0.0),
        ("timestamp_s", None),
    ]:
        columns: dict[str, Any] = {"timestamp_s": [0], "gpu_index": [0], "power_w": [0]}
        with pytest.raises(ValueError, match=f"{column} of row 0 expects"):
            Timeseries(**columns | {column: [value]})


@pytest.mark.parametrize(
    ("times", "warning"),
    [
        ([0, 1, 2, 1.5, 3], "GPU 0: the time steps back once from 2 s to 1.5 s"),
        ([0, 3600, 3601, 1, 2, 0.5], "GPU 0: the time steps back 2 times, first from 3601 s to 1 s"),
        ([0, 1, 2, 3602, 3603], "GPU 0: the time jumps from 2 s to 3602 s"),
        ([0, 1, 1, 2], "GPU 0: 2 rows have the time 1 s"),
        ([0, 1, math.nan, 2], "GPU 0: one row has no finite time"),
    ],
)
def test_timeseries_warnings_report_a_doubtful_clock(times: list[float], warning: str) -> None:
    trace = Timeseries(timestamp_s=times, gpu_index=[0] * len(times), power_w=[1.0] * len(times))
    assert trace.warnings[0].startswith(warning)


@pytest.mark.parametrize("times", [[], [0], [0, 1, 2, 3], [3, 2, 1, 0], [0, 86_400], [0, 0.25, 0.75, 1, 2]])
def test_timeseries_warnings_of_a_regular_clock_report_no_time(times: list[float]) -> None:
    trace = Timeseries(timestamp_s=times, gpu_index=[0] * len(times), power_w=[1.0] * len(times))
    assert [text for text in trace.warnings if "time" in text] == []
