"""The numbers that the serving benchmarks of vLLM and SGLang have in common."""

from __future__ import annotations

from llenergymeasure.importers._imported import Mapped
from llenergymeasure.importers._source import Field, Source, latency_stats

__all__ = ["BACKEND", "E2E", "NUMBERS", "add_tokens", "finish"]

BACKEND = Field("backend", "backend")
E2E = "extended_metrics.request_latency"
_NO_METRICS: dict[str, object] = {
    name: {} for name in ("memory", "gpu_utilisation", "batch", "kv_cache", "request_latency")
}
"""The parts of `ExtendedEfficiencyMetrics` without a value; a model is slower to make than to validate."""
_TOKENS = (
    Mapped("total_input_tokens", "total_tokens", "sum"),
    Mapped("total_output_tokens", "total_tokens", "sum"),
)

NUMBERS = (
    Field("duration", "total_inference_time_sec"),
    Field("mean_ttft_ms", "latency_stats.ttft_mean_ms"),
    Field("median_ttft_ms", "latency_stats.ttft_median_ms"),
    Field("p95_ttft_ms", "latency_stats.ttft_p95_ms"),
    Field("p99_ttft_ms", "latency_stats.ttft_p99_ms"),
    Field("mean_itl_ms", "latency_stats.itl_mean_ms"),
    Field("median_itl_ms", "latency_stats.itl_median_ms"),
    Field("p95_itl_ms", "latency_stats.itl_p95_ms"),
    Field("p99_itl_ms", "latency_stats.itl_p99_ms"),
    Field("mean_tpot_ms", "extended_metrics.tpot_ms"),
)


def add_tokens(source: Source) -> None:
    """Set the total tokens, if the source states those of the input and of the output."""
    given = source.number("total_input_tokens", integer=True)
    made = source.number("total_output_tokens", integer=True)
    if given is not None and made is not None:
        source.put("total_tokens", given + made, *_TOKENS)
    elif given is not None:  # models of embeddings make no tokens
        source.put("total_tokens", given, _TOKENS[0])


def finish(source: Source) -> None:
    """Complete the latencies: the benchmarks measure one for each completed request."""
    fields = source.fields
    completed = source.number("completed", integer=True) or 0
    stats = fields.get("latency_stats")
    if stats is not None:
        fields["latency_stats"] = latency_stats(stats, completed)
    requests = fields.pop(E2E, None)
    if requests is not None:
        requests["e2e_latency_samples"] = completed
        fields.setdefault("extended_metrics", {})["request_latency"] = requests
    if (extended := fields.get("extended_metrics")) is not None:
        fields["extended_metrics"] = _NO_METRICS | extended
