"""`sglang.bench_serving`: one record a line; a record has no time, and its model only in `server_info`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llenergymeasure.importers._documents import Document, imported_documents
from llenergymeasure.importers._imported import Imported, Item, Mapped
from llenergymeasure.importers._serving import BACKEND, E2E, NUMBERS, add_tokens, finish
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._source import Field, Setting, Source

TITLE = "SGLang bench_serving"

_NUMBERS = (
    *NUMBERS,
    Field("total_throughput", "avg_tokens_per_second"),
    Field("mean_e2e_latency_ms", f"{E2E}.e2e_latency_mean_ms"),
    Field("median_e2e_latency_ms", f"{E2E}.e2e_latency_median_ms"),
    Field("p95_e2e_latency_ms", f"{E2E}.e2e_latency_p95_ms"),
    Field("p99_e2e_latency_ms", f"{E2E}.e2e_latency_p99_ms"),
)

_SETTINGS = tuple(
    map(
        Setting,
        (
            "tag",
            "dataset_name",
            "num_prompts",
            "request_rate",
            "max_concurrency",
            "sharegpt_output_len",
            "random_input_len",
            "random_output_len",
            "random_range_ratio",
        ),
    )
)

_SERVER = (
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "context_length",
    "tp_size",
    "dp_size",
    "pp_size",
    "ep_size",
    "attention_backend",
    "chunked_prefill_size",
    "mem_fraction_static",
    "disable_radix_cache",
    "disable_cuda_graph",
    "speculative_algorithm",
)
"""The arguments of the server that are part of the configuration; the others stay in `server_info`."""

_MARKS = {
    "dataset_name",
    "sharegpt_output_len",
    "random_input_len",
    "random_range_ratio",
    "total_output_tokens_retokenized",
    "mean_e2e_latency_ms",
    "server_info",
}
_LEAST_MARKS = 2


def matches(path: Path) -> bool:
    """Return True for the JSON Lines of `sglang.bench_serving`."""
    shape = shape_of(path)
    return shape.kind == "json" and "model_id" not in shape.keys and len(shape.keys & _MARKS) >= _LEAST_MARKS


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
    server = record.get("server_info")
    config: dict[str, Any] = {}
    version = None
    if isinstance(server, Mapping):
        if (model := server.get("model_path") or server.get("served_model_name")) is not None:
            config["model"] = model
            source.mapping.append(Mapped("server_info.model_path", "effective_config.model"))
        version = server.get("version")
    config |= source.settings(_SETTINGS)
    if isinstance(server, Mapping):
        for name in _SERVER:
            if server.get(name) is not None:
                config[name] = server[name]
                source.mapping.append(Mapped(f"server_info.{name}", f"effective_config.{name}"))
    if isinstance(version, str) and str(record.get("backend", "")).startswith("sglang"):
        source.put("backend_version", version, Mapped("server_info.version", "backend_version"))
    return Imported(
        fields=source.fields,
        config=config,
        rest=source.rest,
        mapping=source.mapping,
        line=document.line,
        is_normal=document.is_normal,
    )
