"""The installed package: its imports, version, names and types."""

from __future__ import annotations

import importlib.metadata

import pytest

import llenergymeasure
from llenergymeasure import _store
from support.processes import run_code


def test_import_package_loads_no_optional_and_no_cli_package() -> None:
    heavy = ["typer", "rich", "click", "platformdirs", "pyarrow", "pandas", "polars", "numpy", "duckdb"]
    code = f"import sys, llenergymeasure; print([name for name in {heavy} if name in sys.modules])"
    done = run_code(code, check=True)
    assert done.stdout.strip() == "[]"


def test_first_use_loads_no_slow_module_of_python() -> None:
    slow = ["subprocess", "logging", "html", "difflib", "unittest", "asyncio", "tempfile"]
    code = (
        "import sys, llenergymeasure; llenergymeasure.ExperimentResult; llenergymeasure.ResultStore; "
        f"print([name for name in {slow} if name in sys.modules])"
    )
    assert run_code(code, check=True).stdout.strip() == "[]"


def test_import_extension_has_the_version_of_the_package() -> None:
    installed = importlib.metadata.version("llenergymeasure-store")
    assert llenergymeasure.__version__ == installed == _store.VERSION


def test_import_every_public_name_succeeds() -> None:
    for name in llenergymeasure.__all__:
        assert getattr(llenergymeasure, name) is not None
    assert set(llenergymeasure.__all__) <= set(dir(llenergymeasure))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = llenergymeasure.nothing  # type: ignore[attr-defined]


def test_install_includes_the_types() -> None:
    files = importlib.metadata.files("llenergymeasure-store")
    assert files is not None
    assert {"llenergymeasure/py.typed", "llenergymeasure/_store.pyi"} <= {str(file) for file in files} or any(
        str(file).endswith(".pth") for file in files
    )
