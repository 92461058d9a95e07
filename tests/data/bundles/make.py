# mypy: ignore-errors
"""Make the bundles of this directory with the PyPI package `llenergymeasure`, 0.6 or 0.7, without a GPU.

    python -m venv old && old/bin/pip install llenergymeasure==0.7.0 && old/bin/python make.py

The package's own writers write the files; the samples and the counts are invented. Run it once with 0.6.0 and
once with 0.7.0. It sets the clock of nothing: run it again, and the same files come out. The files of the
lines "3.0" and "4.0", which no released package writes, are made of that of 0.6 after the public sources of
these lines.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.device.power_thermal import PowerThermalSample
from llenergymeasure.harness.timeseries import write_timeseries_parquet

from llenergymeasure.domain import environment, experiment, metrics
from llenergymeasure.results import persistence

HERE = Path(__file__).parent
START = datetime(2026, 5, 4, 10, 0, tzinfo=timezone.utc)
NAIVE = START.replace(tzinfo=None)
NEW = version("llenergymeasure").startswith("0.7")


def samples(watts: float) -> list[PowerThermalSample]:
    """Return samples of two GPUs at 2 Hz, for 20 seconds: 100.5 W and 150.5 W on average."""
    return [
        PowerThermalSample(
            timestamp=tick / 2,
            power_w=watts + gpu * 50 + tick % 2,
            temperature_c=40.0 + tick // 10,
            memory_used_mb=1024.0,
            memory_total_mb=81920.0,
            sm_utilisation=90.0,
            throttle_reasons=4 if tick == 12 else 0,
            gpu_index=gpu,
        )
        for tick in range(40)
        for gpu in (0, 1)
    ]


def snapshot() -> environment.EnvironmentSnapshot:
    cuda = {"driver_supported_version": "12.4"} if NEW else {"version": "12.4"}
    return environment.EnvironmentSnapshot(
        hardware=environment.EnvironmentMetadata(
            gpu=environment.GPUEnvironment(name="NVIDIA A100-SXM4-80GB", vram_total_mb=81920.0),
            cuda=environment.CUDAEnvironment(driver_version="550.54.15", **cuda),
            cpu=environment.CPUEnvironment(platform="Linux", model="AMD EPYC 7742"),
            collected_at=START,
        ),
        python_version="3.11.7",
        tool_version=version("llenergymeasure"),
    )


def config(**changes: object) -> ExperimentConfig:
    base = {"task": {"model": "openai-community/gpt2"}, "engine": "transformers"}
    return ExperimentConfig(**base, **({"serving_mode": "offline"} if NEW else {}), **changes)


def common(configuration: ExperimentConfig) -> dict[str, object]:
    hash_name = "declared_config_hash" if NEW else "measurement_config_hash"
    hash_of = getattr(experiment, "compute_declared_config_hash", None)
    hash_of = hash_of or experiment.compute_measurement_config_hash
    if NEW:
        power = metrics.ThrottleAxis(sw=True)
        throttle = {"throttle": metrics.ThrottleInfo(power=power, throttle_duration_sec=0.1)}
    else:
        throttle = {"thermal_throttle": metrics.ThermalThrottleInfo(power=True, throttle_duration_sec=0.1)}
    per_token = "energy_per_token_mj" if NEW else "mj_per_tok"
    return {
        hash_name: hash_of(configuration),
        "llenergymeasure_version": version("llenergymeasure"),
        "engine": "transformers",
        "model_name": "openai-community/gpt2",
        "total_flops": 1.5e12,
        "flops_per_output_token": 1.5e9,
        "energy_adjusted_j": 4432.5,
        "energy_breakdown": metrics.EnergyBreakdown(
            raw_j=5020.0,
            adjusted_j=4432.5,
            baseline_power_w=29.375,
            baseline_method="cached",
            baseline_timestamp=START - timedelta(minutes=1),
            baseline_cache_age_sec=60.0,
        ),
        "multi_gpu": metrics.MultiGPUMetrics(
            num_gpus=2,
            energy_per_gpu_j=[2010.0, 3010.0],
            energy_total_j=5020.0,
            energy_per_output_token_j=5.02,
        ),
        "energy_per_device_j": [2010.0, 3010.0],
        "measurement_warnings": ["short_measurement_duration: measurement < 10s"],
        "model_load_time_sec": 12.5,
        f"{per_token}_total": 5020000.0 / 1200,
        f"{per_token}_adjusted": 4432500.0 / 1200,
        "timeseries": "timeseries.parquet",
        "aggregation": experiment.AggregationMetadata(method="single_process", num_processes=1),
        "warmup_result": metrics.WarmupResult(
            converged=True,
            final_cv=0.01,
            iterations_completed=5,
            target_cv=0.05,
            max_prompts=10,
            latencies_ms=[41.5, 40.25],
        ),
        "extended_metrics": metrics.ExtendedEfficiencyMetrics(
            tpot_ms=4.0, memory=metrics.MemoryEfficiencyMetrics(total_vram_mb=81920.0, peak_memory_mb=263.5)
        ),
        **throttle,
    }


def offline() -> experiment.ExperimentResult:
    return experiment.ExperimentResult(
        experiment_id="gpt2_20260504_100000",
        input_tokens=200,
        output_tokens=1000,
        total_tokens=1200,
        total_energy_j=5020.0,
        total_inference_time_sec=20.0,
        avg_tokens_per_second=60.0,
        avg_energy_per_token_j=5020.0 / 1200,
        start_time=NAIVE,
        end_time=NAIVE + timedelta(seconds=20.25),
        **common(config()),
    )


def sidecars(staged: Path, result: experiment.ExperimentResult, hash_: str) -> None:
    identity = {"declared_config_hash" if NEW else "measurement_config_hash": hash_}
    trace = staged / "timeseries.parquet"
    write_timeseries_parquet(samples(100.0), trace, experiment_id=result.experiment_id, **identity)
    persistence.save_config_sidecar(
        staged,
        experiment_id=result.experiment_id,
        config_hash=hash_,
        engine=result.engine,
        engine_version="4.57.1",
        model_name=result.model_name,
        measurement_methodology="steady_state",
        steady_state_window=(2.5, 20.0),
        measurement_window_discard_fraction=0.125,
        observed_engine_params={"torch_dtype": "bfloat16"},
        observed_sampling_params={"do_sample": False},
        declared_config=config().model_dump(mode="json"),
    )


def make_new() -> None:
    """Make the bundles of 0.7: one offline, one of a server with its requests."""
    from llenergymeasure.domain.provenance import RunnerProvenance
    from llenergymeasure.domain.session import SessionBlock
    from llenergymeasure.results.bundle import BundleWriter
    from llenergymeasure.results.request_log import RequestLogRow

    runner = RunnerProvenance(mode="process", source="implicit")
    for name in ("offline", "server"):
        staged, study = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        result = offline()
        session = SessionBlock(session_id="0" * 32, window_count=1)
        if name == "server":
            result = result.model_copy(
                update={
                    "experiment_id": "gpt2_server_l0_w0",
                    "serving_mode": "server",
                    "input_tokens": None,
                    "total_tokens": None,
                    "output_tokens": 12,
                    "avg_tokens_per_second": 0.6,
                    "avg_energy_per_token_j": 5020.0 / 12,
                    "server": experiment.ServerWindowProvenance(
                        level_index=0,
                        window_index=0,
                        level_window_count=1,
                        level_valid=True,
                        pre_window_protocol="fixed 1 s",
                        attribution_policy="span_clipped",
                    ),
                    "server_metrics": experiment.ServerWindowMetrics(
                        request_throughput_req_s=0.15,
                        completed_count=3,
                        completion_rate=1.0,
                        ttft=experiment.LatencyPercentiles(p50_ms=20.0, p90_ms=28.0, p99_ms=29.8, samples=3),
                    ),
                }
            )
        hash_ = result.declared_config_hash
        sidecars(staged, result, hash_)
        writer = BundleWriter(
            study,
            model_name=result.model_name,
            engine=result.engine,
            config_hash=hash_,
            experiment_index=1,
            ts_source_dir=staged,
        )
        writer.write_result(result, runner_provenance=runner, session=session)
        writer.write_system(host_snapshot=snapshot(), runner=runner, session=session)
        writer.move_config_sidecar(resolved_config_hash="abcdefabcdefabcd")
        if name == "server":
            rows = [
                RequestLogRow(
                    request_index=index,
                    issued_at=100.0 + index,
                    dispatched_at=100.0 + index,
                    first_token_at=100.02 + index,
                    completed_at=None if index == 2 else 100.5 + index,
                    ttft_ms=20.0,
                    e2e_latency_ms=None if index == 2 else 500.0,
                    client_output_tokens=4,
                    server_prompt_tokens=7,
                    server_completion_tokens=4,
                    status="timeout" if index == 2 else "ok",
                    finish_reason=None if index == 2 else "length",
                    level_index=0,
                    window_index=0,
                    in_measurement_window=True,
                    is_ramp=False,
                    completed_in_drain=False,
                    output_token_times=[100.02 + index + step / 8 for step in range(4)],
                )
                for index in range(3)
            ]
            writer.write_requests(rows, span_start=100.0, span_end=120.0)
        writer.finalize()
        target = HERE / f"0.7_{name}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(writer.bundle_dir, target)


def make_old() -> None:
    """Make the bundle of 0.6, and of it the files of the lines before."""
    result, study = offline(), Path(tempfile.mkdtemp())
    hash_ = result.measurement_config_hash
    sidecars(study, result, hash_)
    path = persistence.save_result(
        result,
        study,
        model_name=result.model_name,
        engine=result.engine,
        timeseries_source=study / "timeseries.parquet",
        experiment_index=1,
    )
    shutil.move(study / "config.json", path.parent / "config.json")
    persistence.save_environment(snapshot(), result.experiment_id, hash_, path.parent)
    target = HERE / "0.6"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(path.parent, target)
    record = json.loads((target / "result.json").read_text())
    # Line 4.0 has the methodology and the engine's version in result.json, and no input and output tokens.
    later = "input_tokens output_tokens model_load_time_sec engine_build_cache_hit runner_provenance"
    for name in later.split():
        del record[name]
    record |= {
        "schema_version": "4.0",
        "engine_version": "4.57.1",
        "measurement_methodology": "steady_state",
        "steady_state_window": [2.5, 20.0],
        "measurement_window_discard_fraction": 0.125,
        "steady_state_not_detected": False,
    }
    (HERE / "line_4.0.json").write_text(json.dumps(record, indent=2))
    # Line 3.0 has the configuration in result.json, and its processes.
    later = "llenergymeasure_version measurement_window_discard_fraction steady_state_not_detected"
    for name in (*later.split(), "mj_per_tok_total", "mj_per_tok_adjusted"):
        del record[name]
    record |= {
        "schema_version": "3.0",
        "effective_config": {"model": "openai-community/gpt2", "engine": "transformers", "n": 100},
        "process_results": [],
        "timeseries": None,
    }
    (HERE / "line_3.0.json").write_text(json.dumps(record, indent=2))


make_new() if NEW else make_old()
