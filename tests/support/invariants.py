"""The invariants of a store in any location: nothing is lost, doubled, mixed or torn."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries

from .locations import Location
from .results import make_result

RECORD, SIDECAR = "result.json", "timeseries.parquet"


def numbered_result(number: int) -> ExperimentResult:
    """Return a result that only one save has; all share one directory name."""
    config = {"model": "org/Model", "backend": "pytorch", "padding": "0123456789" * 100}
    return make_result(experiment_id=f"run-{number}", total_tokens=number, effective_config=config)


def numbered_trace(number: int) -> Timeseries:
    """Return the power trace of a numbered result: its first sample is the number."""
    return Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[float(number), 1.0])


@dataclass
class Ended:
    """The reports of savers: what each save was told."""

    saved: dict[int, tuple[str, bool]] = field(default_factory=dict)
    """The path of each acknowledged record, and whether it has a sidecar."""
    failed: list[tuple[int, bool | None, str]] = field(default_factory=list)
    unknown: dict[int, str | None] = field(default_factory=dict)
    """The path that `resolve` returned, or None."""

    @classmethod
    def read(cls, reports: Path) -> Ended:
        """Read the reports of the processes of a job."""
        ended = cls()
        for file in sorted(reports.glob("*.json")):
            report: dict[str, Any] = json.loads(file.read_text())
            saved = {number: (path, is_with_trace) for number, path, is_with_trace in report["saved"]}
            ended.add(cls(saved, [tuple(one) for one in report["failed"]], dict(report["unknown"])))
        return ended

    def add(self, other: Ended) -> None:
        """Add the reports of other savers."""
        self.saved |= other.saved
        self.failed += other.failed
        self.unknown |= other.unknown


def first_watt(data: bytes) -> int:
    """Return the number of the power trace in a sidecar."""
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data), columns=["power_w"])
    return int(table.column("power_w")[0].as_py())


def check_invariants(location: Location, ended: Ended) -> dict[int, str]:
    """Check the contents of a location against the reports of its savers; return the records by number."""
    files = location.files()
    found: dict[int, str] = {}
    numbers: Counter[int] = Counter()
    for name, data in files.items():
        if name.rpartition("/")[2] != RECORD:
            continue
        record = json.loads(data)
        number = record["total_tokens"]
        numbers[number] += 1
        found[number] = name
        # Torn: the bytes are exactly those of the save.
        sidecar = files.get(name.replace(RECORD, SIDECAR))
        update = {"timeseries": None if sidecar is None else SIDECAR}
        expected = numbered_result(number).model_copy(update=update)
        assert data.decode() == expected.model_dump_json(indent=2), f"torn or mixed: {name}"
        if sidecar is not None:
            assert first_watt(sidecar) == number, f"the sidecar of another save: {name}"
    doubled = [number for number, count in numbers.items() if count > 1]
    assert not doubled, f"duplicated: {doubled}"
    for number, (path, is_with_trace) in ended.saved.items():
        assert number in found, f"lost: {number}, acknowledged as {path}"
        assert f"{location.root}/{found[number]}" == path
        assert (found[number].replace(RECORD, SIDECAR) in files) == is_with_trace
    for number, committed, text in ended.failed:
        assert committed is False, text
        assert number not in found, f"a record of the failed save {number}: {text}"
    for number, resolved in ended.unknown.items():
        there = f"{location.root}/{found[number]}" if number in found else None
        assert resolved == there
    return found
