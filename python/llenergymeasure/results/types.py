"""The types in the signatures of the store's verbs, and the policies that these accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from llenergymeasure.types import ArrowStream, MissingSidecar, TimeseriesSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from llenergymeasure.domain.experiment import ExperimentResult

__all__ = [
    "ArrowStream",
    "Condition",
    "MissingSidecar",
    "OnBadFile",
    "OnError",
    "OnUnreadable",
    "Progress",
    "TimeseriesSource",
]

Condition: TypeAlias = "tuple[str, Literal['==', '!=', '<', '<=', '>', '>=', 'in', 'not in'], object]"
OnBadFile: TypeAlias = Literal["raise", "skip", "collect"]
OnUnreadable: TypeAlias = Literal["raise", "skip"]
OnError: TypeAlias = "Literal['raise', 'ignore'] | Callable[[ExperimentResult, Exception], object]"
Progress: TypeAlias = "Callable[[int, int | None], object]"
