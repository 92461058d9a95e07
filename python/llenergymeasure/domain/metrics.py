"""Models of the measurements: tokens, energy, time, and efficiency.

Names end in their units: `_j` joule, `_w` watt, `_sec` and `_s` second, `_ms` millisecond, `_mb` 2^20 byte,
`_c` degree Celsius, `_pct` per cent.
"""

from __future__ import annotations

from pydantic import Field

from llenergymeasure.domain._base import DateTime, Int, JSONValue, Model, Text

__all__ = [
    "BatchEfficiencyMetrics",
    "ComputeMetrics",
    "EnergyBreakdown",
    "EnergyMetrics",
    "ExtendedEfficiencyMetrics",
    "GPUUtilisationMetrics",
    "InferenceMetrics",
    "KVCacheEfficiencyMetrics",
    "LatencyStatistics",
    "MemoryEfficiencyMetrics",
    "MultiGPUMetrics",
    "RequestLatencyMetrics",
    "ThermalThrottleInfo",
    "WarmupResult",
]


class InferenceMetrics(Model):
    """Tokens and time of one process."""

    total_tokens: Int
    input_tokens: Int
    output_tokens: Int
    inference_time_sec: float
    tokens_per_second: float
    latency_per_token_ms: float
    time_to_first_token_ms: float | None = None
    latency_measurements: JSONValue = None


class EnergyMetrics(Model):
    """Energy of one process by device."""

    total_energy_j: float
    gpu_energy_j: float = 0.0
    cpu_energy_j: float = 0.0
    ram_energy_j: float = 0.0
    gpu_power_w: float = 0.0
    cpu_power_w: float = 0.0
    duration_sec: float
    emissions_kg_co2: float = 0.0
    energy_per_token_j: float = 0.0


class ComputeMetrics(Model):
    """Floating-point operations and memory of one process."""

    flops_total: float
    flops_per_token: float = 0.0
    flops_per_second: float = 0.0
    peak_memory_mb: float = 0.0
    model_memory_mb: float = 0.0
    flops_method: Text = "unknown"
    flops_confidence: Text = "unknown"
    compute_precision: Text = "fp16"


class EnergyBreakdown(Model):
    """Energy with and without the idle power."""

    raw_j: float
    adjusted_j: float | None = None
    baseline_power_w: float | None = None
    baseline_method: Text | None = None
    baseline_timestamp: DateTime | None = None
    baseline_cache_age_sec: float | None = None


class MultiGPUMetrics(Model):
    """Energy of each GPU and of all GPUs."""

    num_gpus: Int
    energy_per_gpu_j: list[float]
    energy_total_j: float
    energy_per_output_token_j: float


class ThermalThrottleInfo(Model):
    """Reductions of the clocks: their causes, duration and times."""

    detected: bool = False
    thermal: bool = False
    power: bool = False
    sw_thermal: bool = False
    hw_thermal: bool = False
    hw_power: bool = False
    throttle_duration_sec: float = 0.0
    max_temperature_c: float | None = None
    throttle_timestamps: list[float] = Field(default_factory=list)


class WarmupResult(Model):
    """The warm-up; `cv` is the coefficient of variation of its latencies."""

    converged: bool
    final_cv: float
    iterations_completed: Int
    target_cv: float
    max_prompts: Int
    latencies_ms: list[float] = Field(default_factory=list)
    thermal_floor_wait_s: float = Field(default=0.0, ge=0)


class LatencyStatistics(Model):
    """Time to first token (`ttft`) and between tokens (`itl`)."""

    ttft_mean_ms: float
    ttft_median_ms: float
    ttft_p95_ms: float
    ttft_p99_ms: float
    ttft_min_ms: float
    ttft_max_ms: float
    ttft_samples: Int
    itl_mean_ms: float | None = None
    itl_median_ms: float | None = None
    itl_p95_ms: float | None = None
    itl_p99_ms: float | None = None
    itl_samples: Int = 0
    itl_full_mean_ms: float | None = None
    itl_full_p99_ms: float | None = None


class MemoryEfficiencyMetrics(Model):
    """Video memory and its uses."""

    total_vram_mb: float = 0.0
    model_memory_mb: float = 0.0
    peak_memory_mb: float = 0.0
    inference_memory_mb: float = 0.0
    kv_cache_mb: float | None = None
    tokens_per_gb_vram: float | None = None
    model_memory_utilisation: float | None = None
    kv_cache_memory_ratio: float | None = None


class GPUUtilisationMetrics(Model):
    """Utilisation of the GPU."""

    sm_utilisation_mean: float | None = None
    sm_utilisation_samples: Int = 0
    memory_bandwidth_utilisation: float | None = None


class BatchEfficiencyMetrics(Model):
    """Utilisation of the batches."""

    effective_batch_size: float | None = None
    batch_utilisation: float | None = None
    padding_overhead: float | None = None
    num_batches: Int | None = None


class KVCacheEfficiencyMetrics(Model):
    """Utilisation of the key-value cache."""

    kv_cache_hit_rate: float | None = None
    kv_cache_blocks_used: Int | None = None
    kv_cache_blocks_total: Int | None = None


class RequestLatencyMetrics(Model):
    """Latency of whole requests."""

    e2e_latency_mean_ms: float | None = None
    e2e_latency_median_ms: float | None = None
    e2e_latency_p95_ms: float | None = None
    e2e_latency_p99_ms: float | None = None
    e2e_latency_samples: Int = 0


class ExtendedEfficiencyMetrics(Model):
    """Efficiency beyond energy per token; `tpot` is the time per output token."""

    tpot_ms: float | None = None
    token_efficiency_index: float | None = None
    memory: MemoryEfficiencyMetrics = Field(default_factory=MemoryEfficiencyMetrics)
    gpu_utilisation: GPUUtilisationMetrics = Field(default_factory=GPUUtilisationMetrics)
    batch: BatchEfficiencyMetrics = Field(default_factory=BatchEfficiencyMetrics)
    kv_cache: KVCacheEfficiencyMetrics = Field(default_factory=KVCacheEfficiencyMetrics)
    request_latency: RequestLatencyMetrics = Field(default_factory=RequestLatencyMetrics)
