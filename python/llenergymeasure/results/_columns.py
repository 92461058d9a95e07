"""The columns of a table of results, derived from the models."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from llenergymeasure import _store
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.failure import FailedRun

__all__ = [
    "CONFIG",
    "FAILURE_CHECK",
    "FAILURE_SCHEMA",
    "FAILURE_SHORT_NAMES",
    "PATH",
    "RECORD_CHECK",
    "RECORD_SCHEMA",
    "RECORD_SHA256",
    "SHORT_NAMES",
    "all_columns",
    "check_names",
    "check_types",
    "find_columns",
    "kind_of",
]

PATH, CONFIG = "path", "effective_config"
IMPORTED_FROM = "imported_from"
"""The key of a configuration for the data of an import that no field holds; it is not a setting."""
RECORD_SHA256 = "record_sha256"
"""The sha256 of a record's bytes, which no table has unless it is asked for."""

SHORT_NAMES = {
    "model": "effective_config.model",
    "batch_size": "effective_config.batch_size",
    "tokens": "total_tokens",
    "energy": "total_energy_j",
    "J/token": "avg_energy_per_token_j",
    "tokens/s": "avg_tokens_per_second",
    "time": "total_inference_time_sec",
    "when": "start_time",
    "when.utc": "start_time.utc",
    "warnings": "measurement_warnings",
    "id": "experiment_id",
    "hash": "measurement_config_hash",
    "method": "measurement_methodology",
    "gpu": "environment_snapshot.hardware.gpu.name",
    "config": CONFIG,
}
"""Short names of columns; `config.KEY` is another one, of `effective_config.KEY`."""

FAILURE_SHORT_NAMES = {
    "model": "effective_config.model",
    "batch_size": "effective_config.batch_size",
    "error": "error_type",
    "when": "end_time",
    "when.utc": "end_time.utc",
    "hash": "measurement_config_hash",
    "config": CONFIG,
}
"""Short names of columns of failures."""

_SCALARS: dict[Any, str] = {bool: "bool", int: "int", float: "float", str: "text", datetime: "time"}


def _fields(model: type[BaseModel]) -> list[dict[str, Any]]:
    return [_field(name, info) for name, info in model.model_fields.items()]


def _field(name: str, info: FieldInfo) -> dict[str, Any]:
    annotation, nullable = _without_none(info.annotation)
    field: dict[str, Any] = {"name": name, "nullable": nullable, **_kind(annotation)}
    for limit in info.metadata:
        if (least := getattr(limit, "ge", None)) is not None:
            field["minimum"] = least
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
        return {"kind": "text", "choices": list(arguments)} if origin is Literal else {"kind": "config"}
    if origin in (list, tuple):
        item = _kind(arguments[0])
        if item["kind"] == "object":
            return {"kind": "objects", "fields": item["fields"]}
        kind = {"kind": {"float": "floats", "text": "texts"}[item["kind"]]}
        return kind | ({"length": len(arguments)} if origin is tuple else {})
    return {"kind": _SCALARS.get(annotation, "json")}


@cache
def RECORD_SCHEMA() -> str:  # noqa: N802 - a constant, built at its first use
    """Return the fields of a record and the short names as JSON, for the extension."""
    return json.dumps({"fields": _fields(ExperimentResult), "aliases": list(SHORT_NAMES.items())})


@cache
def RECORD_CHECK() -> _store.RecordCheck:  # noqa: N802
    """Return the check whether bytes are a record, which all readers share."""
    return _store.RecordCheck(RECORD_SCHEMA())


@cache
def FAILURE_SCHEMA() -> str:  # noqa: N802
    """Return the fields of a failure and the short names as JSON, for the extension."""
    return json.dumps({"fields": _fields(FailedRun), "aliases": list(FAILURE_SHORT_NAMES.items())})


@cache
def FAILURE_CHECK() -> _store.RecordCheck:  # noqa: N802
    """Return the check whether bytes are a failure."""
    return _store.RecordCheck(FAILURE_SCHEMA())


@cache
def _known() -> dict[str, tuple[str, bool]]:
    """Return the type of each column, and True if it lies in a list of objects."""
    return {name: (kind, listed) for name, kind, listed in _store.columns(RECORD_SCHEMA())}


def all_columns() -> list[str]:
    """Return the columns of a full table; `effective_config` stands for all of its keys."""
    return [name for name, (_, listed) in _known().items() if not listed and name != RECORD_SHA256]


def find_columns(names: Iterable[str]) -> list[str]:
    """Return the full names of columns; the name of an object stands for all of its columns.

    Raises:
        ValueError: A column does not exist; the message has similar names.
        TypeError: A name is not a string.
    """
    return _store.find_columns(RECORD_SCHEMA(), check_names(names))


def check_names(names: str | Iterable[str], parameter: str = "columns") -> list[str]:
    """Return the names of columns without duplicates; `parameter` is the argument's name in an error.

    Raises:
        TypeError: `names` is not a list of strings.
    """
    if isinstance(names, str):
        raise TypeError(f"{parameter} expects a list of names, got a string; pass [{names!r}]")
    listed = list(names)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"{parameter} expects strings, got {type(name).__name__}")
    # A lone surrogate is in no name, and the extension accepts only Unicode.
    return list(dict.fromkeys(name.encode(errors="backslashreplace").decode() for name in listed))


def check_types(schema: object) -> tuple[tuple[str, str], ...]:
    """Return the types of keys of the configuration, as pairs.

    Raises:
        TypeError: `schema` is not a mapping of strings.
    """
    if schema is None:
        return ()
    if not isinstance(schema, Mapping):
        raise TypeError(f"schema expects a mapping of names to types, got {type(schema).__name__}")
    for name, kind in schema.items():
        if not isinstance(kind, str):
            got = type(kind).__name__
            raise TypeError(f"schema expects the name of a type for {name!r}, such as 'int64', got {got}")
    return tuple(zip(check_names(schema, "schema"), schema.values(), strict=True))


def kind_of(name: str) -> str | None:
    """Return the type of a column, such as `"time"` or `"instant"`; None if it is unknown."""
    kind, _ = _known().get(SHORT_NAMES.get(name, name), (None, False))
    return kind
