"""`vllm bench serve`, and its predecessor `benchmark_serving.py`: one record, or one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llenergymeasure.importers._documents import Document, imported_documents
from llenergymeasure.importers._imported import Imported, Item, Mapped
from llenergymeasure.importers._serving import BACKEND, E2E, NUMBERS, add_tokens, finish
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._source import Field, Setting, Source, compact_time

TITLE = "vLLM bench serve"

_NUMBERS = (
    *NUMBERS,
    Field("total_token_throughput", "avg_tokens_per_second"),
    Field("mean_e2el_ms", f"{E2E}.e2e_latency_mean_ms"),
    Field("median_e2el_ms", f"{E2E}.e2e_latency_median_ms"),
    Field("p95_e2el_ms", f"{E2E}.e2e_latency_p95_ms"),
    Field("p99_e2el_ms", f"{E2E}.e2e_latency_p99_ms"),
    Field("gpu_energy_j", "total_energy_j"),
)

_SETTINGS = (
    Setting("model_id", "model"),
    *map(
        Setting,
        (
            "label",
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
        ),
    ),
)
_NOT_METADATA = {"model", *(setting.key for setting in _SETTINGS)}

_DATE = Mapped("date", "end_time", "parsed")
_MARKS = {"tokenizer_id", "endpoint_type", "num_prompts", "request_rate", "completed", "total_output_tokens"}


def matches(path: Path) -> bool:
    """Return True for the JSON of `vllm bench serve`."""
    shape = shape_of(path)
    return shape.kind == "json" and "model_id" in shape.keys and not _MARKS.isdisjoint(shape.keys)


def read(path: Path) -> Iterator[Item]:
    """Read the records; each has the totals of one run."""
    return imported_documents(path, _imported)


def _imported(document: Document) -> Imported:
    record = document.value
    source = Source(record)
    source.take(_NUMBERS)
    source.take_text(BACKEND)
    add_tokens(source)
    finish(source)
    if (date := record.get("date")) is not None:
        # The program reads the local clock after the last request (vllm/benchmarks/serve.py).
        source.put("end_time", compact_time("date", date), _DATE, moved=True)
    config = source.settings(_SETTINGS)
    if metadata := _metadata(record):
        config |= source.settings(metadata)
    version = record.get("version")
    return Imported(
        fields=source.fields,
        config=config,
        rest=source.rest,
        version=version if isinstance(version, str) else None,
        mapping=source.mapping,
        line=document.line,
        is_normal=document.is_normal,
    )


def _metadata(record: dict[str, Any]) -> list[Setting]:
    """Return the keys of `--metadata KEY=VALUE`: texts between the number of prompts and the rate."""
    keys = list(record)
    try:
        between = keys[keys.index("num_prompts") + 1 : keys.index("request_rate")]
    except ValueError:
        return []
    return [Setting(key) for key in between if type(record[key]) is str and key not in _NOT_METADATA]
