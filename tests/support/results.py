"""Results, records and power traces to save."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries


def make_result(**changes: Any) -> ExperimentResult:
    """Return a small result with the required fields and the given changes, of one backend."""
    fields: dict[str, Any] = {
        "experiment_id": "experiment-1",
        "measurement_config_hash": "0123456789abcdef",
        "measurement_methodology": "total",
        "total_tokens": 1000,
        "total_energy_j": 250.5,
        "total_inference_time_sec": 10.0,
        "avg_tokens_per_second": 100.0,
        "avg_energy_per_token_j": 0.2505,
        "total_flops": 1e12,
        "start_time": datetime(2026, 2, 18, 14, 30),  # noqa: DTZ001 - naive times occur
        "end_time": datetime(2026, 2, 18, 14, 30, 10),  # noqa: DTZ001
        "effective_config": {"model": "gpt2", "backend": changes.get("backend", "pytorch")},
    }
    return ExperimentResult(**(fields | changes))


def make_process(**changes: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a process, with the given changes of its metrics."""
    start = datetime(2026, 2, 18, 14, 30)  # noqa: DTZ001 - as in `make_result`
    metrics: dict[str, dict[str, Any]] = {
        "timestamps": {"start": start, "end": start, "duration_sec": 0.0},
        "inference_metrics": {
            "total_tokens": 1000,
            "input_tokens": 400,
            "output_tokens": 600,
            "inference_time_sec": 10.0,
            "tokens_per_second": 100.0,
            "latency_per_token_ms": 10.0,
        },
        "energy_metrics": {"total_energy_j": 250.5, "duration_sec": 10.0},
        "compute_metrics": {"flops_total": 0.0},
    }
    names = {"experiment_id": "experiment-1", "config_name": "c", "model_name": "gpt2"}
    changed = {name: fields | changes.get(name, {}) for name, fields in metrics.items()}
    return {**names, "process_index": 0, "gpu_id": 0, **changed}


def make_padded_result(name: str, padding: int, **changes: Any) -> ExperimentResult:
    """Return a result with that id and a configuration of about `padding` bytes."""
    config = {"model": "org/Model", "padding": ("0123456789" * (padding // 10 + 1))[:padding]}
    return make_result(**{"experiment_id": name, "effective_config": config} | changes)


def make_results(count: int, **changes: Any) -> list[ExperimentResult]:
    """Return results `experiment-0`, `experiment-1`, ... that differ and share a directory name."""
    return [make_result(experiment_id=f"experiment-{number}", **changes) for number in range(count)]


def make_record(name: str = "run", **changes: Any) -> dict[str, Any]:
    """Return the JSON object of a small result, as a record holds it."""
    return {
        "experiment_id": name,
        "measurement_config_hash": "0123456789abcdef",
        "measurement_methodology": "total",
        "total_tokens": 1000,
        "total_energy_j": 250.5,
        "total_inference_time_sec": 10.0,
        "avg_tokens_per_second": 100.0,
        "avg_energy_per_token_j": 0.2505,
        "total_flops": 0.0,
        "start_time": "2026-02-18T14:30:00",
        "end_time": "2026-02-18T14:30:10",
        "effective_config": {"model": "gpt2"},
    } | changes


def make_trace(rows: int = 2) -> Timeseries:
    """Return a power trace of one GPU, with a sample every 0.1 s."""
    return Timeseries(
        timestamp_s=[number / 10 for number in range(rows)],
        gpu_index=[0] * rows,
        power_w=[250.0 + 1.5 * number for number in range(rows)],
    )


def make_power_trace(*watts: float) -> Timeseries:
    """Return a power trace of one GPU, with a sample of the given power every second."""
    seconds = [float(number) for number in range(len(watts))]
    return Timeseries(timestamp_s=seconds, gpu_index=[0] * len(watts), power_w=watts)


def record_text(result: ExperimentResult) -> str:
    """Return the text of the record that a save of this result writes."""
    return result.model_dump_json(indent=2)


def ids(results: list[ExperimentResult]) -> list[str]:
    """Return the sorted ids of results."""
    return sorted(result.experiment_id for result in results)
