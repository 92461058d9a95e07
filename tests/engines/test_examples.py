"""The examples of Ray Data and Iceberg run, and read each result once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from support.optional import needs
from support.results import make_result

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a store of 20 results, of which each second one is of vLLM."""
    backends = ("vllm", "pytorch")
    results = [make_result(backend=backends[n % 2], total_energy_j=float(n)) for n in range(20)]
    ResultStore(tmp_path / "store").save_many(results, durable=False)
    return tmp_path / "store"


def run(name: str, *arguments: Path) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=540, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@needs("pyiceberg", "sqlalchemy")
def test_run_iceberg_again_appends_each_result_once(root: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse"
    assert run("iceberg.py", root, warehouse) == ["20 rows appended", "20 rows in the table"]
    ResultStore(root).save(make_result(), durable=False)
    assert run("iceberg.py", root, warehouse) == ["1 rows appended", "21 rows in the table"]


@needs("ray")
def test_run_ray_data_reads_each_result_once(root: Path) -> None:
    assert run("ray_data.py", root)[-1] == "10 results of vllm, 90.0 J"
