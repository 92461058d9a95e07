"""One measurement: `ExperimentResult`, and the results of the processes that it adds up."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from llenergymeasure.domain._base import DateTime, Int, JSONObject, Model, Text
from llenergymeasure.domain._json import to_json_value
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.metrics import (
    ComputeMetrics,
    EnergyBreakdown,
    EnergyMetrics,
    ExtendedEfficiencyMetrics,
    InferenceMetrics,
    LatencyStatistics,
    MultiGPUMetrics,
    ThermalThrottleInfo,
    WarmupResult,
)

if TYPE_CHECKING:
    import os
    from datetime import datetime
    from pathlib import Path

    from typing_extensions import Self

    from llenergymeasure.types import MissingSidecar, TimeseriesSource

__all__ = [
    "SCHEMA_VERSION",
    "AggregatedResult",
    "AggregationMetadata",
    "ExperimentResult",
    "RawProcessResult",
    "Timestamps",
    "compute_measurement_config_hash",
]

SCHEMA_VERSION = "2.0"
"""The schema line that this version of the package writes and reads."""

REPRODUCIBILITY_NOTES = (
    "Energy is integrated from NVML power readings, whose accuracy the vendor gives as about ±5 %; "
    "repeated runs vary with temperature, clocks and load."
)


def _this_line(version: str) -> str:
    if version != SCHEMA_VERSION:
        msg = f"schema line {version!r} is not {SCHEMA_VERSION!r}, the one that this version reads and writes"
        raise ValueError(msg)
    return version


class Timestamps(Model):
    """When something began and ended."""

    start: DateTime
    end: DateTime
    duration_sec: float

    @classmethod
    def from_times(cls, start: datetime, end: datetime) -> Self:
        """Make timestamps of a start and an end, both naive or both aware.

        Raises:
            TypeError: One of the two is naive and the other aware.
        """
        return cls(start=start, end=end, duration_sec=(end - start).total_seconds())


class AggregationMetadata(Model):
    """How the results of several processes became one."""

    method: Text = "sum_energy_avg_throughput"
    num_processes: Int
    temporal_overlap_verified: bool = False
    gpu_attribution_verified: bool = False
    warnings: list[Text] = Field(default_factory=list)


class RawProcessResult(Model):
    """What one process measured."""

    schema_version: Text = SCHEMA_VERSION
    experiment_id: Text
    backend: Text = "pytorch"
    backend_version: Text | None = None
    process_index: Int
    gpu_id: Int
    gpu_name: Text = ""
    gpu_is_mig: bool = False
    gpu_mig_profile: Text | None = None
    energy_measurement_warning: Text | None = None
    config_name: Text
    model_name: Text
    timestamps: Timestamps
    inference_metrics: InferenceMetrics
    energy_metrics: EnergyMetrics
    compute_metrics: ComputeMetrics
    effective_config: JSONObject = Field(default_factory=dict)
    extended_metrics: ExtendedEfficiencyMetrics = Field(default_factory=ExtendedEfficiencyMetrics)
    per_request_latencies_ms: list[float] = Field(default_factory=list)
    gpu_utilisation_samples: list[float] = Field(default_factory=list)
    energy_breakdown: EnergyBreakdown | None = None
    thermal_throttle: ThermalThrottleInfo | None = None
    warmup_result: WarmupResult | None = None


class ExperimentResult(Model):
    """One measurement of the energy of LLM inference, over all of its processes.

    It is frozen, forbids unknown fields, and equals what comes back from disk: `effective_config` is
    normalised to JSON values when the result is constructed, and what JSON cannot represent is a
    `pydantic.ValidationError` there and then.
    """

    schema_version: Annotated[Text, AfterValidator(_this_line)] = SCHEMA_VERSION
    experiment_id: Text
    """Not unique by itself."""
    measurement_config_hash: Text
    """See `compute_measurement_config_hash`."""
    backend: Text = "pytorch"
    backend_version: Text | None = None
    measurement_methodology: Literal["total", "steady_state", "windowed"]
    steady_state_window: tuple[float, float] | None = None
    """Start and end, seconds from the start of the experiment."""
    total_tokens: Int
    """Over all processes."""
    total_energy_j: float
    """Summed over processes."""
    total_inference_time_sec: float
    avg_tokens_per_second: float
    avg_energy_per_token_j: float
    total_flops: float
    """A reference figure; 0 where it was not estimated."""
    flops_per_output_token: float | None = None
    flops_per_input_token: float | None = None
    flops_per_second: float | None = None
    baseline_power_w: float | None = None
    """Idle power before the run."""
    energy_adjusted_j: float | None = None
    """With the baseline subtracted."""
    energy_per_device_j: list[float] | None = None
    energy_breakdown: EnergyBreakdown | None = None
    multi_gpu: MultiGPUMetrics | None = None
    environment_snapshot: EnvironmentSnapshot | None = None
    measurement_warnings: list[Text] = Field(default_factory=list)
    warmup_excluded_samples: Int | None = None
    reproducibility_notes: Text = REPRODUCIBILITY_NOTES
    timeseries: Text | None = None
    """The file name of the sidecar, beside `result.json`."""
    start_time: DateTime
    end_time: DateTime
    effective_config: JSONObject = Field(default_factory=dict)
    """The resolved configuration; `"model"` names the model."""
    process_results: list[RawProcessResult] = Field(default_factory=list)
    aggregation: AggregationMetadata | None = None
    thermal_throttle: ThermalThrottleInfo | None = None
    warmup_result: WarmupResult | None = None
    latency_stats: LatencyStatistics | None = None
    extended_metrics: ExtendedEfficiencyMetrics | None = None

    @property
    def duration_sec(self) -> float:
        """Seconds from start to end.

        Raises:
            TypeError: One of the two times is naive and the other aware.
        """
        return (self.end_time - self.start_time).total_seconds()

    @property
    def tokens_per_joule(self) -> float:
        """Tokens for each joule; 0.0 where no energy was measured."""
        try:
            return self.total_tokens / self.total_energy_j if self.total_energy_j else 0.0
        except OverflowError:  # an integer beyond every float
            return (math.inf if self.total_tokens > 0 else -math.inf) / self.total_energy_j

    def save(
        self,
        output_dir: str | os.PathLike[str],
        timeseries_source: TimeseriesSource | None = None,
        *,
        durable: bool = True,
    ) -> Path:
        """Save the result to a directory of its own in `output_dir`; see `ResultStore.save`."""
        from llenergymeasure.results._save import absolute, save_record  # noqa: PLC0415 - results import domain

        return save_record(absolute(output_dir), self, timeseries_source, durable=durable)

    @classmethod
    def from_json(
        cls, path: str | os.PathLike[str], *, missing_sidecar: MissingSidecar = "warn"
    ) -> ExperimentResult:
        """Load a result from its `result.json` or its directory; see `ResultStore.load`."""
        from llenergymeasure.results._load import load_record  # noqa: PLC0415 - results import domain

        return load_record(path, missing_sidecar)


AggregatedResult = ExperimentResult


def compute_measurement_config_hash(config: BaseModel | Mapping[str, Any]) -> str:
    """Hash a configuration: the first 16 hex digits of the sha256 of its sorted JSON.

    Equal configurations have equal hashes, whatever the order of their keys. Values are normalised as
    `effective_config` normalises them, so that a tuple and a list, a path and its string hash alike.

    Raises:
        TypeError: It is neither a pydantic model nor a mapping.
        ValueError: Something in it cannot be represented in JSON.
    """
    if isinstance(config, BaseModel):
        config = config.model_dump()
    if not isinstance(config, Mapping):
        msg = f"a configuration is a pydantic model or a mapping, not {type(config).__name__}"
        raise TypeError(msg)
    text = json.dumps(to_json_value(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
