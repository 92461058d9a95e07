"""Columns, energy and text of a power trace in memory."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

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
        0.0,
        {},
        0.0,
        None,
    )
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
    assert both.energy_per_gpu_j == {-1: 0.0, 0: 200.0, 1: 100.0}
    assert both.energy_j == 300.0


def test_timeseries_energy_of_real_traces_matches_their_results(data: Path) -> None:
    records = sorted((data / "mlperf").glob("*.json"))
    if not records:
        pytest.skip(f"no MLPerf runs in {data}")
    for record in records:
        run = json.loads(record.read_text())
        trace = read_timeseries(record.with_suffix(".parquet"))
        assert trace.mean_power_w is not None
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


def trapezoid(table: list[tuple[float, int, float | None]], gpu: int) -> float:
    points = sorted(
        (time, power)
        for time, index, power in table
        if index == gpu and power is not None and not math.isnan(power) and not math.isnan(time)
    )
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
    assert trace.energy_per_gpu_j == pytest.approx(energies, rel=1e-9, abs=1e-6)
    has_system = any(
        gpu == -1 and power is not None and not math.isnan(power + time) for time, gpu, power in table
    )
    total = energies[-1] if has_system else sum(energies.values())
    assert trace.energy_j == pytest.approx(total, rel=1e-9, abs=1e-6)
