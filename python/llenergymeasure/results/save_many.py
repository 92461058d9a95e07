"""Save of many results: `ResultStore.save_many`."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure._warnings import warn
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import BulkSaveError, PersistenceError, SaveInterrupted
from llenergymeasure.results._encode import Encoded, encode
from llenergymeasure.results._lost_trace import ADVICE, lost_trace
from llenergymeasure.results._paths import Place, handle, local_source, to_path
from llenergymeasure.results._saved_paths import SavedPaths

if TYPE_CHECKING:
    from llenergymeasure.results.types import Progress
    from llenergymeasure.types import ResultPath, TimeseriesSource

__all__ = ["MAX_BYTES", "MAX_PENDING", "save_many"]

MAX_PENDING = 1024
"""Results in flight, at most."""
MAX_BYTES = 64 << 20
"""Bytes of the records in flight, at most."""

_GRACE = 0.15
"""Seconds that an interrupted save waits for the results in flight."""
_MAX_NAMED = 10
"""Results that a warning names, at most."""
_POLL = 0.05
"""Seconds between two checks for a signal."""


def save_many(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    results: Iterable[ExperimentResult],
    timeseries_sources: Iterable[TimeseriesSource | None] | None,
    *,
    durable: bool,
    redact: bool,
    progress: Progress | None,
    flush_method: str | None,
) -> Sequence[ResultPath]:
    """Save results to one directory; see `ResultStore.save_many`."""
    total = len(results) if isinstance(results, Sized) else None
    pairs = _pairs(results, timeseries_sources, total)
    return save_pairs(
        root, pairs, total, durable=durable, redact=redact, progress=progress, flush_method=flush_method
    )


def save_pairs(  # noqa: PLR0913 - as save_many
    root: Place,
    pairs: Iterable[tuple[ExperimentResult | Encoded, TimeseriesSource | None]],
    total: int | None,
    *,
    durable: bool,
    redact: bool = False,
    progress: Progress | None,
    flush_method: str | None,
) -> Sequence[ResultPath]:
    """Save pairs of a result and the source of its power trace; see `ResultStore.save_many`."""
    run = _Run(root, total, durable=durable, redact=redact, progress=progress, flush_method=flush_method)
    try:
        try:
            for index, (result, source) in enumerate(pairs):
                run.submit(index, result, source)
            run.finish()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # The iterable or the callback raised: the submitted results are saved first.
            run.finish(quietly=True)
            if hasattr(error, "add_note"):  # from Python 3.11 on
                error.add_note(run.summary())
            raise
        return run.paths()
    except KeyboardInterrupt as interrupt:
        raise run.interrupted() from interrupt


class _Run:
    """One call of `save_many`: the submitted results and their outcomes."""

    def __init__(  # noqa: PLR0913 - as save_many
        self,
        root: Place,
        total: int | None,
        *,
        durable: bool,
        redact: bool,
        progress: Progress | None,
        flush_method: str | None,
    ) -> None:
        self._root = root
        self._total = total
        self._redact = redact
        self._progress = progress
        self._reported = 0
        self._submitted = 0
        self._outcomes: dict[int, str | Exception] = {}
        """Outcomes that wait for an earlier one: the paths and the errors."""
        self._saved = SavedPaths(root)
        """The outcomes of the first results, in order; empty for an error."""
        self._failed: dict[int, Exception] = {}
        self._missing: list[int] = []
        self._notes: list[tuple[int, str]] = []
        self._lost: list[int] = []
        self._bulk = _store.Bulk(
            handle(root),
            durable=durable,
            max_results=MAX_PENDING,
            max_bytes=MAX_BYTES,
            is_batch=True,
            flush_method=flush_method,
        )

    def submit(self, index: int, result: ExperimentResult | Encoded, source: TimeseriesSource | None) -> None:
        """Submit a result; an error of this result alone becomes its outcome."""
        self._submitted = index + 1
        if lost_trace(result, source) is not None:
            self._lost.append(index)
        try:
            name, record, with_sidecar, suffix = encode(
                result, sidecar=source is not None, redact=self._redact
            )
        except Exception as error:  # noqa: BLE001 - any error fails this result only
            self._outcomes[index] = error.with_traceback(None)  # a traceback keeps the caller's frames alive
            return
        try:
            has_outcomes = self._bulk.submit(
                index,
                name,
                record,
                source=local_source(source),
                record_with_sidecar=with_sidecar,
                suffix=suffix,
            )
        except PersistenceError as error:  # no room for it
            self._outcomes[index] = error
            return
        if has_outcomes:
            self._collect(0.0)

    def finish(self, *, quietly: bool = False) -> None:
        """Wait until every submitted result has its outcome."""
        if quietly:
            self._progress = None
        self._bulk.close()
        while self._collect(_POLL):
            pass
        self._bulk.join()

    def _collect(self, seconds: float) -> bool:
        more = self._bulk.collect(self._outcomes, self._missing, self._notes, seconds)
        self._pack()
        done = len(self._saved) + len(self._outcomes)
        if self._progress is not None and done > self._reported:
            self._reported = done
            self._progress(done, self._total)
        return more

    def _pack(self) -> None:
        """Move outcomes to where they take little memory, in order, up to the first missing one.

        A signal may raise between two steps: then an outcome is in both places, and counts once.
        """
        outcomes, index = self._outcomes, len(self._saved)
        while (outcome := outcomes.get(index)) is not None:
            if isinstance(outcome, str):
                self._saved.add(outcome)
            else:
                self._failed[index] = outcome
                self._saved.add("")
            del outcomes[index]
            index += 1

    def interrupted(self) -> SaveInterrupted:
        """Cancel, and return the error with the state of each result."""
        self._progress = None
        self._bulk.cancel()
        until = time.monotonic() + _GRACE
        while (left := until - time.monotonic()) > 0:
            if not self._collect(left):
                self._bulk.join()
                break
        else:
            # Not a daemon: a result in flight may read a stream that runs Python.
            try:
                threading.Thread(target=self._bulk.join, name="llem-undo").start()
            except RuntimeError:  # no thread started
                self._bulk.join()
        in_place = self._bulk.in_place()
        self._collect(0.0)
        saved, failed = self._split()
        unconfirmed = {
            index: to_path(self._root, path)
            for index, path in in_place
            if index not in saved and index not in failed
        }
        for index, error in list(failed.items()):
            if isinstance(error, PersistenceError) and error.committed is None:
                # A request was in flight, and its answer was not awaited.
                unconfirmed[index] = to_path(self._root, error.filename)
                del failed[index]
        return SaveInterrupted(saved, failed, unconfirmed)

    def paths(self) -> Sequence[ResultPath]:
        """Return the paths of the results in order, or raise their errors."""
        if len(self._saved) != self._submitted or self._failed:
            saved, failed = self._split()
            with contextlib.suppress(UserWarning):
                self._warn_of_missing()
            raise BulkSaveError(saved, failed)
        self._warn_of_missing()
        return self._saved

    def summary(self) -> str:
        """Return a sentence on the outcomes of the submitted results."""
        saved, failed = self._split()
        if failed:
            return f"before that, {BulkSaveError(saved, failed)}"
        return f"before that, {len(saved)} results were saved"

    def _split(self) -> tuple[dict[int, ResultPath], dict[int, Exception]]:
        outcomes = dict(enumerate(self._saved.texts())) | self._failed | self._outcomes
        saved: dict[int, ResultPath] = {}
        failed: dict[int, Exception] = {}
        for index, outcome in sorted(outcomes.items()):
            if isinstance(outcome, Exception):
                failed[index] = outcome
            elif outcome:
                saved[index] = to_path(self._root, outcome)
        return saved, failed

    def _warn_of_missing(self) -> None:
        if self._missing:
            warn(
                f"{len(self._missing)} of {self._submitted} timeseries sources do not exist; those results "
                f"were saved without a sidecar: {_listed(self._missing)}"
            )
        indices: dict[str, list[int]] = {}
        for index, note in self._notes:
            indices.setdefault(note, []).append(index)
        for note, noted in list(indices.items())[:_MAX_NAMED]:
            sidecars = "sidecar" if len(noted) == 1 else f"{len(noted)} sidecars"
            warn(f"of the {sidecars} of results {_listed(noted)}: {note}")
        if self._lost:
            warn(
                f"{len(self._lost)} of {self._submitted} results name a power trace of the store that they "
                f"were loaded from, which was not saved with them: {_listed(self._lost)}; {ADVICE}"
            )


def _listed(indices: list[int]) -> str:
    more = ", ..." if len(indices) > _MAX_NAMED else ""
    return ", ".join(map(str, sorted(indices)[:_MAX_NAMED])) + more


def _pairs(
    results: Iterable[ExperimentResult],
    sources: Iterable[TimeseriesSource | None] | None,
    total: int | None,
) -> Iterator[tuple[ExperimentResult, TimeseriesSource | None]]:
    """Return pairs of each result and its source."""
    if isinstance(results, ExperimentResult):
        raise TypeError("results expects an iterable of results, got one result; use save")
    if sources is None:
        return zip(results, itertools.repeat(None), strict=False)
    if isinstance(sources, (str, bytes)):
        raise TypeError(f"timeseries_sources expects one source per result, got the string {sources!r}")
    if total is not None and isinstance(sources, Sized) and len(sources) != total:
        raise ValueError(f"timeseries_sources expects {total} sources, got {len(sources)}")
    return zip(results, sources, strict=True)
