"""Import of the files that other tools write: `llem import`, and `read` for programs.

An importer is a module or an object with `matches(path)` and `read(path)`. Another package adds one through
the entry-point group `llenergymeasure.importers`; the name of the entry point is the name of the format.

    from llenergymeasure import ResultStore, importers

    ResultStore("results").save_many(importers.read("vllm.jsonl"))
"""

from __future__ import annotations

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._build import Built, build, read, records
from llenergymeasure.importers._imported import (
    Imported,
    Importer,
    Item,
    Mapped,
    NotImported,
    PowerLog,
)
from llenergymeasure.importers._registry import Format, detect, find, formats

__all__ = [
    "Built",
    "Format",
    "Imported",
    "Importer",
    "Item",
    "Mapped",
    "NotImportableError",
    "NotImported",
    "PowerLog",
    "build",
    "detect",
    "find",
    "formats",
    "read",
    "records",
]
