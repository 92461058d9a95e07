"""Conditions as a person types them: `backend=vllm`, `energy>1e3`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from llenergymeasure.results._conditions import Typed

if TYPE_CHECKING:
    from llenergymeasure.results.types import Condition

QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
"""The pattern of a text in quotes, with the escapes of JSON."""

_NAME = rf'(?:{QUOTED}|[^=!<>~"])+?'
_OPERATOR = r"==|!=|<=|>=|=|<|>|~"
_EXPRESSION = re.compile(rf"\s*({_NAME})\s*({_OPERATOR})\s*(.*?)\s*", re.DOTALL)
_SECOND = re.compile(
    rf'(?:{QUOTED}|[^"])*?'
    rf"(?:(?:\s+(and|or)\s+|\s*(&&|\|\|)\s*){_NAME}|\s*([,;&])\s*[A-Za-z_][\w./]*)\s*(?:{_OPERATOR})",
    re.IGNORECASE,
)


def has_second(text: str) -> bool:
    """Return whether a value without quotes seems to have a second condition in it."""
    return _SECOND.match(text) is not None


def parsed(expression: str, parameter: str, *, repeat: str, run: str) -> Condition:
    """Return the condition of an expression; its value is `Typed`.

    Args:
        expression: A column, an operator and a value.
        parameter: The name of the option, for a message.
        repeat: The advice for two conditions that must both hold.
        run: The advice for two conditions of which one must hold.

    Raises:
        ValueError: The expression has no operator, or it has two conditions.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ValueError(
            f"{parameter} expects a column, one of = == != < <= > >= ~, and a value; got {expression!r}"
        )
    name, operator, text = match.groups()
    second = _SECOND.match(text)
    if second is not None:
        word = next(filter(None, second.groups())).lower()
        raise ValueError(
            f"{parameter} expects one condition, got {expression!r}; "
            f"{run if word in ('or', '||') else repeat}, or put the value in quotes"
        )
    return cast("Condition", (name, "==" if operator == "=" else operator, Typed(text)))
