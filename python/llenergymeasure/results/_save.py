"""Save of one result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure._warnings import warn
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import PersistenceError
from llenergymeasure.results._durability import warn_once
from llenergymeasure.results._encode import encode
from llenergymeasure.results._lost_trace import ADVICE, lost_trace
from llenergymeasure.results._paths import Place, absolute, handle, local_source, shown_source, to_path

if TYPE_CHECKING:
    from llenergymeasure.types import ResultPath, RootArgument, TimeseriesSource


def save_record(
    output_dir: RootArgument,
    result: ExperimentResult,
    source: TimeseriesSource | None,
    *,
    durable: bool,
    redact: bool,
) -> ResultPath:
    """Save one result to a new directory in `output_dir`; see `ResultStore.save`."""
    root = absolute(output_dir, "output_dir")
    place = str(root) if isinstance(root, Path) else root
    source = local_source(source)
    name, record, with_sidecar, _ = encode(result, sidecar=source is not None, redact=redact)
    name, sidecar_found, notes = _store.save(
        handle(place),
        name,
        record,
        source=source,
        record_with_sidecar=with_sidecar,
        durable=durable,
    )
    # Joining is faster than parsing a path from a string, which takes several microseconds.
    path = root.joinpath(name, _store.RECORD)
    if not sidecar_found:
        warn(
            f"timeseries source {shown_source(source)!r} does not exist; "
            f"the result was saved without a sidecar at {path}"
        )
    for note in notes:
        warn(f"the sidecar of the result at {path}: {note}")
    if (trace := lost_trace(result, source)) is not None:
        warn(f"the result at {path} names a power trace that was not saved with it, {trace!r}; {ADVICE}")
    if durable:
        warn_once(place)
    return path


def resolved(root: Place, error: PersistenceError) -> ResultPath | None:
    """Return the path of the result of a save that failed; see `ResultStore.resolve`."""
    if not isinstance(error, PersistenceError):
        raise TypeError(f"error expects a PersistenceError, got {type(error).__name__}")
    if error.result_path is not None:
        return to_path(root, error.result_path)
    if error.save_id is None:
        return None
    if isinstance(root, str) or error.url is None or not error.url.startswith(f"{root}/"):
        raise ValueError(f"error expects a save to {root}, got one to {error.url}; ask its own store")
    found = root._storage().resolve(error.url, error.save_id)  # noqa: SLF001 - not for users
    return None if found is None else to_path(root, found)
