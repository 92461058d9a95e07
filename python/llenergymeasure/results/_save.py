"""Save of one result."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure._warnings import warn
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results._durability import warn_once
from llenergymeasure.results._encode import encode
from llenergymeasure.results._lost_trace import ADVICE, lost_trace
from llenergymeasure.results._paths import absolute, local_source

if TYPE_CHECKING:
    from pathlib import Path

    from llenergymeasure.results.types import TimeseriesSource


def save_record(
    output_dir: str | os.PathLike[str],
    result: ExperimentResult,
    source: TimeseriesSource | None,
    *,
    durable: bool,
) -> Path:
    """Save one result to a new directory in `output_dir`; see `ResultStore.save`."""
    root = absolute(output_dir, "output_dir")
    source = local_source(source)
    name, record, with_sidecar = encode(result, sidecar=source is not None)
    name, sidecar_found, notes = _store.save(
        str(root),
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
            f"timeseries source {os.fspath(source)!r} does not exist; "  # type: ignore[arg-type]
            f"the result was saved without a sidecar at {path}"
        )
    for note in notes:
        warn(f"the sidecar of the result at {path}: {note}")
    if (trace := lost_trace(result, source)) is not None:
        warn(f"the result at {path} names a power trace that was not saved with it, {trace!r}; {ADVICE}")
    if durable:
        warn_once(str(root))
    return path
