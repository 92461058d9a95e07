"""Recognition of configurations and their containers by protocol, not by a list of types."""

from __future__ import annotations

import dataclasses
import sys
from collections import UserString
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel


def as_mapping(value: Any) -> Mapping[Any, Any] | None:  # noqa: ANN401 - any value
    """Return the members of a value that stands for an object, or None for any other value.

    Such a value is a mapping, a pydantic model, a dataclass, a namespace, or has `keys` and `__getitem__`,
    as `dict` requires them.
    """
    if isinstance(value, Mapping):
        return value
    members: Any = None
    if isinstance(value, type):
        pass
    elif isinstance(value, BaseModel):
        members = value.model_dump()
    elif dataclasses.is_dataclass(value):
        members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif _is_namespace(value):
        members = vars(value)
    elif hasattr(value, "keys") and hasattr(value, "__getitem__"):
        members = {key: value[key] for key in value.keys()}  # noqa: SIM118 - only `keys` is known to exist
    return members if isinstance(members, Mapping) else None


def is_store_path(value: object) -> bool:
    """Return True for a `StorePath`; there is none before its module is loaded."""
    module = sys.modules.get("llenergymeasure.results.store_path")
    return module is not None and isinstance(value, module.StorePath)


def as_list(value: Any) -> list[Any] | str | None:  # noqa: ANN401 - any value
    """Return the items of a collection, the text of a `UserString`, or None for any other value."""
    if isinstance(value, UserString):
        return value.data
    if isinstance(value, (type, bytes, bytearray)) or not isinstance(value, Collection):
        return None
    return list(value)


def reason_of(error: Exception) -> str:
    """Return the first line of an error's text, or its type."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _is_namespace(value: object) -> bool:
    if isinstance(value, SimpleNamespace):
        return True
    # A value of argparse cannot exist before its import, which `import llenergymeasure` need not pay for.
    argparse = sys.modules.get("argparse")
    return argparse is not None and isinstance(value, argparse.Namespace)
