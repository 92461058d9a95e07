"""Functions to save and load results: thin wrappers of `ResultStore`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results._encode import directory_name as _experiment_dir_name
from llenergymeasure.results._load import load_record
from llenergymeasure.results._paths import absolute, local_path
from llenergymeasure.results._save import save_record
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.types import MissingSidecar, Progress, TimeseriesSource

if TYPE_CHECKING:
    from llenergymeasure.types import PathArgument, ResultPath, RootArgument

__all__ = [
    "ExperimentResult",
    "MissingSidecar",
    "ResultStore",
    "TimeseriesSource",
    "_atomic_write",
    "_experiment_dir_name",
    "_find_collision_free_dir",
    "load_result",
    "save_result",
    "save_results",
]


def save_result(
    result: ExperimentResult,
    output_dir: RootArgument,
    timeseries_source: TimeseriesSource | None = None,
    *,
    durable: bool = True,
    redact: bool = False,
) -> ResultPath:
    """Save one result to a new directory in `output_dir`; see `ResultStore.save`."""
    return save_record(output_dir, result, timeseries_source, durable=durable, redact=redact)


def save_results(  # noqa: PLR0913 - the parameters of `ResultStore.save_many`
    results: Iterable[ExperimentResult],
    output_dir: RootArgument,
    *,
    timeseries_sources: Iterable[TimeseriesSource | None] | None = None,
    durable: bool = True,
    redact: bool = False,
    progress: Progress | None = None,
) -> Sequence[ResultPath]:
    """Save many results to new directories in `output_dir`; see `ResultStore.save_many`."""
    return ResultStore(absolute(output_dir, "output_dir")).save_many(
        results, timeseries_sources=timeseries_sources, durable=durable, redact=redact, progress=progress
    )


def load_result(path: PathArgument, *, missing_sidecar: MissingSidecar = "warn") -> ExperimentResult:
    """Load one result from its `result.json` or its directory; see `ResultStore.load`."""
    return load_record(path, missing_sidecar)


def _find_collision_free_dir(base: str | os.PathLike[str]) -> Path:
    """Create `base`, or the first free one of `base_1`, `base_2`, ..., and return its path.

    Missing parents are created.

    Raises:
        PersistenceError: No directory could be created.
        ValueError: The last component of `base` is not a name.
    """
    base = Path(local_path(base, "base"))
    if base.name in ("", ".."):
        raise ValueError(f"base expects a path that ends in a name, got {str(base)!r}")
    return _store.claim(base.parent, base.name)


def _atomic_write(content: str | bytes, path: str | os.PathLike[str]) -> None:
    """Write a file durably and atomically; replace a file of the same name.

    Text is encoded as UTF-8. The file has mode 0666 under the umask.

    Raises:
        PersistenceError: The file could not be written, and the old one is unchanged; or (`committed`) the
            new file is in place and its flush failed.
    """
    _store.replace(Path(local_path(path)), content.encode() if isinstance(content, str) else content)
