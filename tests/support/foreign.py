"""Files of other tools: the examples, and what becomes of a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from llenergymeasure import importers
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers import Built, NotImported

EXAMPLES = Path(__file__).parents[1] / "data" / "importers"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "formats"
"""Reduced real files, next to the repository on some machines."""

MESSAGE = re.compile(r"expected [^\n]+, got [^\n]+; [^\n]+")


class Outcome(NamedTuple):
    """The results of a file, and the messages on the rest of it."""

    built: list[Built]
    messages: list[str]


def import_file(path: Path, name: str | None = None) -> Outcome:
    """Import a file; each failure is a message, and must be one sentence of the usual form."""
    outcome = Outcome([], [])
    try:
        for item in importers.records(path, name):
            if isinstance(item, NotImported):
                outcome.messages.append(item.message)
            else:
                outcome.built.append(item)
    except NotImportableError as error:
        outcome.messages.append(str(error))
    for message in outcome.messages:
        assert MESSAGE.fullmatch(message), message
    return outcome


def import_one(name: str) -> Built:
    """Import an example that holds one result."""
    outcome = import_file(EXAMPLES / name)
    assert outcome.messages == []
    [built] = outcome.built
    return built


def real_file(name: str) -> Path:
    """Return a real file, or skip the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    return path
