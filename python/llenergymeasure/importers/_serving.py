"""The numbers that the serving benchmarks of vLLM and SGLang have in common."""

from __future__ import annotations

from llenergymeasure.importers._imported import Mapped
from llenergymeasure.importers._source import Field, Source, latency_stats

__all__ = ["NUMBERS", "add_tokens", "finish"]

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
    if given is None or made is None:
        return
    source.put(
        "total_tokens",
        given + made,
        Mapped("total_input_tokens", "total_tokens", "sum"),
        Mapped("total_output_tokens", "total_tokens", "sum"),
    )


def finish(source: Source) -> None:
    """Complete the latencies: the benchmarks measure one for each completed request."""
    completed = source.number("completed", integer=True) or 0
    stats = source.fields.get("latency_stats")
    if stats is not None:
        source.fields["latency_stats"] = latency_stats(stats, completed)
    requests = source.fields.get("extended_metrics", {}).get("request_latency")
    if requests is not None:
        requests["e2e_latency_samples"] = completed
