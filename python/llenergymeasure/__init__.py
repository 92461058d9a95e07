"""Keeps the results of LLM energy measurements.

`ExperimentResult.save` puts a result on disk, atomically, durably and without collisions;
`ExperimentResult.from_json` brings it back as it was. `ResultStore` is the directory they live in.
"""

from __future__ import annotations

import importlib
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
    "__version__",
    "load_result",
    "save_result",
    "save_results",
]

__version__ = _store.VERSION

# What needs pydantic's models is imported when it is first asked for, as pydantic does with its own. All of
# it at once: a save makes no call but its own, so that no import can fail or be interrupted in its middle.
_LAZY = frozenset({"ExperimentResult", "ResultStore", "load_result", "save_result", "save_results"})


if not TYPE_CHECKING:  # to a type checker, a module with this function has every name

    def __getattr__(name: str) -> object:
        """Import a public name from where it lives."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        persistence = importlib.import_module("llenergymeasure.results.persistence")
        globals().update({lazy: getattr(persistence, lazy) for lazy in _LAZY})
        return globals()[name]


def __dir__() -> list[str]:
    """List the public names, imported already or not."""
    return sorted({*globals(), *__all__})


if not _store.OPTIMISED:
    import warnings

    warnings.warn(
        "llenergymeasure._store was built without optimisation; build it with --release before you measure",
        RuntimeWarning,
        stacklevel=2,
    )
