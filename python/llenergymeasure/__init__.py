"""Keeps the results of LLM energy measurements.

`ExperimentResult.save` puts a result on disk, atomically, durably and without collisions;
`ExperimentResult.from_json` brings it back as it was. `ResultStore` is the directory they live in.
"""

from __future__ import annotations

from llenergymeasure import _store
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import (
    LLEMError,
    PersistenceError,
    ResultCorruptError,
    ResultError,
    SchemaVersionError,
    SidecarError,
)
from llenergymeasure.results.persistence import load_result, save_result
from llenergymeasure.results.store import ResultStore

__all__ = [
    "ExperimentResult",
    "LLEMError",
    "PersistenceError",
    "ResultCorruptError",
    "ResultError",
    "ResultStore",
    "SchemaVersionError",
    "SidecarError",
    "__version__",
    "load_result",
    "save_result",
]

__version__ = _store.VERSION

if not _store.OPTIMISED:
    import warnings

    warnings.warn(
        "llenergymeasure._store was built without optimisation; build it with --release before you measure",
        RuntimeWarning,
        stacklevel=2,
    )
