"""What hypothesis draws the schema's models from."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
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
