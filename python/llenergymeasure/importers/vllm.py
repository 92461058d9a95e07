"""`vllm bench serve`, and its predecessor `benchmark_serving.py`: one record, or one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._documents import documents
from llenergymeasure.importers._imported import Imported, Item, Mapped, NotImported
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._source import Field, Source, latency_stats, time_of

TITLE = "vLLM bench serve"

_NUMBERS = (
    Field("duration", "total_inference_time_sec"),
    Field("total_token_throughput", "avg_tokens_per_second"),
    Field("mean_ttft_ms", "latency_stats.ttft_mean_ms"),
    Field("median_ttft_ms", "latency_stats.ttft_median_ms"),
    Field("p95_ttft_ms", "latency_stats.ttft_p95_ms"),
    Field("p99_ttft_ms", "latency_stats.ttft_p99_ms"),
    Field("mean_itl_ms", "latency_stats.itl_mean_ms"),
    Field("median_itl_ms", "latency_stats.itl_median_ms"),
    Field("p95_itl_ms", "latency_stats.itl_p95_ms"),
    Field("p99_itl_ms", "latency_stats.itl_p99_ms"),
    Field("mean_tpot_ms", "extended_metrics.tpot_ms"),
    Field("mean_e2el_ms", "extended_metrics.request_latency.e2e_latency_mean_ms"),
    Field("median_e2el_ms", "extended_metrics.request_latency.e2e_latency_median_ms"),
    Field("p95_e2el_ms", "extended_metrics.request_latency.e2e_latency_p95_ms"),
    Field("p99_e2el_ms", "extended_metrics.request_latency.e2e_latency_p99_ms"),
)

_SETTINGS = {"model_id": "model"} | {
    name: name
    for name in (
        "tokenizer_id",
        "endpoint_type",
        "best_of",
        "use_beam_search",
        "num_prompts",
        "request_rate",
        "burstiness",
        "max_concurrency",
        "ramp_up_strategy",
        "ramp_up_start_rps",
        "ramp_up_end_rps",
    )
}

_MARKS = {"model_id", "tokenizer_id"}
_DATE = "%Y%m%d-%H%M%S"


def matches(path: Path) -> bool:
    """Return True for the JSON of `vllm bench serve`."""
    shape = shape_of(path)
    return shape.kind == "json" and shape.keys >= _MARKS


def read(path: Path) -> Iterator[Item]:
    """Read the records; each has the totals of one run."""
    for document in documents(path):
        if isinstance(document, NotImported):
            yield document
            continue
        try:
            yield _imported(document.value, document.line)
        except NotImportableError as error:
            yield NotImported(str(error), document.line)


def _imported(record: dict[str, Any], line: int | None) -> Imported:
    source = Source(record)
    source.take(_NUMBERS)
    if record.get("backend") is not None:
        source.put("backend", record["backend"], Mapped("backend", "backend"), moved=True)
    _tokens(source)
    if record.get("date") is not None:
        # The program reads the clock after the last request.
        end = time_of("date", record["date"], _DATE)
        source.put("end_time", end, Mapped("date", "end_time", "parsed"), moved=True)
    completed = source.number("completed", integer=True) or 0
    if (stats := source.fields.get("latency_stats")) is not None:
        source.fields["latency_stats"] = latency_stats(stats, completed)
    config = source.settings(_SETTINGS)
    return Imported(fields=source.fields, config=config, rest=source.rest, mapping=source.mapping, line=line)


def _tokens(source: Source) -> None:
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
