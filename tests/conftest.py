"""What every test may use: results to save, and the real measurements where they are present."""

from __future__ import annotations

import os
import sysconfig
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import llenergymeasure
from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Test on a memory disk as on any other: its one warning would fail whichever test comes first."""
    os.environ.setdefault("LLEM_NO_DURABILITY_WARNING", "1")


def pytest_sessionstart() -> None:
    """Refuse to test the source tree where the installed wheel was asked for."""
    package = Path(llenergymeasure.__file__).resolve()
    purelib = Path(sysconfig.get_path("platlib")).resolve()
    if os.environ.get("LLEM_TEST_INSTALLED") and purelib not in package.parents:
        pytest.exit(f"the installed wheel is to be tested, but {package} was imported", returncode=2)


@pytest.fixture(scope="session")
def make_result() -> Callable[..., ExperimentResult]:
    """Build a result from its required fields and whatever a test changes."""

    def make(**changes: Any) -> ExperimentResult:
        fields: dict[str, Any] = {
            "experiment_id": "experiment-1",
            "measurement_config_hash": "0123456789abcdef",
            "measurement_methodology": "total",
            "total_tokens": 1000,
            "total_energy_j": 250.5,
            "total_inference_time_sec": 10.0,
            "avg_tokens_per_second": 100.0,
            "avg_energy_per_token_j": 0.2505,
            "total_flops": 1e12,
            "start_time": datetime(2026, 2, 18, 14, 30),  # noqa: DTZ001 - naive times occur
            "end_time": datetime(2026, 2, 18, 14, 30, 10),  # noqa: DTZ001
            "effective_config": {"model": "gpt2", "backend": "pytorch"},
        }
        return ExperimentResult(**(fields | changes))

    return make


@pytest.fixture
def result(make_result: Callable[..., ExperimentResult]) -> ExperimentResult:
    """Build a small result."""
    return make_result()


@pytest.fixture(scope="session")
def data() -> Path:
    """Find the real measurements, which lie beside the project where they are present."""
    path = Path(os.environ.get("LLEM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real measurements at {path}")
    return path
