"""The contents of a store in one line, for the interactive prompt."""

from __future__ import annotations

import html
import math
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llenergymeasure.errors import LLEMError
from llenergymeasure.results.scan import scan_results

_MAX_SECONDS = 0.5
"""Seconds of counting, at most; then the overview is partial."""

_MODEL = "effective_config.model"
_COLUMNS = ("backend", "total_energy_j", "start_time")
_KILO = 1000


@dataclass
class Overview:
    """The number of results, their models, backends, energy and dates."""

    fault: str | None = None
    count: int = 0
    invalid: int = 0
    is_complete: bool = True
    models: set[str | None] = field(default_factory=set)
    backends: set[str] = field(default_factory=set)
    energy_j: float = 0.0
    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of(cls, root: str, limit: int | None = None) -> Overview:
        """Count the results below a root; a fault becomes part of the overview."""
        overview = cls()
        until = time.monotonic() + _MAX_SECONDS
        try:
            scan = scan_results(
                root, (*_COLUMNS, _MODEL), on_error="collect", batch_size=256, infer=False, limit=limit
            )
            for batch in scan:
                if time.monotonic() > until:
                    overview.is_complete = False
                    break
                overview.add(batch.to_pydict())
            overview.invalid = len(scan.errors)
        except FileNotFoundError:
            overview.fault = "no directory yet"
        except LLEMError as error:
            overview.fault = str(error)
        return overview

    def add(self, rows: dict[str, list[Any]]) -> None:
        """Add rows to the counts."""
        self.count += len(rows[_MODEL])
        self.models.update(rows[_MODEL])
        self.backends.update(rows["backend"])
        self.energy_j += sum(energy for energy in rows["total_energy_j"] if math.isfinite(energy))
        times = rows["start_time"]
        self.first = min([*times, self.first or times[0]])
        self.last = max([*times, self.last or times[0]])

    def _facts(self) -> list[tuple[str, str]]:
        more = "" if self.is_complete else "more than "
        facts = [("results", f"{more}{self.count:,}")]
        if self.count:
            facts += [
                ("models", f"{len(self.models):,}"),
                ("backends", ", ".join(sorted(self.backends))),
                ("energy", _format_joules(self.energy_j)),
                ("when", _span(self.first, self.last)),
            ]
        return [*facts, ("unreadable", f"{self.invalid:,}")] if self.invalid else facts

    def __str__(self) -> str:
        """Return the overview on one line."""
        if self.fault is not None:
            return self.fault
        facts = dict(self._facts())
        if not self.count:
            parts = ["no results yet"]
        else:
            results = "result" if self.count == 1 else "results"
            models = "model" if len(self.models) == 1 else "models"
            parts = [
                f"{facts['results']} {results}",
                f"{facts['models']} {models}",
                facts["backends"],
                facts["energy"],
                facts["when"],
            ]
        return ", ".join(parts + ([f"{self.invalid:,} unreadable"] if self.invalid else []))

    def as_html(self, root: str) -> str:
        """Return the overview as an HTML table."""
        facts = [("", self.fault)] if self.fault is not None else self._facts()
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in facts
        )
        return f"<table><caption><code>{html.escape(root)}</code></caption>{rows}</table>"


def _format_joules(joules: float) -> str:
    for unit in ("J", "kJ", "MJ", "GJ"):
        if abs(joules) < _KILO:
            return f"{joules:.3g} {unit}"
        joules /= _KILO
    return f"{joules:,.3g} TJ"


def _span(first: datetime | None, last: datetime | None) -> str:
    days = [f"{time:%Y-%m-%d}" for time in (first, last) if time is not None]
    return " to ".join(dict.fromkeys(days))
