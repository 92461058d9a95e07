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
    """Number of input and output tokens."""
    input_tokens: Int
    """Number of input tokens."""
    output_tokens: Int
    """Number of output tokens."""
    inference_time_sec: float
    """Time of inference, in seconds."""
    tokens_per_second: float
    """Throughput, in tokens per second."""
    latency_per_token_ms: float
    """Time per token, in milliseconds."""
    time_to_first_token_ms: float | None = None
    """Time to the first token, in milliseconds."""
    latency_measurements: JSONValue = None
    """Measurements of latencies, of any JSON value."""


class EnergyMetrics(Model):
    """Energy of one process by device."""

    total_energy_j: float
    """Energy of all devices, in joules."""
    gpu_energy_j: float = 0.0
    """Energy of the GPU, in joules."""
    cpu_energy_j: float = 0.0
    """Energy of the processor, in joules."""
    ram_energy_j: float = 0.0
    """Energy of the main memory, in joules."""
    gpu_power_w: float = 0.0
    """Power of the GPU, in watts."""
    cpu_power_w: float = 0.0
    """Power of the processor, in watts."""
    duration_sec: float
    """Time of the measurement, in seconds."""
    emissions_kg_co2: float = 0.0
    """Emissions, in kilograms of CO2."""
    energy_per_token_j: float = 0.0
    """Energy per token, in joules."""


class ComputeMetrics(Model):
    """Floating-point operations and memory of one process."""

    flops_total: float
    """Number of floating-point operations."""
    flops_per_token: float = 0.0
    """Number of floating-point operations per token."""
    flops_per_second: float = 0.0
    """Floating-point operations per second."""
    peak_memory_mb: float = 0.0
    """Largest use of video memory, in units of 2^20 bytes."""
    model_memory_mb: float = 0.0
    """Video memory of the model, in units of 2^20 bytes."""
    flops_method: Text = "unknown"
    """Method that estimated the floating-point operations."""
    flops_confidence: Text = "unknown"
    """Confidence in that estimate."""
    compute_precision: Text = "fp16"
    """Number format of the computation, such as `fp16`."""


class EnergyBreakdown(Model):
    """Energy with and without the idle power."""

    raw_j: float
    """Energy as it was measured, in joules."""
    adjusted_j: float | None = None
    """Energy minus that of the idle power over the same time, in joules."""
    baseline_power_w: float | None = None
    """Idle power, in watts."""
    baseline_method: Text | None = None
    """Origin of the idle power: `fresh`, `cached`, `validated` or `unavailable`."""
    baseline_timestamp: DateTime | None = None
    """Time of the measurement of the idle power: ISO 8601, with or without a zone."""
    baseline_cache_age_sec: float | None = None
    """Age of the idle power where it was measured for an earlier run, in seconds."""


class MultiGPUMetrics(Model):
    """Energy of each GPU and of all GPUs."""

    num_gpus: Int
    """Number of GPUs."""
    energy_per_gpu_j: list[float]
    """Energy of each GPU, in joules."""
    energy_total_j: float
    """Energy of all GPUs, in joules."""
    energy_per_output_token_j: float
    """Energy per output token, in joules."""


class ThermalThrottleInfo(Model):
    """Reductions of the clocks: their causes, duration and times."""

    detected: bool = False
    """True if the clocks were reduced."""
    thermal: bool = False
    """True if a temperature was the cause."""
    power: bool = False
    """True if a limit of power was the cause."""
    sw_thermal: bool = False
    """True if the driver reduced the clocks because of a temperature."""
    hw_thermal: bool = False
    """True if the hardware reduced the clocks because of a temperature."""
    hw_power: bool = False
    """True if the hardware reduced the clocks because of the power supply."""
    throttle_duration_sec: float = 0.0
    """Time with reduced clocks, in seconds."""
    max_temperature_c: float | None = None
    """Highest temperature, in degrees Celsius."""
    throttle_timestamps: list[float] = Field(default_factory=list)
    """Times with reduced clocks, in seconds from the start."""


class WarmupResult(Model):
    """The warm-up; `cv` is the coefficient of variation of its latencies."""

    converged: bool
    """True if the latencies became stable."""
    final_cv: float
    """Coefficient of variation of the latencies at the end, as a fraction."""
    iterations_completed: Int
    """Number of iterations."""
    target_cv: float
    """Coefficient of variation at which latencies count as stable, as a fraction."""
    max_prompts: Int
    """Largest number of iterations."""
    latencies_ms: list[float] = Field(default_factory=list)
    """Latency of each iteration, in milliseconds."""
    thermal_floor_wait_s: float = Field(default=0.0, ge=0)
    """Time that was waited for a steady temperature, in seconds."""


class LatencyStatistics(Model):
    """Time to first token (`ttft`) and between tokens (`itl`)."""

    ttft_mean_ms: float
    """Mean time to the first token, in milliseconds."""
    ttft_median_ms: float
    """Median time to the first token, in milliseconds."""
    ttft_p95_ms: float
    """95th percentile of the time to the first token, in milliseconds."""
    ttft_p99_ms: float
    """99th percentile of the time to the first token, in milliseconds."""
    ttft_min_ms: float
    """Shortest time to the first token, in milliseconds."""
    ttft_max_ms: float
    """Longest time to the first token, in milliseconds."""
    ttft_samples: Int
    """Number of times to the first token."""
    itl_mean_ms: float | None = None
    """Mean time between tokens, in milliseconds."""
    itl_median_ms: float | None = None
    """Median time between tokens, in milliseconds."""
    itl_p95_ms: float | None = None
    """95th percentile of the time between tokens, in milliseconds."""
    itl_p99_ms: float | None = None
    """99th percentile of the time between tokens, in milliseconds."""
    itl_samples: Int = 0
    """Number of times between tokens."""
    itl_full_mean_ms: float | None = None
    """Mean of all times between tokens, none left out, in milliseconds."""
    itl_full_p99_ms: float | None = None
    """99th percentile of all times between tokens, none left out, in milliseconds."""


class MemoryEfficiencyMetrics(Model):
    """Video memory and its uses."""

    total_vram_mb: float = 0.0
    """Video memory of the GPU, in units of 2^20 bytes."""
    model_memory_mb: float = 0.0
    """Video memory of the model, in units of 2^20 bytes."""
    peak_memory_mb: float = 0.0
    """Largest use of video memory, in units of 2^20 bytes."""
    inference_memory_mb: float = 0.0
    """Video memory of the inference beyond the model, in units of 2^20 bytes."""
    kv_cache_mb: float | None = None
    """Video memory of the key-value cache, in units of 2^20 bytes."""
    tokens_per_gb_vram: float | None = None
    """Number of output tokens per gigabyte of video memory that is used."""
    model_memory_utilisation: float | None = None
    """Video memory of the model, as a fraction of that of the GPU."""
    kv_cache_memory_ratio: float | None = None
    """Video memory of the key-value cache, as a fraction of the largest use."""


class GPUUtilisationMetrics(Model):
    """Utilisation of the GPU."""

    sm_utilisation_mean: float | None = None
    """Mean utilisation of the streaming multiprocessors, in per cent."""
    sm_utilisation_samples: Int = 0
    """Number of samples of that utilisation."""
    memory_bandwidth_utilisation: float | None = None
    """Utilisation of the bandwidth of the video memory, in per cent."""


class BatchEfficiencyMetrics(Model):
    """Utilisation of the batches."""

    effective_batch_size: float | None = None
    """Mean number of requests in a batch."""
    batch_utilisation: float | None = None
    """Mean size of a batch, as a fraction of the configured size."""
    padding_overhead: float | None = None
    """Padding, as a fraction of all tokens."""
    num_batches: Int | None = None
    """Number of batches."""


class KVCacheEfficiencyMetrics(Model):
    """Utilisation of the key-value cache."""

    kv_cache_hit_rate: float | None = None
    """Look-ups in the prefix cache that find their entry, as a fraction."""
    kv_cache_blocks_used: Int | None = None
    """Number of blocks in use."""
    kv_cache_blocks_total: Int | None = None
    """Number of blocks."""


class RequestLatencyMetrics(Model):
    """Latency of whole requests."""

    e2e_latency_mean_ms: float | None = None
    """Mean latency of a request, in milliseconds."""
    e2e_latency_median_ms: float | None = None
    """Median latency of a request, in milliseconds."""
    e2e_latency_p95_ms: float | None = None
    """95th percentile of the latency of a request, in milliseconds."""
    e2e_latency_p99_ms: float | None = None
    """99th percentile of the latency of a request, in milliseconds."""
    e2e_latency_samples: Int = 0
    """Number of requests."""


class ExtendedEfficiencyMetrics(Model):
    """Efficiency beyond energy per token; `tpot` is the time per output token."""

    tpot_ms: float | None = None
    """Time per output token, in milliseconds."""
    token_efficiency_index: float | None = None
    """Product of throughput, tokens per joule and a factor of the precision."""
    memory: MemoryEfficiencyMetrics = Field(default_factory=MemoryEfficiencyMetrics)
    """Video memory and its uses."""
    gpu_utilisation: GPUUtilisationMetrics = Field(default_factory=GPUUtilisationMetrics)
    """Utilisation of the GPU."""
    batch: BatchEfficiencyMetrics = Field(default_factory=BatchEfficiencyMetrics)
    """Utilisation of the batches."""
    kv_cache: KVCacheEfficiencyMetrics = Field(default_factory=KVCacheEfficiencyMetrics)
    """Utilisation of the key-value cache."""
    request_latency: RequestLatencyMetrics = Field(default_factory=RequestLatencyMetrics)
    """Latency of whole requests."""
