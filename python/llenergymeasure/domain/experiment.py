"""The model of one measurement: `ExperimentResult`."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from llenergymeasure.domain import _configured
from llenergymeasure.domain._base import SCHEMA_VERSION, DateTime, Int, JSONObject, Text
from llenergymeasure.domain._check import Implausibility, credentials, implausibilities
from llenergymeasure.domain._json import to_json_object
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.metrics import (
    EnergyBreakdown,
    ExtendedEfficiencyMetrics,
    LatencyStatistics,
    MultiGPUMetrics,
    ThermalThrottleInfo,
    WarmupResult,
)
from llenergymeasure.domain.process import AggregationMetadata, RawProcessResult, Timestamps, seconds_between

if TYPE_CHECKING:
    from llenergymeasure._store import Timeseries
    from llenergymeasure.types import (
        MissingSidecar,
        PathArgument,
        ResultPath,
        RootArgument,
        TimeseriesSource,
    )

__all__ = [
    "SCHEMA_VERSION",
    "AggregatedResult",
    "AggregationMetadata",
    "ExperimentResult",
    "Implausibility",
    "RawProcessResult",
    "Timestamps",
    "compute_measurement_config_hash",
]

_ENCODER = json.JSONEncoder(sort_keys=True)  # `json.dumps` makes one for each call

REPRODUCIBILITY_NOTES = (
    "Energy is integrated from NVML power readings, whose accuracy the vendor gives as about ±5 %; "
    "repeated runs vary with temperature, clocks and load."
)


def _this_line(version: str) -> str:
    if version != SCHEMA_VERSION:
        msg = (
            f"expected schema line {SCHEMA_VERSION!r}, got {version!r}; convert it with llem import, or use "
            "the "
            "version that writes that line"
        )
        raise ValueError(msg)
    return version


class ExperimentResult(_configured.Configured):
    """One measurement of the energy of LLM inference, over all of its processes.

    A result is frozen, forbids unknown fields, and equals the result that is loaded from disk:
    `effective_config` is normalised to JSON values at construction. It may be a mapping, a dataclass, a
    namespace or a pydantic model.

    Where a program leaves them out, `measurement_config_hash` is the hash of `effective_config`, and
    `backend` is `effective_config["backend"]` if that is a string. A file has no such defaults: without a
    hash it is invalid, and without a backend its backend is `"pytorch"`.

    Raises:
        pydantic.ValidationError: A field is missing, unknown or invalid, or JSON cannot represent a value of
            `effective_config`.

    Warns:
        UserWarning: `backend` and `effective_config["backend"]` differ; the result has `backend`.
    """

    schema_version: Annotated[Text, AfterValidator(_this_line)] = SCHEMA_VERSION
    """Schema line of the record."""
    experiment_id: Text
    """Identifier of the experiment, which need not be unique."""
    if TYPE_CHECKING:  # optional for programs, and required in files
        measurement_config_hash: Text = ""
        """First 16 hex digits of the sha256 of the configuration, without the environment."""
    else:
        measurement_config_hash: Text
    backend: Text = "pytorch"
    """Inference backend; by default that of `effective_config`."""
    backend_version: Text | None = None
    """Version of the backend."""
    measurement_methodology: Literal["total", "steady_state", "windowed"]
    """Part of the run that is measured: all of it, its steady state, or a window."""
    steady_state_window: tuple[float, float] | None = None
    """Start and end of the window, in seconds from the start of the experiment."""
    total_tokens: Int
    """Number of tokens of all processes."""
    total_energy_j: float
    """Energy of all processes, in joules."""
    total_inference_time_sec: float
    """Time of inference, in seconds."""
    avg_tokens_per_second: float
    """Average throughput, in tokens per second."""
    avg_energy_per_token_j: float
    """Average energy per token, in joules; the tool that measured decides which tokens count."""
    total_flops: float
    """Number of floating-point operations, for reference; 0 if it was not estimated."""
    flops_per_output_token: float | None = None
    """Number of floating-point operations per output token."""
    flops_per_input_token: float | None = None
    """Number of floating-point operations per input token."""
    flops_per_second: float | None = None
    """Floating-point operations per second."""
    baseline_power_w: float | None = None
    """Idle power before the run, in watts."""
    energy_adjusted_j: float | None = None
    """Energy minus that of the idle power over the same time, in joules."""
    energy_per_device_j: list[float] | None = None
    """Energy of each device, in joules."""
    energy_breakdown: EnergyBreakdown | None = None
    """Energy with and without the idle power."""
    multi_gpu: MultiGPUMetrics | None = None
    """Energy of each GPU, where there are several."""
    environment_snapshot: EnvironmentSnapshot | None = None
    """Hardware and software of the measurement."""
    measurement_warnings: list[Text] = Field(default_factory=list)
    """Warnings about the measurement."""
    warmup_excluded_samples: Int | None = None
    """Number of samples of the warm-up that were left out."""
    reproducibility_notes: Text = REPRODUCIBILITY_NOTES
    """Note on the accuracy of the measurement."""
    timeseries: Text | None = None
    """File name of the power trace next to the record; null without one."""
    start_time: DateTime
    """Start of the first process: ISO 8601, with or without a zone."""
    end_time: DateTime
    """End of the last process: ISO 8601, with or without a zone."""
    effective_config: JSONObject = Field(default_factory=dict)
    """Resolved configuration, of any JSON values; `"model"` names the model."""
    process_results: list[RawProcessResult] = Field(default_factory=list)
    """Measurements of each process."""
    aggregation: AggregationMetadata | None = None
    """Aggregation of the processes into this result."""
    thermal_throttle: ThermalThrottleInfo | None = None
    """Reductions of the clocks of the GPUs."""
    warmup_result: WarmupResult | None = None
    """Outcome of the warm-up."""
    latency_stats: LatencyStatistics | None = None
    """Statistics of the times to the first token and between tokens."""
    extended_metrics: ExtendedEfficiencyMetrics | None = None
    """Efficiency beyond energy per token."""

    @classmethod
    def _missing(cls, config: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        missing = super()._missing(config, fields)
        if "measurement_config_hash" not in fields:
            missing["measurement_config_hash"] = _hash_of(config)
        return missing

    @property
    def duration_sec(self) -> float:
        """The seconds from start to end.

        Raises:
            TypeError: One of the two times is naive and the other aware.
        """
        return seconds_between(self.start_time, self.end_time)

    @property
    def tokens_per_joule(self) -> float:
        """The tokens per joule; 0.0 if no energy was measured."""
        try:
            return self.total_tokens / self.total_energy_j if self.total_energy_j else 0.0
        except OverflowError:  # an integer larger than any float
            return (math.inf if self.total_tokens > 0 else -math.inf) / self.total_energy_j

    def save(
        self,
        output_dir: RootArgument,
        timeseries_source: TimeseriesSource | None = None,
        *,
        durable: bool = True,
        redact: bool = False,
    ) -> ResultPath:
        """Save the result to a new directory in `output_dir`; see `ResultStore.save`."""
        from llenergymeasure.results._save import save_record  # noqa: PLC0415 - results import domain

        return save_record(output_dir, self, timeseries_source, durable=durable, redact=redact)

    @classmethod
    def from_json(cls, path: PathArgument, *, missing_sidecar: MissingSidecar = "warn") -> ExperimentResult:
        """Load a result from its `result.json` or its directory; see `ResultStore.load`."""
        from llenergymeasure.results._load import load_record  # noqa: PLC0415 - results import domain

        return load_record(path, missing_sidecar)

    def check(self, trace: Timeseries | None = None) -> list[Implausibility]:
        """Return the implausible numbers of the result, and its credentials; empty if there is none.

        Implausible are: negative times, energies, powers and tokens; an end before its start; an unknown
        total; an energy per token that no number of tokens in the record explains, whether total, input or
        output tokens (within 2 %, for rounding); and a power trace whose energy differs from `total_energy_j`
        by more than 10 %. Neither construction nor a save rejects or changes such a number.

        Credentials are the values of keys such as `api_key` in the configurations; `domain.secrets` has the
        list. A finding names the key and never has the value; `save(..., redact=True)` removes it.

        Args:
            trace: The power trace. None is that on disk if the result was loaded, and no trace otherwise.

        Returns:
            Named tuples of `field`, `value` and `message`; an unreadable trace on disk is one of them.
        """
        if trace is not None:
            return [*implausibilities(self, trace.energy_per_gpu_j), *credentials(self)]
        from llenergymeasure.results._load import loaded_trace  # noqa: PLC0415 - results import domain

        found, fault = loaded_trace(self)
        findings = implausibilities(self, None if found is None else found.energy_per_gpu_j)
        if fault is not None:
            findings.append(Implausibility("timeseries", self.timeseries, fault))
        return [*findings, *credentials(self)]


AggregatedResult = ExperimentResult


def compute_measurement_config_hash(config: object) -> str:
    """Return the hash of a configuration: the first 16 hex digits of the sha256 of its sorted JSON.

    Equal configurations have equal hashes in any order of their keys. Values are normalised as in
    `effective_config`: a tuple and a list have the same hash, and so have a path and its string.

    Args:
        config: A mapping, a dataclass, a namespace or a pydantic model, with values that `effective_config`
            accepts.

    Raises:
        TypeError: `config` is of another type.
        ValueError: JSON cannot represent something in it.
    """
    normal = to_json_object(config)
    if not isinstance(normal, dict):
        msg = (
            "config expects a mapping, a dataclass, a namespace or a pydantic model, "
            f"got {type(config).__name__}"
        )
        raise TypeError(msg)
    return _hash_of(normal)


def _hash_of(config: dict[str, Any]) -> str:
    return hashlib.sha256(_ENCODER.encode(config).encode()).hexdigest()[:16]
