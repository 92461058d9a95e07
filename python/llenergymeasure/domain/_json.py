"""Conversion of any value to the JSON value on disk, so that memory and disk never differ."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

from pydantic_core import to_jsonable_python

from llenergymeasure._escape import escape
from llenergymeasure.domain._protocols import as_list, as_mapping, is_store_path, reason_of

MAX_DEPTH = 128
"""Nested lists and objects in one value, at most. pydantic's parser reads 200 levels of a record."""

MAX_DIGITS = 4299
"""Digits of an integer, at most. pydantic reads 4300, and some versions count the sign."""

_INT_LIMIT = 10**MAX_DIGITS
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_LONGEST_PLACE = 80
"""Characters of a place in an error; that of a value that contains itself would be longer."""


class NormalObject(dict[str, Any]):
    """A JSON object that `to_json_object` returned, so that it need not do so again."""


def to_json_object(value: object) -> object:
    """Normalise a configuration to a JSON object; return any other value for pydantic to reject.

    A configuration is a mapping, a dataclass, a namespace or a pydantic model.

    Raises:
        ValueError: JSON cannot represent something in it; the message names the place and the fault.
    """
    if type(value) is NormalObject:
        return value
    try:
        members = as_mapping(value)
    except Exception as error:  # noqa: BLE001 - a foreign type may raise anything
        raise _unreadable("", value, error) from None
    return value if members is None else _normalise(members, "", 0)


def to_json_value(value: object) -> object:
    """Normalise any value to a JSON value.

    Sequences, sets and arrays become lists (sets are sorted), paths and UUIDs become strings, dates become
    ISO 8601, enums become their values, non-finite floats become "NaN", "Infinity" and "-Infinity", and
    mappings, models, dataclasses and namespaces become objects. Keys that are numbers, booleans or None
    become the text that `json.dumps` writes for them.

    Raises:
        ValueError: JSON cannot represent the value; the message names the place and the fault.
    """
    return _normalise(value, "", 0)


def _normalise(value: Any, where: str, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911 - one case per type
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, where)
    if value is None or kind is bool:
        return value
    if kind is int:
        if -_INT_LIMIT < value < _INT_LIMIT:
            return value
        raise _unrepresentable(where, f"is an integer of more than {MAX_DIGITS} digits")
    if kind is float:
        return value if math.isfinite(value) else _NON_FINITE.get(value, "NaN")
    if depth >= MAX_DEPTH:
        raise _unrepresentable(where, f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
    if kind is dict:
        return _object(value, where, depth)
    if kind in (list, tuple):
        return [_normalise(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, AbstractSet):
        items = [_normalise(item, where, depth + 1) for item in value]
        return sorted(items, key=lambda item: (type(item).__name__, str(item)))
    simple = _simplify(value, where)
    if type(simple) is kind:
        raise _unrepresentable(where, f"is a {kind.__name__}, which JSON cannot represent")
    return _normalise(simple, where, depth)


def _object(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    normal = {}
    for key, item in value.items():
        name = key if type(key) is str else _key(key, where)
        if not name.isascii():
            _text(name, where)
        if name in normal:
            raise _unrepresentable(where, f"has the key {name!r} twice, once as {type(key).__name__}")
        normal[name] = _normalise(item, f"{where}.{name}" if where else name, depth + 1)
    return normal


def _key(key: object, where: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, os.PathLike):
        return os.fsdecode(_simplify(key, where))
    try:
        normal = _normalise(key, where, 0)
    except ValueError:
        normal = key
    if isinstance(normal, str):
        return normal
    if normal is None or isinstance(normal, (bool, int, float)):
        return json.dumps(normal)
    raise _unrepresentable(
        where, f"has a key of type {type(key).__name__}, but JSON keys are strings; convert it to a string"
    )


def _text(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _unrepresentable(where, "has a lone surrogate, which UTF-8 cannot encode") from None
    return value


def _simplify(value: Any, where: str) -> Any:  # noqa: ANN401, C901, PLR0911 - one case per type
    """Convert a value one step closer to a JSON type."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, os.PathLike):
        try:
            return os.fspath(value)
        except Exception as error:  # noqa: BLE001 - a foreign type may raise anything
            raise _unreadable(where, value, error) from None
    if is_store_path(value):
        return str(value)
    if isinstance(value, Iterator):
        # The hash of a configuration and its result would each get a part of the items.
        raise _unrepresentable(
            where, f"is a {type(value).__name__}, which can be read only once; make it a list"
        )
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, (list, tuple, Mapping)):
        return _by_protocol(value, where)
    try:
        # Scalars and arrays of numpy and torch; `tolist` would turn numpy's dates into integers.
        if hasattr(value, "tolist") and not isinstance(value, type):
            kind = getattr(getattr(value, "dtype", None), "kind", "")
            return (value.astype(str) if kind == "M" else value).tolist() if kind != "m" else value
        return to_jsonable_python(value, inf_nan_mode="strings")
    except Exception:  # noqa: BLE001 - a foreign type may raise anything
        return _by_protocol(value, where)


def _by_protocol(value: object, where: str) -> Any:  # noqa: ANN401
    """Convert a value that neither numpy nor pydantic converts, or with such a value in it."""
    try:
        members = None if isinstance(value, (list, tuple)) else as_mapping(value)
        simple = as_list(value) if members is None else dict(members)
    except Exception as error:  # noqa: BLE001 - as above
        raise _unreadable(where, value, error) from None
    if simple is None:
        raise _unrepresentable(where, f"is a {type(value).__name__}, which JSON cannot represent")
    return simple


def _unreadable(where: str, value: object, error: Exception) -> ValueError:
    return _unrepresentable(where, f"is a {type(value).__name__} that cannot be read: {reason_of(error)}")


def _unrepresentable(where: str, what: str) -> ValueError:
    if len(where) > _LONGEST_PLACE:
        where = f"{where[: _LONGEST_PLACE // 2]}...{where[-_LONGEST_PLACE // 2 :]}"
    return ValueError(escape(f"{where or 'the value'} {what}"))
