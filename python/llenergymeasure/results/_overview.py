"""What is in a store, in a line: for whoever looks at one at the prompt."""

from __future__ import annotations

import html
import math
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llenergymeasure.errors import LLEMError
from llenergymeasure.results.scan import scan_results

__all__ = ["Overview"]

_PATIENCE = 0.5
"""Seconds after which whoever looks gets what was counted so far."""

_MODEL = "effective_config.model"
_COLUMNS = ("backend", "total_energy_j", "start_time")
_KILO = 1000


@dataclass
class Overview:
    """How many results there are, of what, and of when."""

    trouble: str | None = None
    count: int = 0
    bad: int = 0
    is_all: bool = True
    models: set[str | None] = field(default_factory=set)
    backends: set[str] = field(default_factory=set)
    energy_j: float = 0.0
    first: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of(cls, root: str, limit: int | None = None) -> Overview:
        """Count the results below a directory; what is wrong there is told, not raised."""
        overview = cls()
        until = time.monotonic() + _PATIENCE
        try:
            scan = scan_results(
                root, (*_COLUMNS, _MODEL), on_error="collect", batch_size=256, infer=False, limit=limit
            )
            for batch in scan:
                if time.monotonic() > until:
                    overview.is_all = False
                    break
                overview.add(batch.to_pydict())
            overview.bad = len(scan.errors)
        except FileNotFoundError:
            overview.trouble = "no directory yet"
        except LLEMError as error:
            overview.trouble = str(error)
        return overview

    def add(self, rows: dict[str, list[Any]]) -> None:
        """Count some rows."""
        self.count += len(rows[_MODEL])
        self.models.update(rows[_MODEL])
        self.backends.update(rows["backend"])
        self.energy_j += sum(energy for energy in rows["total_energy_j"] if math.isfinite(energy))
        times = rows["start_time"]
        self.first = min([*times, self.first or times[0]])
        self.last = max([*times, self.last or times[0]])

    def _facts(self) -> list[tuple[str, str]]:
        more = "" if self.is_all else "more than "
        facts = [("results", f"{more}{self.count:,}")]
        if self.count:
            facts += [
                ("models", f"{len(self.models):,}"),
                ("backends", ", ".join(sorted(self.backends))),
                ("energy", _human_joules(self.energy_j)),
                ("when", _span(self.first, self.last)),
            ]
        return [*facts, ("unreadable", f"{self.bad:,}")] if self.bad else facts

    def __str__(self) -> str:
        """Return it on one line."""
        if self.trouble is not None:
            return self.trouble
        facts = dict(self._facts())
        if not self.count:
            said = ["no results yet"]
        else:
            results = "result" if self.count == 1 else "results"
            models = "model" if len(self.models) == 1 else "models"
            said = [
                f"{facts['results']} {results}",
                f"{facts['models']} {models}",
                facts["backends"],
                facts["energy"],
                facts["when"],
            ]
        return ", ".join(said + ([f"{self.bad:,} unreadable"] if self.bad else []))

    def as_html(self, root: str) -> str:
        """Return it as a table."""
        facts = [("", self.trouble)] if self.trouble is not None else self._facts()
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in facts
        )
        return f"<table><caption><code>{html.escape(root)}</code></caption>{rows}</table>"


def _human_joules(joules: float) -> str:
    for unit in ("J", "kJ", "MJ", "GJ"):
        if abs(joules) < _KILO:
            return f"{joules:.3g} {unit}"
        joules /= _KILO
    return f"{joules:,.3g} TJ"


def _span(first: datetime | None, last: datetime | None) -> str:
    days = [f"{time:%Y-%m-%d}" for time in (first, last) if time is not None]
    return " to ".join(dict.fromkeys(days))
