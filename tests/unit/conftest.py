"""Strategies that draw models of the schema, and every reader in its own process."""

from __future__ import annotations

import gc
import json
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, Union
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from llenergymeasure import ExperimentResult, ResultStore
from support.processes import HANG, run_script, store_threads, wait_until

# A busy machine draws and runs examples slowly.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

DIGITS = 10**4299 - 1
finite = st.floats(allow_nan=False)
integers = st.integers() | st.integers(-DIGITS, DIGITS)
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
odd_offsets = st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
zones: st.SearchStrategy[Any] = st.sampled_from(
    [None, ZoneInfo("Europe/Paris"), ZoneInfo("America/St_Johns")]
)
times = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - naive bounds: zones are drawn separately
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=zones | offsets | odd_offsets,
)
json_values = st.recursive(
    st.none() | st.booleans() | integers | finite | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one case a kind
    """Draw values that an annotation of the schema admits."""
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
    """Draw models of a class, sometimes without an optional field."""
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


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Run a script in its own process, which is killed when it hangs; return the text that it prints.

    It starts with a `result`, a `store` below `tmp_path`, and some imports.
    """
    head = f"""
    import faulthandler, os, signal, sys, threading, traceback
    from llenergymeasure import BulkSaveError, ExperimentResult, ResultStore
    from support.results import make_result

    faulthandler.dump_traceback_later({HANG}, exit=True)
    result = make_result()
    store = ResultStore({str(tmp_path / "out")!r})
    """

    def run(text: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(head) + textwrap.dedent(text))
        done = run_script(path)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture
def put(tmp_path: Path, make_result: Callable[..., ExperimentResult]) -> Callable[..., Path]:
    """Write a record, of changed fields or of a given text, into its own directory."""

    def put(name: str, text: str | None = None, **changes: Any) -> Path:
        place = tmp_path / name
        place.mkdir(parents=True, exist_ok=True)
        record = place / "result.json"
        record.write_text(make_result(**changes).model_dump_json() if text is None else text)
        return record

    return put


@pytest.fixture
def raw(make_result: Callable[..., ExperimentResult]) -> Callable[..., str]:
    """Return the text of a record with changed fields, which the schema may not admit."""

    def raw(**changes: Any) -> str:
        fields = json.loads(make_result().model_dump_json())
        return json.dumps({key: value for key, value in (fields | changes).items() if value is not ...})

    return raw


@pytest.fixture
def text(result: ExperimentResult) -> str:
    """Return the text of a record."""
    return result.model_dump_json()


@pytest.fixture
def plant(tmp_path: Path, text: str) -> Callable[..., None]:
    """Write a record, or other bytes, into each of several directories."""

    def plant(*names: str, content: bytes | None = None) -> None:
        for name in names:
            place = tmp_path / name
            place.mkdir(parents=True, exist_ok=True)
            (place / "result.json").write_bytes(text.encode() if content is None else content)

    return plant


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Return a store whose root does not exist yet."""
    return ResultStore(tmp_path / "out")


@pytest.fixture
def no_thread_survives() -> Iterator[None]:
    """Check that the threads of every writer end with its test."""
    yield
    gc.collect()
    wait_until(lambda: store_threads() == [])


@pytest.fixture
def dirty(tmp_path: Path, result: ExperimentResult) -> ResultStore:
    """Return a store of 300 records, of which only number 250 is invalid."""
    for number in range(300):
        (tmp_path / "tree" / f"{number:03}").mkdir(parents=True)
        text = "" if number == 250 else result.model_dump_json()
        (tmp_path / "tree" / f"{number:03}" / "result.json").write_text(text)
    return ResultStore(tmp_path / "tree")


READERS = (
    *("load", "load_result", "from_json", "stored", "read_timeseries", "stored_timeseries", "llem_show"),
    *(
        "load_all",
        "load_all_skip",
        "scan",
        "scan_all",
        "scan_skip",
        "scan_collect",
        "scan_all_collect",
        "scan_key_collect",
    ),
    *("scan_timeseries", "scan_timeseries_skip", "scan_timeseries_collect", "completed", "verify"),
    *("verify_deep", "clean", "repr", "llem_ls", "llem_export", "llem_verify"),
)


@pytest.fixture(scope="session")
def read_by_all() -> Callable[..., dict[str, Any]]:
    """Run every reader on a tree with little memory; return the answers of `readers.py` by reader."""

    def read(root: Path, *wanted: str, mebibytes: int = 1024, **environment: str) -> dict[str, Any]:
        script = Path(__file__).with_name("readers.py")
        run = run_script(script, root, str(mebibytes), *(wanted or READERS), environment=environment)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        # The last reader that began is the one that ended the process.
        assert run.returncode == 0, (run.returncode, lines[-1:], run.stderr)
        assert "panicked" not in run.stderr, run.stderr
        return {line["reader"]: line["answer"] for line in lines if "reader" in line}

    return read
