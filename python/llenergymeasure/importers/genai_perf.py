"""GenAI-Perf's `profile_export_genai_perf.json`, the predecessor of AIPerf's: no times, other telemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._documents import Document, imported_documents
from llenergymeasure.importers._imported import Imported, Item
from llenergymeasure.importers._perf import Counter, imported_run
from llenergymeasure.importers._sniff import shape_of

TITLE = "GenAI-Perf"

_METRICS = ("request_latency.unit", "request_throughput.unit", "output_token_throughput.unit")
_RAW = {"experiments", "service_kind"}


def matches(path: Path) -> bool:
    """Return True for the statistics of GenAI-Perf, and for the raw profile next to them."""
    shape = shape_of(path)
    return shape.kind == "json" and (
        not shape.keys.isdisjoint((*_METRICS, "telemetry_stats")) or shape.keys >= _RAW
    )


def read(path: Path) -> Iterator[Item]:
    """Read the statistics of the run."""
    return imported_documents(path, _imported)


def _imported(document: Document) -> Imported:
    record = document.value
    if "experiments" in record:
        raise NotImportableError(
            "expected the statistics of GenAI-Perf, got its raw profile; "
            "import profile_export_genai_perf.json"
        )
    return imported_run(document, list(_counters(record)), average_is_difference=False)


def _counters(record: dict[str, Any]) -> Iterator[Counter]:
    telemetry = record.get("telemetry_stats")
    metric = telemetry.get("energy_consumption") if isinstance(telemetry, Mapping) else None
    if not isinstance(metric, Mapping):
        return
    for name, statistics in metric.items():
        if isinstance(statistics, Mapping):
            place = f"telemetry_stats.energy_consumption.{name}"
            yield Counter(place, statistics, str(metric.get("unit", "")))
