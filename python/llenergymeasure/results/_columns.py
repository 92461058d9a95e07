"""The columns of a table of results: derived from the models, which are the one source of their types."""

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
    """It lies in a list of objects, so that each value is a list; only read where it is named."""


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
def RECORD_SCHEMA() -> str:  # noqa: N802 - a constant that is made at its first use
    """Return the fields of a record, for the extension."""
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
    """Return the columns of a table of everything, `effective_config` for all that are in it."""
    return [
        PATH,
        *(column.name for column in _known().values() if not column.listed),
        HAS_TIMESERIES,
        SAVED_AT,
    ]


def find_columns(names: str | Iterable[str]) -> list[str]:
    """Return the columns that names stand for: an object's stands for all that are in it.

    Raises:
        ValueError: There is no such column; the message says what comes close.
        TypeError: A name is no string.
    """
    found: dict[str, None] = {}
    for name in check_names(names):
        found |= dict.fromkeys(_stands_for(name))
    for above in [name for name in found if kind_of(name) == "json"]:
        for name in found:
            if name.startswith(f"{above}."):
                raise ValueError(
                    f"{above} and {name} cannot be read in one scan: the second is within the first"
                )
    return list(found)


def check_scalar(name: str) -> None:
    """Refuse a column that no condition is about.

    Raises:
        ValueError: There is no such column, or it holds more than one value.
    """
    names = _stands_for(name)
    if names != [name]:
        raise ValueError(f"{name} is an object, and a condition is about one value in it, such as {names[0]}")
    column = _known().get(name)
    if column is not None and (column.listed or column.kind in ("floats", "texts", "json", "config")):
        raise ValueError(f"{name} holds lists or JSON, which a condition does not compare")


def check_names(names: str | Iterable[str]) -> list[str]:
    """Return the names of columns, each once.

    Raises:
        TypeError: They are no list, or one of them is no string.
    """
    if isinstance(names, str):
        raise TypeError(f"columns is a list of names; to read one, say [{names!r}]")
    listed = list(names)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"the name of a column is a string, not {type(name).__name__}")
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
    """Return what a column holds; None where the schema does not say."""
    if name in (PATH, HAS_TIMESERIES, SAVED_AT):
        return {PATH: "text", HAS_TIMESERIES: "bool", SAVED_AT: "time"}[name]
    column = _known().get(name)
    return column.kind if column is not None else None
