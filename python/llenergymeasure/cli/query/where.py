"""Conditions as they are typed: `backend=vllm`, `energy>1e3`."""

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

__all__ = ["HELP", "conditions"]

HELP = (
    "Only results of which this holds: COLUMN, one of = == != < <= > >= ~, and a value; ~ looks for a text "
    "within the value, in whatever case. Repeated, all must hold. null is what is not there."
)
"""What a command's help says of `--where`."""

_EXPRESSION = re.compile(r"\s*([^=!<>~]+?)\s*(==|!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_TRUTHS = {"true": True, "false": False}


def conditions(root: str, expressions: Iterable[str]) -> list[Condition]:
    """Return the conditions of a scan that expressions stand for.

    A value has the type of its column. A key of `effective_config` can hold anything: its values equal
    one that is typed if they are the JSON literal or the text.

    Args:
        root: The results, which are looked at for `~` alone.
        expressions: What was typed.

    Raises:
        ValueError: An expression has no operator, its column does not exist, or its value is not of its type.
    """
    return [_condition(root, expression) for expression in expressions]


def _condition(root: str, expression: str) -> Condition:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ValueError(f"--where {expression!r} is not a column, one of = == != < <= > >= ~, and a value")
    name, operator, text = match.groups()
    column = column_of(name)
    if column == PATH:  # shown with the directory before it, and without it in the store
        text = text.removeprefix(os.path.join(root, ""))  # noqa: PTH118 - Path would change what was typed
    if operator == "~":
        return column, "in", _holding(root, column, text)
    operator = "==" if operator == "=" else operator
    values = _values(column, text)
    if len(values) == 1 or operator not in ("==", "!="):
        return cast("Condition", (column, operator, values[0]))
    return column, "in" if operator == "==" else "not in", values


def _values(column: str, text: str) -> list[Any]:
    """Return what a typed value may mean: one thing, or for a key of the configuration two."""
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
            raise ValueError(f"{column} is true, false or null, not {text!r}")
        return [_TRUTHS[text]]
    quoted = _literal(text) if kind == "text" else text
    return [quoted if isinstance(quoted, str) else text]


def _number(column: str, text: str, kind: str) -> int | float:
    try:
        return int(text) if kind == "int" and _INTEGER.fullmatch(text) else float(text)
    except ValueError:
        raise ValueError(f"{column} is a number, and {text!r} is none") from None


def _literal(text: str) -> object:
    """Return the JSON literal that text is, or the text."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (str, int, float)) else text


def _holding(root: str, column: str, part: str) -> list[str]:
    """Return the values of a column that have a text within them."""
    seen = {
        value
        for batch in ResultStore(root).scan([column], on_error="collect")
        for values in batch.to_pydict().values()
        for value in values
        if isinstance(value, (str, type(None)))
    }
    if not seen and kind_of(column) != "text":
        raise ValueError(f"{column} holds no text, which ~ looks into")
    return sorted(value for value in seen if value is not None and part.casefold() in value.casefold())
