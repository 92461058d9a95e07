"""The columns of a table of results, derived from the models."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from llenergymeasure.domain.experiment import ExperimentResult

__all__ = [
    "CONFIG",
    "RECORD_SCHEMA",
    "Column",
    "all_columns",
    "check_names",
    "check_scalar",
    "find_columns",
    "kind_of",
]

PATH, HAS_TIMESERIES, SAVED_AT = "path", "has_timeseries", "saved_at"
CONFIG = "effective_config"
UTC = ".utc"

_SCALARS: dict[Any, str] = {bool: "bool", int: "int", float: "float", str: "text", datetime: "time"}


class Column(NamedTuple):
    """A column that the schema knows."""

    name: str
    kind: str
    """`"bool"`, `"int"`, `"float"`, `"text"`, `"time"`, `"floats"`, `"texts"`, `"json"` or `"config"`."""
    listed: bool
    """True in a list of objects: each value is a list, and a scan reads it only by its name."""


def _fields(model: type[BaseModel]) -> list[dict[str, Any]]:
    return [_field(name, info) for name, info in model.model_fields.items()]


def _field(name: str, info: FieldInfo) -> dict[str, Any]:
    annotation, nullable = _without_none(info.annotation)
    field: dict[str, Any] = {"name": name, "nullable": nullable, **_kind(annotation)}
    if info.default_factory is not None:
        made = info.default_factory()  # type: ignore[call-arg]
        field["default"] = {} if isinstance(made, BaseModel) else made
    elif info.default is not PydanticUndefined:
        field["default"] = info.default
    return field


def _without_none(annotation: Any) -> tuple[Any, bool]:  # noqa: ANN401 - any annotation
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    (inner,) = (argument for argument in get_args(annotation) if argument is not type(None))
    return inner, True


def _kind(annotation: Any) -> dict[str, Any]:  # noqa: ANN401
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"kind": "object", "fields": _fields(annotation)}
    if origin in (Literal, dict):
        return {"kind": "text" if origin is Literal else "config"}
    if origin in (list, tuple):
        item = _kind(arguments[0])
        if item["kind"] == "object":
            return {"kind": "objects", "fields": item["fields"]}
        return {"kind": {"float": "floats", "text": "texts"}.get(item["kind"], "json")}
    return {"kind": _SCALARS.get(annotation, "json")}


@cache
def RECORD_SCHEMA() -> str:  # noqa: N802 - a constant, built at its first use
    """Return the fields of a record as JSON, for the extension."""
    return json.dumps(_fields(ExperimentResult))


@cache
def _known() -> dict[str, Column]:
    """Return every column that the schema knows, in the order of the fields, by name."""
    return {column.name: column for column in _walk(json.loads(RECORD_SCHEMA()), "", listed=False)}


def _walk(fields: list[dict[str, Any]], above: str, *, listed: bool) -> Iterator[Column]:
    for field in fields:
        name, kind = above + field["name"], field["kind"]
        if kind == "object":
            yield from _walk(field["fields"], f"{name}.", listed=listed)
        elif kind == "objects":
            yield Column(name, "json", listed)
            yield from _walk(field["fields"], f"{name}.", listed=True)
        elif listed and kind in ("floats", "texts", "config"):
            yield Column(name, "json", listed)
        else:
            yield Column(name, kind, listed)
            if kind == "time" and not listed:
                yield Column(name + UTC, kind, listed)


def all_columns() -> list[str]:
    """Return the columns of a full table; `effective_config` stands for all of its keys."""
    return [
        PATH,
        *(column.name for column in _known().values() if not column.listed),
        HAS_TIMESERIES,
        SAVED_AT,
    ]


def find_columns(names: str | Iterable[str]) -> list[str]:
    """Return the columns for names; the name of an object stands for all of its columns.

    Raises:
        ValueError: A column does not exist; the message has similar names.
        TypeError: A name is not a string.
    """
    found: dict[str, None] = {}
    for name in check_names(names):
        found |= dict.fromkeys(_stands_for(name))
    for above in [name for name in found if kind_of(name) == "json"]:
        for name in found:
            if name.startswith(f"{above}."):
                raise ValueError(
                    f"{above} and {name} cannot be in one scan: the first contains the second; choose one"
                )
    return list(found)


def check_scalar(name: str) -> None:
    """Reject a column that a condition cannot compare.

    Raises:
        ValueError: The column does not exist, or is an object.
    """
    names = _stands_for(name)
    if names != [name]:
        raise ValueError(
            f"a condition expects a column of single values, got the object {name}; use one of its columns, "
            f"such as {names[0]}"
        )
    column = _known().get(name)
    if column is not None and (column.listed or column.kind in ("floats", "texts", "json", "config")):
        raise ValueError(f"{name} holds lists or JSON, which a condition does not compare")


def check_names(names: str | Iterable[str]) -> list[str]:
    """Return the names of columns without duplicates.

    Raises:
        TypeError: `names` is not a list of strings.
    """
    if isinstance(names, str):
        raise TypeError(f"columns expects a list of names, got a string; pass [{names!r}]")
    listed = list(names)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"columns expects strings, got {type(name).__name__}")
    return list(dict.fromkeys(listed))


def _stands_for(name: str) -> list[str]:
    known = _known()
    if name in known or name in (PATH, HAS_TIMESERIES, SAVED_AT) or name.startswith(f"{CONFIG}."):
        return [name]
    below = [other.name for other in known.values() if other.name.startswith(f"{name}.")]
    if below:
        return [other for other in below if not known[other].listed or _is_listed(name)]
    close = difflib.get_close_matches(name, list(dict.fromkeys([*all_columns(), *known])), n=3)
    close += [other for other in known if other.endswith(f".{name}") and other not in close]
    hint = f"; there is {', '.join(close[:3])}" if close else ""
    raise ValueError(f"there is no column {name!r}{hint}")


def _is_listed(name: str) -> bool:
    return any(name.startswith(f"{other.name}.") for other in _known().values() if other.kind == "json")


def kind_of(name: str) -> str | None:
    """Return the kind of a column; None if the schema does not have it."""
    if name in (PATH, HAS_TIMESERIES, SAVED_AT):
        return {PATH: "text", HAS_TIMESERIES: "bool", SAVED_AT: "time"}[name]
    column = _known().get(name)
    return column.kind if column is not None else None
