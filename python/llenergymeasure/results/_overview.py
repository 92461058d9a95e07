"""The contents of a store in one line, for the interactive prompt."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llenergymeasure._escape import escape
from llenergymeasure.errors import LLEMError
from llenergymeasure.results._paths import Place
from llenergymeasure.results._plan import scan_results

_MAX_SECONDS = 0.5
"""Seconds of counting, at most; then the overview is partial."""

_MODEL = "effective_config.model"
_COLUMNS = ("backend", "total_energy_j", "start_time")
_KILO = 1000


class _TimeUp(Exception):  # noqa: N818 - it ends the counting, and is not an error
    """The time for counting is up."""


@dataclass
class Overview:
    """The number of results, their models, backends, energy and dates.

    Attributes:
        fault: The reason why the results cannot be counted.
        read: The number of result files that were read, some of them perhaps not counted yet.
        is_complete: False if the time was up before the last result.
    """

    fault: str | None = None
    read: int = 0
    count: int = 0
    invalid: int = 0
    is_complete: bool = True
    models: set[str | None] = field(default_factory=set)
    backends: set[str] = field(default_factory=set)
    energy_j: float | None = None
    """The sum over the results whose energy is finite; None without one."""
    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of(cls, root: Place, limit: int | None = None, *, follow_links: bool = False) -> Overview:
        """Count the results below a root, for a limited time; a fault becomes part of the overview."""
        overview = cls()
        until = time.monotonic() + _MAX_SECONDS

        def note(done: int, _: int | None = None) -> None:
            overview.read = done
            if time.monotonic() > until:
                raise _TimeUp

        columns = (*_COLUMNS, _MODEL)
        try:
            scan = scan_results(
                root,
                columns,
                optional=[_MODEL],
                on_error="collect",
                batch_size=64,
                progress=note,
                infer=False,
                limit=limit,
                follow_links=follow_links,
                warns_of_links=False,
            )
            try:
                for batch in scan:
                    overview.add(batch.to_pydict())
                    note(overview.read)
            except _TimeUp:
                overview.is_complete = False
            overview.invalid = len(scan.errors)
        except FileNotFoundError as error:
            overview.fault = "no directory yet" if isinstance(root, str) else str(error)
        except LLEMError as error:
            overview.fault = str(error)
        return overview

    def add(self, rows: dict[str, list[Any]]) -> None:
        """Add rows to the counts."""
        self.count += len(rows[_MODEL])
        self.models.update(rows[_MODEL])
        self.backends.update(rows["backend"])
        known = [energy for energy in rows["total_energy_j"] if math.isfinite(energy)]
        if known:
            self.energy_j = sum(known, self.energy_j or 0.0)
        times = rows["start_time"]
        self.first = min([*times, self.first or times[0]])
        self.last = max([*times, self.last or times[0]])

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("results", self._number())]
        if self.count:
            facts += [
                ("models", f"{len(self.models):,}"),
                ("backends", ", ".join(map(escape, sorted(self.backends)))),
                ("energy", "unknown energy" if self.energy_j is None else _format_joules(self.energy_j)),
                ("when", _span(self.first, self.last)),
            ]
        return [*facts, ("unreadable", f"{self.invalid:,}")] if self.invalid else facts

    def _number(self) -> str:
        if self.is_complete:
            return f"{self.count:,}"
        return f"at least {self.count or self.read:,}"

    def __str__(self) -> str:
        """Return the overview on one line."""
        if self.fault is not None:
            return self.fault
        facts = dict(self._facts())
        results = "result" if self.count == 1 and self.is_complete else "results"
        if self.read and not self.count:
            results = "result files"  # some of them may be invalid
        if self.count:
            models = "model" if len(self.models) == 1 else "models"
            parts = [
                f"{facts['results']} {results}",
                f"{facts['models']} {models}",
                facts["backends"],
                facts["energy"],
                facts["when"],
            ]
        else:
            parts = ["no results yet" if self.is_complete else f"{facts['results']} {results}"]
        return ", ".join(parts + ([f"{self.invalid:,} unreadable"] if self.invalid else []))

    def as_html(self, root: Place) -> str:
        """Return the overview as an HTML table."""
        from html import escape as quote  # noqa: PLC0415 - slow to load

        facts = [("", self.fault)] if self.fault is not None else self._facts()
        rows = "".join(
            f"<tr><th style='text-align:left'>{quote(name)}</th><td>{quote(value)}</td></tr>"
            for name, value in facts
        )
        return f"<table><caption><code>{quote(escape(str(root)))}</code></caption>{rows}</table>"


def _format_joules(joules: float) -> str:
    for unit in ("J", "kJ", "MJ", "GJ"):
        if abs(joules) < _KILO:
            return f"{joules:.3g} {unit}"
        joules /= _KILO
    return f"{joules:,.3g} TJ"


def _span(first: datetime | None, last: datetime | None) -> str:
    days = [f"{time:%Y-%m-%d}" for time in (first, last) if time is not None]
    return " to ".join(dict.fromkeys(days))
