"""How far a sweep is, from a listing and the records of its newest results."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llenergymeasure import _store
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._paths import Place, handle
from llenergymeasure.results._plan import ResultsPlan
from llenergymeasure.results.scan import Scan

__all__ = ["RECENT", "SweepProgress"]

RECENT = 100
"""Results whose times give the rate."""

_SAVED_AT = "saved_at"


@dataclass(frozen=True)
class SweepProgress:
    """The counts of a store, and its newest results.

    Attributes:
        results: The number of results, valid or not.
        failures: The number of runs that failed.
        newest: The newest results, the newest first: their columns by name.
        per_second: Results per second, from the oldest of the last hundred until now; None below two results.
    """

    results: int = 0
    failures: int = 0
    newest: tuple[dict[str, Any], ...] = ()
    per_second: float | None = None

    @classmethod
    def of(
        cls, root: Place, columns: tuple[str, ...], *, shown: int, follow_links: bool = False
    ) -> SweepProgress:
        """List a store, which need not exist, and read its newest records.

        Args:
            root: The root.
            columns: The columns of the newest results.
            shown: The number of results in `newest`.
            follow_links: Follow symlinks to directories.

        Raises:
            PersistenceError: The root cannot be listed.
        """
        if isinstance(root, str) and not os.path.lexists(root):
            return cls()
        results, failures, part, links = _store.count(handle(root), RECENT, follow_links=follow_links)
        warn_of_links(root, links)
        plan = ResultsPlan(
            root, (*columns, _SAVED_AT), (), optional=columns, on_error="collect", follow_links=follow_links
        )
        rows: list[dict[str, Any]] = []
        for batch in Scan(replace(plan, part=part, infer=False), warns_of_links=False):
            read = batch.to_pydict()
            rows += [dict(zip(read, values, strict=True)) for values in zip(*read.values(), strict=True)]
        times: list[datetime] = [row.pop(_SAVED_AT) for row in rows]
        return cls(results, failures, tuple(rows[:shown]), _rate(times))

    def seconds_left(self, total: int) -> float | None:
        """Estimate the seconds until a number of runs is done, at the same rate; None where it is unknown."""
        done = self.results + self.failures
        if done >= total:
            return 0.0
        if not self.per_second:
            return None
        return (total - done) / (self.per_second * done / self.results)


def _rate(times: list[datetime]) -> float | None:
    """Return the rate since the first of some saves, which falls while none follows."""
    if len(times) < 2:  # noqa: PLR2004 - a rate needs two
        return None
    first, last = min(times).timestamp(), max(times).timestamp()
    seconds = max(time.time(), last) - first
    return (len(times) - 1) / seconds if seconds > 0 else None
