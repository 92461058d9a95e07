"""`ExperimentResult.check`, and the implausible numbers that `verify(deep=True)` reports."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore, _store, load_result
from llenergymeasure.results.timeseries import Timeseries
from support.results import make_power_trace, make_process, make_result

START = datetime(2026, 2, 18, 14, 30)  # noqa: DTZ001 - naive times occur


def findings(**fields: Any) -> list[tuple[str, str]]:
    return [(one.field, one.message) for one in make_result(**fields).check()]


def test_check_plausible_result_finds_nothing() -> None:
    assert findings() == []
    assert findings(total_energy_j=0.0, avg_energy_per_token_j=0.0, energy_adjusted_j=-0.0) == []
    assert findings(total_tokens=0, avg_energy_per_token_j=0.0) == []
    assert findings(total_tokens=0, avg_energy_per_token_j=math.nan) == []
    assert findings(end_time=START, steady_state_window=(0.0, 10.0), process_results=[make_process()]) == []


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"total_energy_j": -2.0, "avg_energy_per_token_j": -0.002}, "total_energy_j", "is negative: -2.0"),
        ({"total_inference_time_sec": -1.0}, "total_inference_time_sec", "is negative: -1.0"),
        ({"avg_tokens_per_second": -1.0}, "avg_tokens_per_second", "is negative: -1.0"),
        ({"total_energy_j": -math.inf, "avg_energy_per_token_j": 0.0}, "total_energy_j", "is negative: -inf"),
        ({"energy_adjusted_j": -0.5}, "energy_adjusted_j", "is negative: -0.5"),
        ({"energy_per_device_j": [1.0, -2.0, -3.0]}, "energy_per_device_j[1]", "-2.0, and 1 more are"),
        ({"energy_breakdown": {"raw_j": -1.0}}, "energy_breakdown.raw_j", "is negative: -1.0"),
        (
            {"process_results": [make_process(), make_process(inference_metrics={"output_tokens": -5})]},
            "process_results[1].inference_metrics.output_tokens",
            "is negative: -5",
        ),
        (
            {"process_results": [make_process(timestamps={"duration_sec": -1.0})]},
            "process_results[0].timestamps.duration_sec",
            "is negative: -1.0",
        ),
        ({"total_energy_j": math.nan}, "total_energy_j", "is not a finite number: nan"),
        ({"total_inference_time_sec": math.inf}, "total_inference_time_sec", "is not a finite number: inf"),
        (
            {"end_time": START - timedelta(seconds=1)},
            "end_time",
            "(2026-02-18T14:29:59) is before the start (2026-02-18T14:30:00)",
        ),
        (
            {
                "start_time": datetime(2026, 1, 1, 12, tzinfo=timezone.utc),
                "end_time": datetime(2026, 1, 1, 12, 30, tzinfo=timezone(timedelta(hours=1))),
            },
            "end_time",
            "is before the start",
        ),
        ({"end_time": START.replace(tzinfo=timezone.utc)}, "end_time", "only one of them has a zone"),
        (
            {"steady_state_window": (5.0, 4.0)},
            "steady_state_window",
            "ends at 4.0 s, before its start at 5.0 s",
        ),
        (
            {"process_results": [make_process(timestamps={"end": START - timedelta(days=1)})]},
            "process_results[0].timestamps.end",
            "is before the start",
        ),
        (
            {"avg_energy_per_token_j": 250.5},
            "avg_energy_per_token_j",
            "which no number of tokens in the record explains: 250.5 J over 1000 tokens are 0.2505 J",
        ),
        ({"avg_energy_per_token_j": 0.0}, "avg_energy_per_token_j", "no number of tokens"),
        ({"total_tokens": 0}, "avg_energy_per_token_j", "250.5 J over 0 tokens"),
        ({"total_tokens": 10**400}, "avg_energy_per_token_j", "over inf tokens are 0 J"),
        (
            {"process_results": [make_process(energy_metrics={"energy_per_token_j": 7.0})]},
            "process_results[0].energy_metrics.energy_per_token_j",
            "is 7 J",
        ),
    ],
)
def test_check_reports_implausible_number(
    fields: dict[str, Any], field: str, message: str, tmp_path: Path
) -> None:
    found = findings(**fields)
    assert field in [name for name, _ in found]
    assert any(message in text for name, text in found if name == field), found
    result = make_result(**fields)
    path = result.save(tmp_path, durable=False)
    assert load_result(path).model_dump_json(indent=2) == path.read_text()
    verified = ResultStore(tmp_path).verify(deep=True)
    assert verified.ok
    problems = [finding.problem for finding in verified.implausible]
    assert problems == sorted(f"{name} {text}" for name, text in found)
    assert str(verified) == "1 complete, 1 with implausible numbers"


@pytest.mark.parametrize(
    "fields",
    [
        {"avg_energy_per_token_j": 1.0, "total_flops": 100.0, "flops_per_output_token": 0.4},
        {"avg_energy_per_token_j": 1.0, "total_flops": 100.0, "flops_per_input_token": 0.4},
        {"avg_energy_per_token_j": 250.5 / 750, "total_flops": 100.0, "flops_per_input_token": 0.4},
        {"avg_energy_per_token_j": 0.1, "energy_adjusted_j": 100.0},
        {"avg_energy_per_token_j": 0.25},
        {
            "avg_energy_per_token_j": 0.5,
            "process_results": [make_process(inference_metrics={"output_tokens": 501})],
        },
    ],
)
def test_check_energy_per_token_accepts_any_token_count_of_the_record(fields: dict[str, Any]) -> None:
    assert findings(**fields) == []


def test_verify_deep_takes_the_energy_of_the_trace_from_its_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        pytest.fail("the trace was read a second time")

    make_result(total_energy_j=1.0).save(tmp_path, make_power_trace(100.0, 100.0, 100.0), durable=False)
    monkeypatch.setattr(_store, "read_timeseries", fail)
    found = ResultStore(tmp_path).verify(deep=True).implausible
    assert any("the energy of the power trace" in finding.problem for finding in found)


@pytest.mark.parametrize(
    ("recorded", "is_found"), [(300.0, False), (273.0, False), (272.0, True), (333.0, False), (334.0, True)]
)
def test_check_compares_the_energy_of_the_trace(recorded: float, is_found: bool, tmp_path: Path) -> None:  # noqa: FBT001
    trace = make_power_trace(100.0, 100.0, 100.0, 100.0)
    result = make_result(total_energy_j=recorded, avg_energy_per_token_j=recorded / 1000)
    assert result.check() == []
    assert bool(result.check(trace)) is is_found
    loaded = load_result(result.save(tmp_path, trace, durable=False))
    assert loaded.check() == result.check(trace)
    verified = ResultStore(tmp_path).verify(deep=True)
    assert [finding.problem for finding in verified.implausible] == [str(one) for one in loaded.check()]
    assert ResultStore(tmp_path).verify().implausible == []
    if is_found:
        (finding,) = loaded.check()
        assert finding.field == "total_energy_j"
        assert f"is {recorded:.0f} J, but the energy of the power trace is 300 J" in finding.message


def test_check_trace_with_an_unknown_gpu_compares_no_sum() -> None:
    trace = Timeseries(timestamp_s=[0, 0, 1, 1], gpu_index=[0, 1] * 2, power_w=[100.0, None] * 2)
    assert make_result(total_energy_j=1000.0, avg_energy_per_token_j=1.0).check(trace) == []


def test_check_unreadable_trace_is_a_finding(tmp_path: Path) -> None:
    path = make_result().save(tmp_path, make_power_trace(1.0, 1.0), durable=False)
    loaded = load_result(path)
    path.with_name("timeseries.parquet").write_bytes(b"no")
    (finding,) = loaded.check()
    assert finding.field == "timeseries"
    assert finding.message.startswith("cannot be read: ")
    path.with_name("timeseries.parquet").unlink()
    assert loaded.check() == []


@given(
    energy=st.floats(0.001, 1e9),
    total=st.integers(1, 10**9),
    digits=st.integers(3, 17),
    factor=st.sampled_from([1.0, 1.1, 10.0, 1000.0]),
)
def test_check_energy_per_token_of_any_size_is_judged_by_its_ratio(
    energy: float, total: int, digits: int, factor: float
) -> None:
    written = float(f"{energy / total * factor:.{digits}g}")
    found = findings(total_energy_j=energy, total_tokens=total, avg_energy_per_token_j=written)
    assert bool(found) is (factor > 1)


def test_check_real_results_finds_nothing(data: Path) -> None:
    lines = (data / "mlenergy_llm_results.jsonl").read_text().splitlines()
    files = [data / "gpt2_a100_result.json", *sorted((data / "mlperf").glob("*.json"))]
    for text in (*lines, *(file.read_text() for file in files)):
        assert ExperimentResult.model_validate_json(text).check() == [], json.loads(text)["experiment_id"]
    from llenergymeasure.results.timeseries import read_timeseries

    for file in files[1:]:
        result = ExperimentResult.model_validate_json(file.read_text())
        assert result.check(read_timeseries(file.with_suffix(".parquet"))) == []
