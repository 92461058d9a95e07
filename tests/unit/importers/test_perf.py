"""AIPerf and GenAI-Perf: statistics, and the energy counters of their GPUs."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from support.foreign import EXAMPLES, import_file, import_one, real_file


def test_read_aiperf_running_counter_takes_the_difference_of_its_readings() -> None:
    result = import_one("aiperf_2025.json").result
    # GPU 0: 0.246497393 - 0.229901671 = 0.016595722 MJ; GPU 1: 7.1123 - 7.1 = 0.0123 MJ.
    assert result.energy_per_device_j == [16595.722, 12300.0]
    assert result.total_energy_j == 28895.722
    assert result.total_tokens == 25874  # 22000 + 3874
    assert result.total_inference_time_sec == 50.0
    assert result.avg_tokens_per_second == 517.48  # 25874 / 50
    assert result.start_time == datetime(2025, 10, 13, 1, 48, 4, 500_000)  # noqa: DTZ001 - the file has no zone
    assert result.end_time == datetime(2025, 10, 13, 1, 48, 54, 750_000)  # noqa: DTZ001


def test_read_aiperf_latencies_have_the_numbers_of_the_file() -> None:
    result = import_one("aiperf_2025.json").result
    assert result.latency_stats is not None
    assert result.latency_stats.ttft_max_ms == 131.5
    assert result.latency_stats.ttft_samples == 40
    assert result.latency_stats.itl_median_ms == 9.25
    assert result.extended_metrics is not None
    assert result.extended_metrics.request_latency.e2e_latency_p95_ms == 1700.125


def test_read_aiperf_configuration_leaves_out_where_files_go() -> None:
    config = import_one("aiperf_2025.json").result.effective_config
    origin = config.pop("imported_from")
    assert config == {
        "model": "org/tiny-1b",
        "endpoint": {"model_names": ["org/tiny-1b"], "type": "chat", "streaming": True},
        "loadgen": {"concurrency": 8},
    }
    assert origin["data"]["input_config"]["output"] == {"artifact_directory": "artifacts/run-1"}
    assert origin["data"]["telemetry_data"]["endpoints"]["localhost:9401"]["gpus"].keys() == {
        "gpu_0",
        "gpu_1",
    }


def test_read_newer_aiperf_takes_the_average_of_a_counter_as_its_difference() -> None:
    built = import_one("aiperf_2026.json")
    # 0.0042625 MJ + 0.004001 MJ; the GPUs of two hosts have the same index.
    assert built.result.energy_per_device_j == [4262.5, 4001.0]
    assert built.result.total_energy_j == 8263.5
    assert built.result.total_tokens == 13015  # sums of the lengths: 11010 + 2005
    assert built.result.total_inference_time_sec == 13.75
    assert built.result.start_time == datetime(2026, 5, 18, 17, tzinfo=timezone.utc)
    assert built.result.experiment_id == "abc123"
    assert built.result.effective_config["model"] == "org/tiny-1b"
    assert built.imported.version == "0.12.0"
    assert built.result.measurement_warnings == []


def test_read_genai_perf_derives_tokens_and_duration_from_counts() -> None:
    result = import_one("genai_perf.json").result
    # GPU 0: 126125.75 - 115000.5 J; GPU 1: 13000.5 - 2000.25 J.
    assert result.energy_per_device_j == [11125.25, 11000.25]
    assert result.total_energy_j == 22125.5
    assert result.total_tokens == 76869  # 100 * 200.85 + 100 * 567.84
    assert result.total_inference_time_sec == 50.0  # 100 requests at 2 a second
    assert result.backend == "tensorrtllm"
    assert result.effective_config["model"] == "org/tiny-1b"
    assert "artifact_dir" not in result.effective_config
    assert result.effective_config["imported_from"]["data"]["input_config"]["model"] == ["org/tiny-1b"]


def _aiperf(tmp_path: Path, statistics: dict[str, Any], **more: Any) -> Path:
    record = json.loads((EXAMPLES / "aiperf_2026.json").read_text())
    metrics = {"nvidia_energy_consumption": statistics} | more.pop("metrics", {})
    gpus = {"gpu_0": {"gpu_index": 0, "metrics": metrics}}
    record["telemetry_data"]["endpoints"] = {"a:9400": {"gpus": gpus}}
    file = tmp_path / "profile_export_aiperf.json"
    file.write_text(json.dumps(record | more))
    return file


@pytest.mark.parametrize(
    ("unit", "average", "joules"),
    [("mJ", 4262500, 4262.5), ("J", 4262.5, 4262.5), ("kJ", 4.2625, 4262.5), ("Wh", 1.5, 5400.0)],
)
def test_read_aiperf_energy_converts_its_unit(
    tmp_path: Path, unit: str, average: float, joules: float
) -> None:
    [built] = import_file(_aiperf(tmp_path, {"unit": unit, "avg": average})).built
    assert built.result.total_energy_j == joules


def test_read_aiperf_energy_of_an_unknown_unit_is_an_error(tmp_path: Path) -> None:
    [message] = import_file(_aiperf(tmp_path, {"unit": "cal", "avg": 4262.5})).messages
    assert "got 'cal'" in message


def test_read_aiperf_single_reading_is_unknown_unless_the_power_confirms_it(tmp_path: Path) -> None:
    single = {"unit": "MJ", "avg": 0.0042625, "min": 0.0042625, "max": 0.0042625}
    [built] = import_file(_aiperf(tmp_path, single)).built
    assert math.isnan(built.result.total_energy_j)
    assert built.result.measurement_warnings == [
        (
            "the energy of 1 of 1 GPUs is unknown: they have no counter, one with only the mean of its "
            "readings, or one that their mean power contradicts"
        ),
        "the source states no energy: total_energy_j is NaN",
    ]
    power = {"nvidia_power_usage": {"unit": "W", "avg": 310.0}}  # 13.75 s * 310 W = 4262.5 J
    [built] = import_file(_aiperf(tmp_path, single, metrics=power)).built
    assert built.result.total_energy_j == 4262.5


def test_read_aiperf_total_energy_is_that_of_the_tool(tmp_path: Path) -> None:
    file = _aiperf(tmp_path, {"unit": "MJ", "avg": 0.0042625}, total_gpu_energy={"unit": "J", "avg": 4200.5})
    [built] = import_file(file).built
    assert built.result.total_energy_j == 4200.5


def test_read_genai_perf_mean_of_a_running_counter_is_no_energy(tmp_path: Path) -> None:
    record = json.loads((EXAMPLES / "genai_perf.json").read_text())
    record["telemetry_stats"]["energy_consumption"]["gpu0"] = {"avg": 120500.25}
    file = tmp_path / "profile_export_genai_perf.json"
    file.write_text(json.dumps(record))
    [built] = import_file(file).built
    assert math.isnan(built.result.total_energy_j)


def test_read_first_aiperf_version_finds_the_metrics_in_records(tmp_path: Path) -> None:
    record = json.loads((EXAMPLES / "aiperf_2025.json").read_text())
    metrics = {key: record.pop(key) for key in list(record) if "unit" in str(record[key])[:9]}
    metrics["ttft"] = metrics.pop("time_to_first_token")
    file = tmp_path / "profile_export_aiperf.json"
    file.write_text(json.dumps(record | {"records": metrics}))
    [built] = import_file(file).built
    assert built.result.total_tokens == 25874
    assert built.result.latency_stats is not None
    assert built.result.latency_stats.ttft_max_ms == 131.5


def test_read_raw_profile_of_genai_perf_names_the_file_to_import(tmp_path: Path) -> None:
    file = tmp_path / "profile_export.json"
    file.write_text(json.dumps({"experiments": [], "version": "2.5", "service_kind": "triton"}))
    [message] = import_file(file).messages
    assert "import profile_export_genai_perf.json" in message


def test_read_requests_of_aiperf_names_the_file_to_import_once(tmp_path: Path) -> None:
    line = '{"metadata": {"session_num": 1, "request_start_ns": 1}, "metrics": {}, "error": null}\n'
    file = tmp_path / "profile_export.jsonl"
    file.write_text(line * 3)
    [message] = import_file(file).messages
    assert "import profile_export_aiperf.json" in message


def test_read_real_aiperf_file_takes_max_minus_min() -> None:
    [built] = import_file(real_file("aiperf_telemetry_2025.json")).built
    assert built.result.total_energy_j == 16595.722  # 0.246497393 - 0.229901671 MJ
    assert built.result.total_inference_time_sec == 52.281659  # 01:48:55.971544 - 01:48:03.689885
    assert "the source states no tokens: total_tokens is 0" in built.result.measurement_warnings


@pytest.mark.parametrize(
    "statistics",
    [
        {"avg": -5.0},  # a counter that was reset
        {"avg": 120.0},  # a running counter without its extremes
        {"avg": 60.0, "min": 0.0, "max": 120.0},  # a first reading that was none
    ],
)
def test_read_aiperf_energy_that_the_power_contradicts_is_unknown(
    tmp_path: Path, statistics: dict[str, float]
) -> None:
    power = {"nvidia_power_usage": {"unit": "W", "avg": 310.0}}
    [built] = import_file(_aiperf(tmp_path, {"unit": "MJ"} | statistics, metrics=power)).built
    assert math.isnan(built.result.total_energy_j)


def _energy_of_gpus(tmp_path: Path, *endpoints: list[tuple[str, float | None]]) -> float:
    record = json.loads((EXAMPLES / "aiperf_2026.json").read_text())
    record["telemetry_data"]["endpoints"] = {
        f"a:940{place}": {
            "gpus": {
                f"gpu_{number}": {
                    "gpu_uuid": uuid,
                    "metrics": {} if joules is None else {"energy_consumption": {"unit": "J", "avg": joules}},
                }
                for number, (uuid, joules) in enumerate(gpus)
            }
        }
        for place, gpus in enumerate(endpoints)
    }
    file = tmp_path / "profile_export_aiperf.json"
    file.write_text(json.dumps(record))
    [built] = import_file(file).built
    return built.result.total_energy_j


def test_read_aiperf_counts_a_gpu_of_two_endpoints_once(tmp_path: Path) -> None:
    both: list[tuple[str, float | None]] = [("GPU-a", 2000.0), ("GPU-b", 3000.0)]
    assert _energy_of_gpus(tmp_path, both, both) == 5000.0  # 2000 J + 3000 J


def test_read_aiperf_energy_is_unknown_where_a_gpu_has_no_counter(tmp_path: Path) -> None:
    assert math.isnan(_energy_of_gpus(tmp_path, [("GPU-a", 2000.0), ("GPU-b", None)]))
