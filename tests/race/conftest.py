"""Results that are saved by many processes at once, and a look at what they left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries

SUFFIX = re.compile(r"(.*T\d\d-\d\d)(?:_(\d+))?")
STAMP = "2026-02-18T14-30"


@dataclass
class Race:
    """What the processes of a race say that they did."""

    saved: list[tuple[Path, int]]
    failed: list[str]
    seen: int


@pytest.fixture(scope="session")
def results() -> list[ExperimentResult]:
    """Two different results that share a name."""
    now = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
    return [
        ExperimentResult(
            experiment_id=f"race-{n}",
            measurement_config_hash="0123456789abcdef",
            measurement_methodology="total",
            total_tokens=1000 + n,
            total_energy_j=12.5,
            total_inference_time_sec=3.25,
            avg_tokens_per_second=307.7,
            avg_energy_per_token_j=0.0125,
            total_flops=0.0,
            start_time=now,
            end_time=now,
            effective_config={"model": "org/Model", "padding": "0123456789" * 800 * (n + 1)},
        )
        for n in range(2)
    ]


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory, results: list[ExperimentResult]) -> Path:
    """A Parquet file, written by the package itself."""
    trace = Timeseries(timestamp_s=[0.5] * 1000, gpu_index=[0] * 1000, power_w=[250.0] * 1000)
    saved = results[0].save(tmp_path_factory.mktemp("parquet"), trace, durable=False)
    return saved.with_name("timeseries.parquet")


@pytest.fixture
def race(tmp_path: Path) -> Callable[..., Race]:
    """Run processes with the given roles at once, and say what they did."""
    reports = tmp_path / "reports"
    reports.mkdir()

    def race(roles: list[str], results: list[ExperimentResult], root: Path | str, **options: Any) -> Race:
        job = {
            "roles": roles,
            "results": [result.model_dump_json() for result in results],
            "root": str(root),
            "saves": 1,
            "rounds": 1,
            "durable": True,
            "source": None,
            "stamp": STAMP,
            "expected": 0,
            **options,
        }
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), json.dumps(job), str(reports)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (run.returncode, run.stderr) == (0, ""), run.stderr
        said = [json.loads(path.read_text()) for path in reports.iterdir()]
        return Race(
            saved=[(Path(path), which) for report in said for path, which in report["saved"]],
            failed=[failure for report in said for failure in report["failed"]],
            seen=sum(report["seen"] for report in said),
        )

    return race


@pytest.fixture(scope="session")
def suffixes() -> Callable[[Path], dict[str, list[int]]]:
    """The suffixes that are taken under each name of a directory, sorted; 0 is the name without one."""

    def suffixes(root: Path) -> dict[str, list[int]]:
        taken: dict[str, list[int]] = {}
        for path in root.iterdir():
            match = SUFFIX.fullmatch(path.name)
            assert match is not None, path
            taken.setdefault(match[1], []).append(int(match[2] or 0))
        return {name: sorted(numbers) for name, numbers in taken.items()}

    return suffixes
