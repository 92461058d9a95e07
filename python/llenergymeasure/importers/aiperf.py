"""AIPerf's `profile_export_aiperf.json`: the statistics of one run, with the telemetry of its GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._documents import Document, imported_documents
from llenergymeasure.importers._imported import Imported, Item
from llenergymeasure.importers._perf import Counter, energy_counters, imported_run
from llenergymeasure.importers._sniff import Shape, shape_of

TITLE = "AIPerf"

_OWN = {
    "telemetry_data",
    "telemetry_data.summary",
    "aiperf_version",
    "benchmark_duration",
    "records.request_latency",
    "records.request_throughput",
}
_REQUESTS = {"metadata.request_start_ns", "metadata.request_end_ns"}
_LATENCIES = {"request_latency.unit", "request_throughput.unit", "request_count.unit"}


def matches(path: Path) -> bool:
    """Return True for the statistics of AIPerf, which has times and telemetry that GenAI-Perf has not."""
    shape = shape_of(path)
    if shape.kind != "json" or _is_other(shape):
        return False
    return not (_OWN | _REQUESTS).isdisjoint(shape.keys) or (
        not _LATENCIES.isdisjoint(shape.keys) and {"start_time", "schema_version"} & shape.keys != set()
    )


def _is_other(shape: Shape) -> bool:
    return "telemetry_stats" in shape.keys or "aggregation_type" in shape.keys


def read(path: Path) -> Iterator[Item]:
    """Read the statistics of the run.

    Raises:
        NotImportableError: The file has the requests of a run.
    """
    if not _REQUESTS.isdisjoint(shape_of(path).keys):
        raise NotImportableError(
            "expected the statistics of AIPerf, got its requests; import profile_export_aiperf.json"
        )
    return imported_documents(path, _imported)


def _imported(document: Document) -> Imported:
    record = document.value
    return imported_run(document, list(_counters(record)), average_is_difference=True)


def _counters(record: dict[str, Any]) -> Iterator[Counter]:
    telemetry = record.get("telemetry_data")
    endpoints = telemetry.get("endpoints") if isinstance(telemetry, Mapping) else None
    if not isinstance(endpoints, Mapping):
        return
    seen: set[str] = set()
    for endpoint, data in endpoints.items():
        gpus = data.get("gpus") if isinstance(data, Mapping) else None
        if not isinstance(gpus, Mapping):
            continue
        for name, gpu in gpus.items():
            if not isinstance(gpu, Mapping):
                continue
            # Two endpoints may export one GPU.
            identity = gpu.get("gpu_uuid") or f"{endpoint}/{name}"
            if isinstance(identity, str) and identity not in seen:
                seen.add(identity)
                yield from energy_counters(gpu, f"telemetry_data.endpoints.{endpoint}.gpus.{name}")
