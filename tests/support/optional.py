"""Optional packages, which `make test` does not install and `make extra` requires."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

import pytest

REQUIRED = bool(os.environ.get("LLEM_TEST_OPTIONAL"))


def needs(*packages: str) -> pytest.MarkDecorator:
    """Mark a test that needs optional packages, so that `make extra` selects it."""
    return pytest.mark.optional(*packages)


def check(item: pytest.Item) -> None:
    """Skip a test whose optional packages are missing, or fail it where they are required."""
    for mark in item.iter_markers("optional"):
        for package in mark.args:
            if find_spec(package) is None:
                stop(package)


def load(name: str) -> Any:
    """Return a module, or a placeholder whose calls skip the test."""
    if REQUIRED or find_spec(name.partition(".")[0]):
        return import_module(name)
    return _Absent(name)


def stop(package: str) -> NoReturn:
    """Skip the running test, or fail it where optional packages are required."""
    if REQUIRED:
        pytest.fail(f"{package} is not installed")
    pytest.skip(f"needs {package}, which `make extra` installs")


class _Absent:
    """A module that is not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Absent:
        return self

    def __call__(self, *_: object, **__: object) -> NoReturn:
        stop(self._name)
