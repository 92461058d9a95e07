"""Plans of scans: the arguments of a store's verbs, checked and handed to the extension."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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

__all__ = ["BATCH_SIZE", "ResultsPlan", "TracesPlan", "count_hashes", "scan_results", "scan_traces"]

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


@dataclass(frozen=True)
class ResultsPlan:
    """A scan of results, as plain values."""

    root: Place
    columns: tuple[str, ...]
    where: tuple[_conditions.Checked, ...]
    config: ConfigForm = "columns"
    optional: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    on_error: OnBadFile = "raise"
    batch_size: int = BATCH_SIZE
    infer: bool = True
    full_names: bool = False
    max_record_bytes: int | None = None
    follow_links: bool = False
    head: int | None = None
    """The number of rows after which the reading stops."""
    part: _store.Part | None = None
    """The results of the root that are read; None is all."""
    failures: bool = False
    """The rows are the failures, and not the results."""
    known: str | None = None
    """The types and the meanings of operands that a scan of the whole tree found."""

    def compile(self) -> _store.Scan:
        """Plan the scan.

        Raises:
            ValueError: A column does not exist, or a condition does not fit its column.
        """
        return _store.Scan(
            handle(self.root),
            _columns.FAILURE_SCHEMA() if self.failures else _columns.RECORD_SCHEMA(),
            self.columns,
            self.where,
            config=self.config,
            optional=self.optional,
            types=self.types,
            batch_size=self.batch_size,
            strict=self.on_error == "raise",
            max_bytes=max_bytes(self.max_record_bytes),
            infer=self.infer,
            follow_links=self.follow_links,
            full_names=self.full_names,
            head=self.head,
            part=self.part,
            known=self.known,
            failures=self.failures,
        )

    def is_listing(self) -> bool:
        """Return whether every record that a listing shows is a row."""
        return not self.where and not self.types and self.on_error == "raise"

    def columns_that_decide(self) -> tuple[str, ...]:
        """Return the columns without which other records would be rows.

        A record whose value does not fit the given type of a column is no row, nor is one whose path is not
        UTF-8.
        """
        return self.columns if self.types else tuple(name for name in self.columns if name == _columns.PATH)

    def derived(self, columns: Iterable[str], where: Iterable[Condition]) -> ResultsPlan:
        """Return a plan of other columns of this one's table, with more conditions."""
        checked = map(_conditions.checked, where)
        return replace(self, columns=tuple(columns), where=(*self.where, *checked), full_names=False)

    def extent(self) -> str:
        """Describe the rows of the scan, for its `repr`."""
        parts = [] if self.part is None else [f", {len(self.part)} results of it"]
        parts += [f", where {name} {operator} {value!r}" for name, operator, value, _ in self.where]
        return "".join([*parts, "" if self.head is None else f", the first {self.head} rows"])


@dataclass(frozen=True)
class TracesPlan:
    """A scan of power traces, as plain values."""

    root: Place
    columns: tuple[str, ...]
    of_records: tuple[_conditions.Checked, ...]
    of_traces: tuple[_conditions.Checked, ...]
    on_error: OnBadFile = "raise"
    max_record_bytes: int | None = None
    max_trace_bytes: int | None = None
    follow_links: bool = False

    def compile(self) -> _store.Traces:
        """Plan the scan.

        Raises:
            ValueError: A condition does not fit its column.
        """
        return _store.Traces(
            handle(self.root),
            _columns.RECORD_SCHEMA(),
            self.columns,
            self.of_records,
            self.of_traces,
            strict=self.on_error == "raise",
            max_bytes=max_bytes(self.max_record_bytes),
            max_trace_bytes=max_trace_bytes(self.max_trace_bytes),
            follow_links=self.follow_links,
        )

    def derived(self, columns: Iterable[str], where: Iterable[Condition]) -> TracesPlan:
        """Return a plan of other columns of this one's table.

        Raises:
            ValueError: There are conditions.
        """
        if list(where):
            raise ValueError("expected no condition on power traces; pass it to ResultStore.scan_timeseries")
        return replace(self, columns=tuple(columns))

    def extent(self) -> str:
        """Describe the rows of the scan, for its `repr`."""
        where = [*self.of_records, *self.of_traces]
        return ", power traces" + "".join(f", where {name} {op} {value!r}" for name, op, value, _ in where)


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
    schema: Mapping[str, str] | None = None,
    infer: bool = True,
    full_names: bool = False,
    limit: int | None = None,
    follow_links: bool = False,
    warns_of_links: bool = True,
    failures: bool = False,
) -> Scan:
    """Return a scan of results; see `ResultStore.scan`.

    Without `infer`, the keys of `effective_config` are JSON strings. With `full_names`, the columns of the
    table have their full names, not those in `columns`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size expects at least 1, got {batch_size}")
    check_policy("config", config, ConfigForm)
    check_policy("on_error", on_error, OnBadFile)
    plan = ResultsPlan(
        root,
        tuple(_columns.all_columns() if columns is None else _columns.check_names(columns)),
        tuple(_conditions.checked(condition) for condition in _conditions.listed(where)),
        config=config,
        optional=tuple(_columns.check_names(optional, "optional")),
        types=_columns.check_types(schema),
        on_error=on_error,
        batch_size=min(batch_size, sys.maxsize),
        infer=infer,
        full_names=full_names,
        max_record_bytes=limit,
        follow_links=follow_links,
        failures=failures,
    )
    return Scan(plan, progress, warns_of_links=warns_of_links)


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
    check_policy("on_error", on_error, OnBadFile)
    names = list(_TRACE_COLUMNS if columns is None else _columns.check_names(columns))
    of_records: list[_conditions.Checked] = []
    of_traces: list[_conditions.Checked] = []
    for condition in _conditions.listed(where):
        name = condition[0] if isinstance(condition, (tuple, list)) and condition else None
        is_of_trace = isinstance(name, str) and _is_of_trace(name, names)
        (of_traces if is_of_trace else of_records).append(_conditions.checked(condition))
    plan = TracesPlan(
        root,
        tuple(names),
        tuple(of_records),
        tuple(of_traces),
        on_error=on_error,
        max_record_bytes=limit,
        max_trace_bytes=trace_limit,
        follow_links=follow_links,
    )
    return Scan(plan, progress)


def count_hashes(
    root: Place, *, limit: int | None = None, follow_links: bool = False, failures: bool = False
) -> tuple[dict[str, int], int]:
    """Count the records of each `measurement_config_hash` below a root.

    Args:
        root: The root.
        limit: The largest record in bytes.
        follow_links: Follow symlinks to directories.
        failures: Count the failures, and not the results.

    Returns:
        The number of records by their hash; and the number of failures that a count of results has met.

    Warns:
        UserWarning: Some files are invalid, or some symlinks to directories were not followed.
    """
    schema = _columns.FAILURE_SCHEMA() if failures else _columns.RECORD_SCHEMA()
    hashes, met, invalid, links = _store.completed(
        handle(root), schema, max_bytes=max_bytes(limit), follow_links=follow_links, failures=failures
    )
    warn_of_skipped([error for _, error in invalid])
    if not failures:
        warn_of_links(root, links)
    return hashes, met


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
