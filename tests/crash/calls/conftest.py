"""Fixtures of operations whose calls fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.operations import OPERATIONS, Operation, Runs
from support.saver import Saver


@pytest.fixture(scope="session", params=OPERATIONS, ids=str)
def operation(request: pytest.FixtureRequest) -> Operation:
    """Return each way to save, in turn."""
    chosen: Operation = request.param
    return chosen


@pytest.fixture(scope="session")
def runs(
    traced: Saver,
    result: ExperimentResult,
    parquet: Path,
    saver_of: Callable[[str], Saver],
    tmp_path_factory: pytest.TempPathFactory,
) -> Runs:
    """Return operations whose calls can fail."""
    assert traced
    return Runs(saver_of("calls/worker.py"), result, parquet, tmp_path_factory.mktemp("runs"))
