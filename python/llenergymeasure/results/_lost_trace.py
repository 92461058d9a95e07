"""Warning of a loaded result that is saved without the power trace that it names."""

from __future__ import annotations

import os

from llenergymeasure.domain._origin import record_of
from llenergymeasure.domain.experiment import ExperimentResult

ADVICE = "give timeseries_source, or take whole results with ResultStore.copy_from or llem save DIR"


def lost_trace(result: object, source: object) -> str | None:
    """Return the path of the sidecar that a loaded result names, if it is saved without one; else None.

    A result that a program constructs has no sidecar elsewhere, whatever it names. Nothing is lost, either,
    where the record lies without the sidecar: the load has reported that.
    """
    if source is not None or not isinstance(result, ExperimentResult) or result.timeseries is None:
        return None
    record = record_of(result)
    if record is None:
        return None
    if not isinstance(record, str):  # no request
        return str(record.with_name(result.timeseries))
    sidecar = os.path.join(os.path.dirname(record), result.timeseries)  # noqa: PTH118, PTH120
    is_missing = not os.path.exists(sidecar) and os.path.exists(record)  # noqa: PTH110
    return None if is_missing else sidecar
