"""An adapter per engine: a module whose `ENGINE` answers a query over a scan."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engines.queries import Query, Rows
    from llenergymeasure.results.scan import Scan


class Engine(Protocol):
    """A program that reads tables. Its packages are imported only when it answers."""

    packages: tuple[str, ...]

    def answer(self, scan: Scan, query: Query) -> Rows:
        """Return the rows of a query, in any order, as Python values.

        An engine that cannot answer some queries has a method `refuses`, which returns a pattern of the error
        for such a query, and None for the others.
        """


def _adapters() -> dict[str, Engine]:
    names = sorted(found.name for found in iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}").ENGINE for name in names}


ENGINES: dict[str, Engine] = _adapters()
"""The engines, by the names of their modules; `pandas` is the reference."""
