"""Fixtures of all tests: results to save, and real measurements where they are present."""

from __future__ import annotations

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import llenergymeasure
from llenergymeasure import ExperimentResult
from support import optional, processes, results

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Silence the warning about memory disks, and let worker scripts import `support`."""
    processes.export_support()
    os.environ.setdefault("LLEM_NO_DURABILITY_WARNING", "1")
    # The user's own cache is none of the tests' business; each reader of a test begins without one.
    os.environ.setdefault("LLEM_CACHE_DIR", tempfile.mkdtemp(prefix="llem-cache-"))


def pytest_sessionstart() -> None:
    """Refuse to test the source tree when the installed wheel is required."""
    package = Path(llenergymeasure.__file__).resolve()
    purelib = Path(sysconfig.get_path("platlib")).resolve()
    if os.environ.get("LLEM_TEST_INSTALLED") and purelib not in package.parents:
        message = (
            f"expected the installed wheel, got {package}; install the wheel, or unset LLEM_TEST_INSTALLED"
        )
        pytest.exit(message, returncode=2)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose optional packages are missing."""
    optional.check(item)


@pytest.fixture(scope="session")
def make_result() -> Callable[..., ExperimentResult]:
    """Return the function that builds a result from its required fields and the changes of a test."""
    return results.make_result


@pytest.fixture
def result(make_result: Callable[..., ExperimentResult]) -> ExperimentResult:
    """Return a small result."""
    return make_result()


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the directory of real measurements, next to the project unless LLEM_TEST_DATA names it."""
    path = Path(os.environ.get("LLEM_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no real measurements at {path}")
    return path
