"""Conditions as a user types them: `backend=vllm`, `energy>1e3`."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from llenergymeasure.results._columns import PATH
from llenergymeasure.results._conditions import Typed
from llenergymeasure.results._expressions import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llenergymeasure.results.types import Condition

WHERE_HELP = (
    "Select results by a condition: COLUMN, one of = == != < <= > >= ~, and a value as the table prints it; "
    "~ finds a text within the value, ignoring case. All conditions must hold if repeated. != selects all "
    "that = does not; null, None and - match an absent value; a value in quotes is a text."
)
"""The help text of `--where`."""


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


def _condition(root: str, expression: str) -> Condition:
    name, operator, text = parsed(
        expression,
        "--where",
        repeat="repeat --where for each, since all must hold",
        run="run the command for each, since all conditions must hold",
    )
    if name == PATH:  # tables show it below the directory, the store without it
        text = Typed(_below(os.path.join(root, ""), str(text)))  # noqa: PTH118 - Path would normalise the text
    return name, operator, text
