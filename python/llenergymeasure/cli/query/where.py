"""Conditions as a user types them: `backend=vllm`, `energy>1e3`."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from llenergymeasure.cli.query.columns import QUOTED
from llenergymeasure.results._columns import PATH
from llenergymeasure.results._conditions import Typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llenergymeasure.results.types import Condition

WHERE_HELP = (
    "Select results by a condition: COLUMN, one of = == != < <= > >= ~, and a value as the table prints it; "
    "~ finds a text within the value, ignoring case. All conditions must hold if repeated. != selects all "
    "that = does not; null, None and - match an absent value; a value in quotes is a text."
)
"""The help text of `--where`."""

_NAME = rf'(?:{QUOTED}|[^=!<>~"])+?'
_OPERATOR = r"==|!=|<=|>=|=|<|>|~"
_EXPRESSION = re.compile(rf"\s*({_NAME})\s*({_OPERATOR})\s*(.*?)\s*", re.DOTALL)
_SECOND = re.compile(
    rf'(?:{QUOTED}|[^"])*?'
    rf"(?:(?:\s+(and|or)\s+|\s*(&&|\|\|)\s*){_NAME}|\s*([,;&])\s*[A-Za-z_][\w./]*)\s*(?:{_OPERATOR})",
    re.IGNORECASE,
)


def conditions(root: str, expressions: Iterable[str]) -> list[Condition]:
    """Return the conditions of a scan for typed expressions.

    Args:
        root: The root of the store as the user typed it, which may begin a path.
        expressions: The expressions.

    Raises:
        ValueError: An expression has no operator, or it has two conditions.
    """
    return [_condition(root, expression) for expression in expressions]


def _below(prefix: str, text: str) -> str:
    """Return a typed path without a prefix, also in quotes."""
    if text.startswith('"'):
        with suppress(ValueError):
            return json.dumps(json.loads(text).removeprefix(prefix))
    return text.removeprefix(prefix)


def has_second(text: str) -> bool:
    """Return whether a value without quotes seems to have a second condition in it."""
    return _SECOND.match(text) is not None


def _condition(root: str, expression: str) -> Condition:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ValueError(
            f"--where expects a column, one of = == != < <= > >= ~, and a value; got {expression!r}"
        )
    name, operator, text = match.groups()
    second = _SECOND.match(text)
    if second is not None:
        word = next(filter(None, second.groups())).lower()
        raise ValueError(
            f"--where expects one condition, got {expression!r}; "
            + (
                "repeat --where for each, since all must hold"
                if word not in ("or", "||")
                else "run the command for each, since all conditions must hold"
            )
            + ", or put the value in quotes"
        )
    if name == PATH:  # tables show it below the directory, the store without it
        text = _below(os.path.join(root, ""), text)  # noqa: PTH118 - Path would normalise the text
    return cast("Condition", (name, "==" if operator == "=" else operator, Typed(text)))
