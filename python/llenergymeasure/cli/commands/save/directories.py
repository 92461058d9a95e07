"""Results of directories, which `llem save` copies with their power traces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from llenergymeasure._format import plural
from llenergymeasure.cli.query.reading import shown_below, usage_errors
from llenergymeasure.cli.query.where import conditions
from llenergymeasure.cli.terminal.input import InputError, Position, Record
from llenergymeasure.results._field_errors import first_of
from llenergymeasure.results.copying import Copier, Found, Skipped, Unreadable
from llenergymeasure.results.failures import count_failures
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, kw_only=True)
class StoredRecord(Record):
    """A record of another store; it is valid."""

    found: Found


@dataclass(frozen=True)
class Already:
    """A result that the store has."""

    position: Position
    reason: str


class Directories:
    """A reader of the results of directories that a store lacks; see `Copier`."""

    def __init__(self, store: ResultStore, *, follow_links: bool, redact: bool) -> None:
        """Create a reader for a store to copy to."""
        self._copier = Copier(store, redact=redact)
        self._follow_links = follow_links
        self.is_used = False

    def read(self, directory: str, where: Iterable[str]) -> Iterator[StoredRecord | Already | InputError]:
        """Read the results below a directory, at any depth, that meet the conditions."""
        self.is_used = True
        source = ResultStore(directory, follow_links=self._follow_links)
        is_empty = True
        with usage_errors():
            for found in self._copier.find(source, conditions(directory, where)):
                is_empty = False
                yield _input(directory, source, found)
        if is_empty and where:
            yield InputError(Position(directory), "no result meets the conditions", is_loss=False)
        elif is_empty:
            yield InputError(Position(directory), "expected results, got a directory without any")
        if failures := count_failures(source._root, follow_links=self._follow_links):  # noqa: SLF001
            left = f"{plural(failures, 'failed run')} not saved; llem push, llem pull and copy_from copy them"
            yield InputError(Position(directory), left, is_loss=False)
        if missing := str(self._copier.missing):
            yield InputError(Position(directory), missing, is_loss=False)

    def note_saved(self, record: StoredRecord) -> None:
        """Note that the store has a record now."""
        self._copier.note_saved(record.found)


def _input(
    directory: str, source: ResultStore, found: Found | Skipped | Unreadable
) -> StoredRecord | Already | InputError:
    position = Position(shown_below(directory, source.root, found.path))
    if isinstance(found, Found):
        sidecar = Path(found.sidecar) if isinstance(found.sidecar, str) else found.sidecar
        return StoredRecord(position, found.encoded.record, sidecar, found=found)
    if isinstance(found, Skipped):
        return Already(position, found.reason)
    return InputError(position, _reason(found.error))


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_of(error.errors(include_url=False, include_input=False))
    return str(error)
