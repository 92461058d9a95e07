"""Types in the signatures of the store's verbs, and the policies that the verbs accept.

A word of a policy has one meaning in every verb:

- `"raise"` raises the error and ends the verb.
- `"warn"` returns the result and issues a `UserWarning`.
- `"skip"` leaves the file out and warns once, with the count.
- `"collect"` leaves the file out and stores its error in `Scan.errors`.
- `"ignore"` goes on without a report.

Each parameter accepts the words that its verb can carry out:

- `missing_sidecar` (`"warn"`, `"ignore"`, `"raise"`) concerns a complete result, so there is no file to skip.
  `"error"` is the older spelling of `"raise"` and stays valid.
- `on_error` of a scan (`"raise"`, `"skip"`, `"collect"`) concerns a file that gives no row: a scan always
  reports the files that it leaves out.
- `on_error` of `iter_results` and `load_all` (`"raise"`, `"skip"`) returns no object that could collect the
  errors.
- `on_error` of a writer (`"raise"`, `"ignore"` or a function) concerns a result that is not saved: its future
  holds the error in any case, so `"ignore"` loses no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from llenergymeasure.types import ArrowStream, MissingSidecar, ResultPath, TimeseriesSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from llenergymeasure.domain.experiment import ExperimentResult

__all__ = [
    "ArrowStream",
    "Condition",
    "ConfigForm",
    "MissingSidecar",
    "OnBadFile",
    "OnError",
    "OnUnreadable",
    "OnUnsaved",
    "PartitionBy",
    "Progress",
    "ResultPath",
    "TimeseriesSource",
    "TooManyKeysError",
    "check_policy",
]

Operator: TypeAlias = Literal[
    "==", "!=", "<", "<=", ">", ">=", "~", "in", "not in", "not <", "not <=", "not >", "not >="
]
"""The operator of a condition; one that begins with `not` selects all rows that the other does not."""

Condition: TypeAlias = "tuple[str, Operator, object]"
"""A column, an operator and a value."""

Progress: TypeAlias = "Callable[[int, int | None], object]"
"""A function that takes the number of results done and their total, or None where the total is unknown."""

ConfigForm: TypeAlias = Literal["columns", "json", "none"]
"""The form of `effective_config` in a table: a column for each key, one of JSON texts, or none."""

OnBadFile: TypeAlias = Literal["raise", "skip", "collect"]
"""A scan's policy for an invalid file."""

PartitionBy: TypeAlias = Literal["count", "bytes"]
"""The weight of a result in a partition of a scan: one, or the bytes of its record."""

OnUnreadable: TypeAlias = Literal["raise", "skip"]
"""The policy of `iter_results` and `load_all` for an invalid file."""

OnUnsaved: TypeAlias = Literal["raise", "ignore"]
"""The words of a writer's policy for a result that is not saved."""

OnError: TypeAlias = "OnUnsaved | Callable[[ExperimentResult, Exception], object]"
"""A writer's policy: a word, or a function of the result and its error that the writer's thread calls."""


class TooManyKeysError(ValueError):
    """The configurations have too many keys for a table with a column of each.

    Attributes:
        fault: The fault.
        advice: The way out for a program; a command has another one.
    """

    advice = (
        'name the columns to read, or use config="json" for one column of JSON texts, or config="none" for '
        "no column of the configuration"
    )

    def __init__(self, fault: str) -> None:
        """Note the fault."""
        super().__init__(fault)
        self.fault = fault

    def __str__(self) -> str:
        """Return the fault and the advice."""
        return f"{self.fault}; {self.advice}"


def check_policy(parameter: str, value: object, words: object, alternative: str = "") -> None:
    """Check a policy against the words of its `Literal`.

    Args:
        parameter: The name of the parameter, for the message.
        value: The argument.
        words: The `Literal` of the valid words.
        alternative: Another valid argument, for the message.

    Raises:
        ValueError: `value` is not one of the words.
    """
    valid = get_args(words)
    if value not in valid:
        *others, last = [*map(repr, valid), *([alternative] if alternative else [])]
        raise ValueError(f"{parameter} expects {', '.join(others)} or {last}, got {value!r}")
