"""Plans of scans: the arguments of a store's verbs, checked and handed to the extension."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.results import _columns, _conditions
from llenergymeasure.results._limit import max_bytes, max_trace_bytes
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._paths import Place, handle
from llenergymeasure.results.scan import Scan, warn_of_skipped
from llenergymeasure.results.types import ConfigForm, OnBadFile, check_policy

if TYPE_CHECKING:
    from llenergymeasure.results.types import Condition, Progress

__all__ = ["BATCH_SIZE", "completed", "scan_results", "scan_traces"]

BATCH_SIZE = 4096
_TRACE_COLUMNS = (
    "path",
    "experiment_id",
    "timestamp_s",
    "gpu_index",
    "power_w",
    "temperature_c",
    "memory_used_mb",
    "memory_total_mb",
    "sm_utilisation_pct",
    "throttle_reasons",
)


def scan_results(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    columns: Iterable[str] | None,
    *,
    where: Iterable[Condition] | None = None,
    config: ConfigForm = "columns",
    on_error: OnBadFile = "raise",
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
    optional: Iterable[str] = (),
    infer: bool = True,
    full_names: bool = False,
    limit: int | None = None,
    follow_links: bool = False,
    warns_of_links: bool = True,
) -> Scan:
    """Return a scan of results; see `ResultStore.scan`.

    Without `infer`, the keys of `effective_config` are JSON strings. With `full_names`, the columns of the
    table have their full names, not those in `columns`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size expects at least 1, got {batch_size}")
    check_policy("config", config, ConfigForm)
    scan = _store.Scan(
        handle(root),
        _columns.RECORD_SCHEMA(),
        _columns.all_columns() if columns is None else _columns.check_names(columns),
        [_conditions.checked(condition) for condition in _conditions.listed(where)],
        config=config,
        optional=_columns.check_names(optional, "optional"),
        batch_size=min(batch_size, sys.maxsize),
        strict=_is_strict(on_error),
        max_bytes=max_bytes(limit),
        infer=infer,
        follow_links=follow_links,
        full_names=full_names,
    )
    return Scan(root, scan, on_error, progress, warns_of_links=warns_of_links)


def scan_traces(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    columns: Iterable[str] | None,
    *,
    where: Iterable[Condition] | None = None,
    on_error: OnBadFile = "raise",
    progress: Progress | None = None,
    limit: int | None = None,
    trace_limit: int | None = None,
    follow_links: bool = False,
) -> Scan:
    """Return a scan of power traces; see `ResultStore.scan_timeseries`."""
    names = list(_TRACE_COLUMNS if columns is None else _columns.check_names(columns))
    of_records: list[_conditions.Checked] = []
    of_traces: list[_conditions.Checked] = []
    for condition in _conditions.listed(where):
        name = condition[0] if isinstance(condition, (tuple, list)) and condition else None
        is_of_trace = isinstance(name, str) and _is_of_trace(name, names)
        (of_traces if is_of_trace else of_records).append(_conditions.checked(condition))
    record, strict, most = _columns.RECORD_SCHEMA(), _is_strict(on_error), max_bytes(limit)
    scan = _store.Traces(
        handle(root),
        record,
        names,
        of_records,
        of_traces,
        strict=strict,
        max_bytes=most,
        max_trace_bytes=max_trace_bytes(trace_limit),
        follow_links=follow_links,
    )
    return Scan(root, scan, on_error, progress)


def completed(root: Place, *, limit: int | None = None, follow_links: bool = False) -> set[str]:
    """Return the hashes of the configurations below a root; see `ResultStore.completed`."""
    hashes, invalid, links = _store.completed(
        handle(root), _columns.RECORD_SCHEMA(), max_bytes=max_bytes(limit), follow_links=follow_links
    )
    warn_of_skipped([error for _, error in invalid])
    warn_of_links(root, links)
    return hashes


def _is_of_trace(name: str, names: list[str]) -> bool:
    """Return True for a column of the traces: a selected one, or one that no record has."""
    if name in _TRACE_COLUMNS:
        return name not in _TRACE_COLUMNS[:2]
    of_record = (
        _columns.kind_of(name) is not None
        or name in _columns.SHORT_NAMES
        or name.startswith((f"{_columns.CONFIG}.", "config."))
    )
    return name in names or not of_record


def _is_strict(on_error: OnBadFile) -> bool:
    check_policy("on_error", on_error, OnBadFile)
    return on_error == "raise"
