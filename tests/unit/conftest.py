"""What hypothesis draws the schema's models from, and every reader in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import typing
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, Union
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from pydantic import BaseModel

DIGITS = 10**4299 - 1
finite = st.floats(allow_nan=False)
integers = st.integers() | st.integers(-DIGITS, DIGITS)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
odd_offsets = st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
zones: st.SearchStrategy[Any] = st.sampled_from(
    [None, ZoneInfo("Europe/Paris"), ZoneInfo("America/St_Johns")]
)
times = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - naive bounds; the zones are drawn apart
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=zones | offsets | odd_offsets,
)
json_values = st.recursive(
    st.none() | st.booleans() | integers | finite | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one case a kind
    """Draw what an annotation of the schema admits."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return values(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return st.one_of([values(one) for one in typing.get_args(annotation)])
    if origin is Literal:
        return st.sampled_from(typing.get_args(annotation))
    if origin is list:
        return st.lists(values(typing.get_args(annotation)[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*(values(one) for one in typing.get_args(annotation)))
    if origin is dict:
        return st.dictionaries(st.text(), json_values, max_size=4)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return draw_models(annotation)
    plain = {
        type(None): st.none(),
        str: st.text(),
        int: integers,
        float: finite,
        bool: st.booleans(),
        datetime: times,
    }
    return json_values if annotation is Any else plain[annotation]


def draw_models(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Draw models of a class, every optional field sometimes left out."""
    hints = typing.get_type_hints(model, include_extras=True)
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        strategy = values(hints[name])
        if name == "schema_version":
            strategy = st.just("2.0")
        if name == "thermal_floor_wait_s":
            strategy = st.floats(0, allow_infinity=True)
        (required if field.is_required() else optional)[name] = strategy
    fields = st.fixed_dictionaries(required, optional=optional)
    return fields.map(lambda drawn: model(**drawn))


@pytest.fixture(scope="session")
def models() -> Callable[[type[BaseModel]], st.SearchStrategy[Any]]:
    """Draw models of a class."""
    return draw_models


@pytest.fixture(scope="session")
def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """Draw objects of JSON values."""
    return st.dictionaries(st.text(), json_values)


READERS = (
    *("load", "load_result", "from_json", "stored", "read_timeseries", "stored_timeseries", "llem_show"),
    *("load_all", "load_all_skip", "scan", "scan_all", "scan_skip", "scan_collect", "scan_all_collect"),
    *("scan_timeseries", "scan_timeseries_skip", "scan_timeseries_collect", "completed", "verify"),
    *("verify_deep", "clean", "repr", "llem_ls", "llem_verify"),
)


@pytest.fixture(scope="session")
def read_by_all() -> Callable[..., dict[str, Any]]:
    """Have every reader read a tree in little memory, and return the answers of `readers.py` by its name."""

    def read(root: Path, *wanted: str, mebibytes: int = 1024, **environment: str) -> dict[str, Any]:
        script = str(Path(__file__).with_name("readers.py"))
        command = [sys.executable, script, str(root), str(mebibytes), *(wanted or READERS)]
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=300, env=os.environ | environment
        )
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        # The last that began is the one that ended the process.
        assert run.returncode == 0, (run.returncode, lines[-1:], run.stderr)
        assert "panicked" not in run.stderr, run.stderr
        return {line["reader"]: line["answer"] for line in lines if "reader" in line}

    return read
