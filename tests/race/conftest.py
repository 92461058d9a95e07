"""Fixtures for results that many processes save at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries
from support.processes import run_script
from support.results import make_padded_result

SUFFIX = re.compile(r"(.*T\d\d-\d\d)(?:_(\d+))?")
STAMP = "2026-02-18T14-30"


@dataclass
class Race:
    """The reports of the processes of a race."""

    saved: list[tuple[Path, int]]
    failed: list[str]
    seen: int


@pytest.fixture(scope="session")
def results() -> list[ExperimentResult]:
    """Return two different results that share a directory name."""
    return [make_padded_result(f"race-{n}", 8000 * (n + 1), total_tokens=1000 + n) for n in range(2)]


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory, results: list[ExperimentResult]) -> Path:
    """Return a Parquet file that this package wrote."""
    trace = Timeseries(timestamp_s=[0.5] * 1000, gpu_index=[0] * 1000, power_w=[250.0] * 1000)
    saved = results[0].save(tmp_path_factory.mktemp("parquet"), trace, durable=False)
    return saved.with_name("timeseries.parquet")


@pytest.fixture
def race(tmp_path: Path) -> Callable[..., Race]:
    """Return a function that runs processes with the given roles at once, and returns their reports."""
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
        run = run_script(Path(__file__).with_name("save_worker.py"), json.dumps(job), reports)
        assert (run.returncode, run.stderr) == (0, ""), run.stderr
        done = [json.loads(path.read_text()) for path in reports.iterdir()]
        return Race(
            saved=[(Path(path), which) for report in done for path, which in report["saved"]],
            failed=[failure for report in done for failure in report["failed"]],
            seen=sum(report["seen"] for report in done),
        )

    return race


@pytest.fixture(scope="session")
def suffixes() -> Callable[[Path], dict[str, list[int]]]:
    """Return a function that lists the suffixes of each name in a directory; 0 is the bare name."""

    def suffixes(root: Path) -> dict[str, list[int]]:
        taken: dict[str, list[int]] = {}
        for path in root.iterdir():
            match = SUFFIX.fullmatch(path.name)
            assert match is not None, path
            taken.setdefault(match[1], []).append(int(match[2] or 0))
        return {name: sorted(numbers) for name, numbers in taken.items()}

    return suffixes
