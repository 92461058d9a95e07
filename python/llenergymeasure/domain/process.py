"""Models of the processes of a measurement, and of their aggregation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from llenergymeasure.domain import _configured
from llenergymeasure.domain._base import SCHEMA_VERSION, DateTime, Int, JSONObject, Model, Text
from llenergymeasure.domain.metrics import (
    ComputeMetrics,
    EnergyBreakdown,
    EnergyMetrics,
    ExtendedEfficiencyMetrics,
    InferenceMetrics,
    ThermalThrottleInfo,
    WarmupResult,
)

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

__all__ = ["AggregationMetadata", "RawProcessResult", "Timestamps", "seconds_between"]


def seconds_between(start: datetime, end: datetime) -> float:
    """Return the seconds between two instants.

    Raises:
        TypeError: One of the two is naive and the other aware.
    """
    if (start.utcoffset() is None) != (end.utcoffset() is None):
        raise TypeError(
            "expected a start and an end that both have a time zone or both have none, got "
            f"offset-naive and offset-aware datetimes, {start.isoformat()} and {end.isoformat()}"
        )
    return (end - start).total_seconds()


class Timestamps(Model):
    """The start, the end and the duration of something."""

    start: DateTime
    """Start: ISO 8601, with or without a zone."""
    end: DateTime
    """End: ISO 8601, with or without a zone."""
    duration_sec: float
    """Time from start to end, in seconds."""

    @classmethod
    def from_times(cls, start: datetime, end: datetime) -> Self:
        """Create timestamps from a start and an end, both naive or both aware.

        The duration is that between the two instants, also across a change of the clocks.

        Raises:
            TypeError: One of the two is naive and the other aware.

        Limits: naive times have no zone, so a change of the clocks shifts their duration.
        """
        # Two times of one zone are subtracted as a clock shows them, those with fixed offsets as instants.
        times = cls(start=start, end=end, duration_sec=0.0)
        seconds = seconds_between(times.start, times.end)
        return cls(start=times.start, end=times.end, duration_sec=seconds)


class AggregationMetadata(Model):
    """The aggregation of several processes into one result."""

    method: Text = "sum_energy_avg_throughput"
    """Name of the method: by default energies are summed and throughputs averaged."""
    num_processes: Int
    """Number of processes."""
    temporal_overlap_verified: bool = False
    """True if the processes were found to run at the same time."""
    gpu_attribution_verified: bool = False
    """True if each GPU was found to belong to one process only."""
    warnings: list[Text] = Field(default_factory=list)
    """Warnings of the aggregation."""


class RawProcessResult(_configured.Configured):
    """The measurements of one process.

    `backend` defaults to `effective_config["backend"]`, as in `ExperimentResult`.
    """

    schema_version: Text = SCHEMA_VERSION
    """Schema line of the record."""
    experiment_id: Text
    """Identifier of the experiment, which need not be unique."""
    backend: Text = "pytorch"
    """Inference backend; by default that of `effective_config`."""
    backend_version: Text | None = None
    """Version of the backend."""
    process_index: Int
    """Number of the process, from 0."""
    gpu_id: Int
    """Index of the GPU."""
    gpu_name: Text = ""
    """Name of the GPU."""
    gpu_is_mig: bool = False
    """True if the GPU is a MIG instance, which is a part of a GPU."""
    gpu_mig_profile: Text | None = None
    """Profile of the MIG instance, such as `3g.20gb`."""
    energy_measurement_warning: Text | None = None
    """Warning about the measurement of the energy."""
    config_name: Text
    """Name of the configuration."""
    model_name: Text
    """Name of the model."""
    timestamps: Timestamps
    """Start, end and duration of the process."""
    inference_metrics: InferenceMetrics
    """Tokens and times of the process."""
    energy_metrics: EnergyMetrics
    """Energy and power of the process."""
    compute_metrics: ComputeMetrics
    """Floating-point operations and memory of the process."""
    effective_config: JSONObject = Field(default_factory=dict)
    """Resolved configuration of the process, of any JSON values."""
    extended_metrics: ExtendedEfficiencyMetrics = Field(default_factory=ExtendedEfficiencyMetrics)
    """Efficiency beyond energy per token."""
    per_request_latencies_ms: list[float] = Field(default_factory=list)
    """Latency of each request, in milliseconds."""
    gpu_utilisation_samples: list[float] = Field(default_factory=list)
    """Samples of the utilisation of the GPU, in per cent."""
    energy_breakdown: EnergyBreakdown | None = None
    """Energy of the process with and without the idle power."""
    thermal_throttle: ThermalThrottleInfo | None = None
    """Reductions of the clocks of the GPU."""
    warmup_result: WarmupResult | None = None
    """Outcome of the warm-up."""
