"""Storage of the results of LLM energy measurements.

`ExperimentResult.save` writes a result to disk, atomically, durably and without collisions, and
`ExperimentResult.from_json` returns the same result. `ResultStore` is a directory of results.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.errors import (
    BulkSaveError,
    LLEMError,
    PersistenceError,
    ResultCorruptError,
    ResultError,
    SaveInterrupted,
    SchemaVersionError,
    SidecarError,
)

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.persistence import load_result, save_result, save_results
    from llenergymeasure.results.store import ResultStore
    from llenergymeasure.results.store_path import StorePath

__all__ = [
    "BulkSaveError",
    "ExperimentResult",
    "LLEMError",
    "PersistenceError",
    "ResultCorruptError",
    "ResultError",
    "ResultStore",
    "SaveInterrupted",
    "SchemaVersionError",
    "SidecarError",
    "StorePath",
    "__version__",
    "load_result",
    "save_result",
    "save_results",
]

__version__ = _store.VERSION

if "logging" in sys.modules:  # else its first record makes the logger, since the import is slow
    importlib.import_module("llenergymeasure._log").logger()

# Imported at first use, all at once: an import must not fail, or be interrupted, in the middle of a save.
_LAZY = frozenset({"ExperimentResult", "ResultStore", "load_result", "save_result", "save_results"})


if not TYPE_CHECKING:  # a type checker accepts any name of a module with `__getattr__`

    def __getattr__(name: str) -> object:
        """Import a public name from its module."""
        if name == "StorePath":  # not for local paths
            globals()[name] = importlib.import_module("llenergymeasure.results.store_path").StorePath
            return globals()[name]
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        persistence = importlib.import_module("llenergymeasure.results.persistence")
        globals().update({lazy: getattr(persistence, lazy) for lazy in _LAZY})
        return globals()[name]


def __dir__() -> list[str]:
    """List the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})


if not _store.OPTIMISED:
    import warnings

    warnings.warn(
        "expected an optimised llenergymeasure._store, got an unoptimised build; build it with --release "
        "before you measure",
        RuntimeWarning,
        stacklevel=2,
    )
