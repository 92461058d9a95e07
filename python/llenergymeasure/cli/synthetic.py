"""A synthetic sweep: invented results with power traces, each consistent in itself."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING

from llenergymeasure.domain.experiment import ExperimentResult, compute_measurement_config_hash
from llenergymeasure.domain.metrics import EnergyBreakdown, ThermalThrottleInfo
from llenergymeasure.results.timeseries import Timeseries

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTICE = "synthetic: made up by `llem demo`, nothing was measured"

# Name, parameters, tokens/s of one sequence on an imagined 400 W GPU, and the backends that run it.
_MODELS: tuple[tuple[str, float, float, tuple[str, ...]], ...] = (
    ("gpt2", 124e6, 310.0, ("pytorch", "vllm")),
    ("meta-llama/Llama-3.1-8B", 8.03e9, 52.0, ("pytorch", "vllm", "tensorrt")),
    ("Qwen/Qwen2.5-7B", 7.62e9, 57.0, ("vllm", "tensorrt")),
)
_SPEEDUP = {"pytorch": 1.0, "vllm": 1.7, "tensorrt": 2.0}
_BATCHES = (1, 16)
_IDLE_W = 62.0
_LIMIT_W = 400.0
_RAMP_SEC = 4
_FIRST_START = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Synthetic:
    """A synthetic result, and its power in watts at 1 Hz."""

    result: ExperimentResult
    power_w: list[float]

    def trace(self) -> Timeseries:
        """Return the power trace with the columns of `timeseries.parquet`."""
        count = len(self.power_w)
        busy = [(power - _IDLE_W) / (_LIMIT_W - _IDLE_W) for power in self.power_w]
        return Timeseries(
            timestamp_s=[float(second) for second in range(count)],
            gpu_index=[0] * count,
            power_w=self.power_w,
            temperature_c=[round(38.0 + 30.0 * part) for part in busy],
            memory_total_mb=[81920.0] * count,
            sm_utilisation_pct=[round(100.0 * part) for part in busy],
            throttle_reasons=[0] * count,
        )


def sweep(seed: int = 0) -> Iterator[Synthetic]:
    """Yield the results of the sweep; equal seeds give equal results."""
    chance = random.Random(seed)  # noqa: S311 - a demonstration, not a secret
    start = _FIRST_START
    for model, parameters, speed, backends in _MODELS:
        for backend in backends:
            for batch in _BATCHES:
                run = _run(chance, start, (model, parameters), backend, batch, speed)
                start = run.result.end_time + timedelta(seconds=60)
                yield run


def _run(  # noqa: PLR0913, PLR0917 - the parameters of a run
    chance: random.Random,
    start: datetime,
    model: tuple[str, float],
    backend: str,
    batch: int,
    speed: float,
) -> Synthetic:
    name, parameters = model
    seconds = chance.randint(40, 75)
    rate = speed * _SPEEDUP[backend] * batch**0.85 * chance.uniform(0.97, 1.03)
    tokens = round(rate * seconds)
    size = min(1.0, math.log10(parameters) / 10)
    plateau = _IDLE_W + (_LIMIT_W - _IDLE_W) * size * (0.55 + 0.1 * math.log2(batch))
    power = _trace(chance, seconds, min(plateau, 0.96 * _LIMIT_W))
    # The trapezoid rule is exact here: each sample is a multiple of 1/8 W.
    energy = sum((one + other) / 2 for one, other in pairwise(power))
    adjusted = energy - _IDLE_W * seconds
    config = {
        "model": name,
        "backend": backend,
        "batch_size": batch,
        "precision": "bfloat16",
        "synthetic": True,
    }
    flops_per_token = 2 * parameters
    result = ExperimentResult(
        experiment_id=f"synthetic-{name}-{backend}-batch{batch}",
        measurement_config_hash=compute_measurement_config_hash(config),
        backend=backend,
        measurement_methodology="total",
        total_tokens=tokens,
        total_energy_j=energy,
        total_inference_time_sec=float(seconds),
        avg_tokens_per_second=tokens / seconds,
        avg_energy_per_token_j=energy / tokens,
        total_flops=flops_per_token * tokens,
        flops_per_output_token=flops_per_token,
        flops_per_second=flops_per_token * tokens / seconds,
        baseline_power_w=_IDLE_W,
        energy_adjusted_j=adjusted,
        energy_per_device_j=[energy],
        energy_breakdown=EnergyBreakdown(
            raw_j=energy, adjusted_j=adjusted, baseline_power_w=_IDLE_W, baseline_method="synthetic"
        ),
        measurement_warnings=[NOTICE],
        reproducibility_notes="Synthetic: no NVML reading, and so no accuracy.",
        start_time=start,
        end_time=start + timedelta(seconds=seconds),
        effective_config=config,
        thermal_throttle=ThermalThrottleInfo(max_temperature_c=68.0),
    )
    return Synthetic(result, power)


def _trace(chance: random.Random, seconds: int, plateau: float) -> list[float]:
    """Return power in watts, a sample per second: a ramp up, a wavy plateau, a ramp down."""
    samples = []
    for second in range(seconds + 1):
        ramp = min(1.0, second / _RAMP_SEC, (seconds - second) / _RAMP_SEC)
        wave = 0.06 * math.sin(second / 3.1) + chance.uniform(-0.04, 0.04)
        watts = _IDLE_W + (plateau - _IDLE_W) * ramp * (1 + wave)
        # The float32 column of the Parquet file holds eighths of a watt exactly.
        samples.append(round(min(watts, _LIMIT_W) * 8) / 8)
    return samples
