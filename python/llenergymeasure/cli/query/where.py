"""Conditions as a user types them: `backend=vllm`, `energy>1e3`."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, cast

from llenergymeasure.cli.query.columns import column_of
from llenergymeasure.results._columns import CONFIG, PATH, kind_of
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llenergymeasure.results.types import Condition

WHERE_HELP = (
    "Select results by a condition: COLUMN, one of = == != < <= > >= ~, and a value; ~ finds a text within "
    "the value, ignoring case. All conditions must hold if repeated. null matches an absent value."
)
"""The help text of `--where`."""

_EXPRESSION = re.compile(r"\s*([^=!<>~]+?)\s*(==|!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_TRUTHS = {"true": True, "false": False}


def conditions(root: str, expressions: Iterable[str], store: ResultStore | None = None) -> list[Condition]:
    """Return the conditions of a scan for typed expressions.

    A value has the type of its column. A key of `effective_config` can hold any type, so its values match as
    the JSON literal or as the text.

    Args:
        root: The root of the store as the user typed it.
        expressions: The expressions.
        store: The store; only `~` reads it.

    Raises:
        ValueError: An expression has no operator, its column does not exist, or its value has another type.
    """
    store = store or ResultStore(root)
    return [_condition(root, store, expression) for expression in expressions]


def _condition(root: str, store: ResultStore, expression: str) -> Condition:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ValueError(
            f"--where expects a column, one of = == != < <= > >= ~, and a value; got {expression!r}"
        )
    name, operator, text = match.groups()
    column = column_of(name)
    if column == PATH:  # tables show it below the directory, the store without it
        text = text.removeprefix(os.path.join(root, ""))  # noqa: PTH118 - Path would normalise the text
    if operator == "~":
        return column, "in", _holding(store, column, text)
    operator = "==" if operator == "=" else operator
    values = _values(column, text)
    if len(values) == 1 or operator not in ("==", "!="):
        return cast("Condition", (column, operator, values[0]))
    return column, "in" if operator == "==" else "not in", values


def _values(column: str, text: str) -> list[Any]:
    """Return the possible meanings of a typed value: one, or two for a configuration key."""
    if text == "null":
        return [None]
    if column.startswith(f"{CONFIG}."):
        literal = _literal(text)
        return [literal] if isinstance(literal, str) else [literal, text]
    kind = kind_of(column)
    if kind in ("int", "float"):
        return [_number(column, text, kind)]
    if kind == "bool":
        if text not in _TRUTHS:
            raise ValueError(f"{column} expects true, false or null, got {text!r}")
        return [_TRUTHS[text]]
    quoted = _literal(text) if kind == "text" else text
    return [quoted if isinstance(quoted, str) else text]


def _number(column: str, text: str, kind: str) -> int | float:
    try:
        return int(text) if kind == "int" and _INTEGER.fullmatch(text) else float(text)
    except ValueError:
        raise ValueError(f"{column} expects a number, got {text!r}") from None


def _literal(text: str) -> object:
    """Return the value of a text that is a JSON literal, else the text."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (str, int, float)) else text


def _holding(store: ResultStore, column: str, part: str) -> list[str]:
    """Return the values of a column that contain a text."""
    seen = {
        value
        for batch in store.scan([column], on_error="collect")
        for values in batch.to_pydict().values()
        for value in values
        if isinstance(value, (str, type(None)))
    }
    if not seen and kind_of(column) != "text":
        raise ValueError(f"~ expects a column of text, got {column}; compare it with = < >")
    return sorted(value for value in seen if value is not None and part.casefold() in value.casefold())
