"""optimum-benchmark: the report, with the configuration next to it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

from support.foreign import EXAMPLES, import_file, import_one, real_file


def test_read_report_sums_prefill_and_decode() -> None:
    built = import_one("optimum_benchmark/benchmark_report.json")
    # 0.08172944713225458 + 0.14152102857830748 = 0.22325047571056206 kWh; * 3 600 000 = 803701.712558023416 J
    assert built.result.total_energy_j == 803701.7125580234
    # 7059021.617039943 tokens/kWh * 0.14152102857830748 kWh = 999 000: 1000 times 999
    assert built.result.total_tokens == 999_000
    assert built.result.avg_energy_per_token_j == 803701.7125580234 / 999_000
    assert math.isnan(built.result.total_inference_time_sec)
    assert built.imported.version == "0.6.0.dev0"


def test_read_report_takes_model_and_settings_from_the_configuration() -> None:
    result = import_one("optimum_benchmark/benchmark_report.json").result
    config = result.effective_config
    origin = config.pop("imported_from")
    assert (result.backend, result.backend_version) == ("pytorch", "2.7.0")
    assert config == {
        "model": "org/tiny-1b",
        "task": "text-generation",
        "device": "cuda",
        "torch_dtype": None,
        "name": "text_generation",
        "scenario": {"name": "energy_star", "num_samples": 1000, "input_shapes": {"batch_size": 1}},
        "launcher": {"name": "process"},
    }
    assert origin["data"]["report"]["load_model"]["energy"]["total"] == 0.0008
    assert origin["data"]["config"]["environment"]["gpu"] == ["NVIDIA H100 80GB HBM3"]


def test_read_report_of_latencies_has_the_time_and_tokens_of_one_pass() -> None:
    result = import_one("optimum_latency/benchmark_report.json").result
    assert result.total_inference_time_sec == 1.28125  # 0.03125 + 1.25
    assert result.total_tokens == 99  # 79.2 tokens/s * 1.25 s
    assert result.latency_stats is not None
    assert result.latency_stats.ttft_mean_ms == 31.25
    assert result.latency_stats.ttft_p95_ms == 37.5
    assert result.latency_stats.ttft_samples == 2
    assert math.isnan(result.total_energy_j)
    assert (
        "there is no benchmark_config.json next to the report: the model and the settings are unknown"
        in result.measurement_warnings
    )


def test_read_directory_and_combined_file_has_the_same_result(tmp_path: Path) -> None:
    expected = import_one("optimum_benchmark/benchmark_report.json").result
    [built] = import_file(EXAMPLES / "optimum_benchmark").built
    assert built.result.total_energy_j == expected.total_energy_j
    parts = {
        name: json.loads((EXAMPLES / "optimum_benchmark" / f"benchmark_{name}.json").read_text())
        for name in ("config", "report")
    }
    file = tmp_path / "benchmark.json"
    file.write_text(json.dumps(parts))
    [built] = import_file(file).built
    assert built.result.measurement_config_hash == expected.measurement_config_hash
    assert built.result.total_energy_j == expected.total_energy_j


def test_read_configuration_alone_names_the_report() -> None:
    [message] = import_file(EXAMPLES / "optimum_benchmark" / "benchmark_config.json").messages
    assert message == "expected a report, got its configuration; import the benchmark_report.json next to it"


def test_read_report_with_broken_configuration_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "optimum_benchmark", tmp_path / "run")
    (tmp_path / "run" / "benchmark_config.json").write_text("{")
    outcome = import_file(tmp_path / "run" / "benchmark_report.json")
    assert (outcome.built, len(outcome.messages)) == ([], 1)


def test_read_real_report_has_its_energy_and_tokens() -> None:
    [built] = import_file(real_file("optimum_benchmark") / "benchmark_report.json").built
    assert built.result.total_energy_j == 803701.7125580234  # as above: the same numbers
    assert built.result.total_tokens == 999_000


def test_read_report_takes_no_tokens_of_a_negative_energy(tmp_path: Path) -> None:
    report = json.loads((EXAMPLES / "optimum_latency" / "benchmark_report.json").read_text())
    report["decode"]["energy"] = {"unit": "kWh", "total": -0.001}  # a noisy difference
    report["decode"]["efficiency"] = {"unit": "tokens/kWh", "value": 49500.0}
    file = tmp_path / "benchmark_report.json"
    file.write_text(json.dumps(report))
    [built] = import_file(file).built
    assert built.result.total_tokens == 99  # 79.2 tokens/s * 1.25 s


def test_read_report_with_latencies_in_another_unit_is_an_error(tmp_path: Path) -> None:
    report = json.loads((EXAMPLES / "optimum_latency" / "benchmark_report.json").read_text())
    report["decode"]["latency"]["unit"] = "ms"
    file = tmp_path / "benchmark_report.json"
    file.write_text(json.dumps(report))
    [message] = import_file(file).messages
    assert message == "expected seconds at decode.latency, got 'ms'; report the version"
