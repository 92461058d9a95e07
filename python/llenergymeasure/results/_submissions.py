"""The results in flight between the threads that submit them and the writer's thread."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Final, NamedTuple

from llenergymeasure import _store
from llenergymeasure._escape import escape
from llenergymeasure.errors import BulkSaveError
from llenergymeasure.results._encode import Encoded, encode
from llenergymeasure.results._paths import Place, to_path

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.types import OnError, TimeseriesSource
    from llenergymeasure.types import ResultPath

THREAD: Final = "llem-writer"
"""The name of each writer's thread."""

_POLL = 0.5
"""Seconds between two checks whether the interpreter exits."""

_LOCK_TIMEOUT = 5.0
"""Seconds after which a lock, usually held for microseconds, counts as abandoned."""


class _InFlight(NamedTuple):
    """A result in flight."""

    future: Future[ResultPath]
    result: ExperimentResult | None
    """The argument of the `on_error` function; else None, to free its memory."""


class Submissions:
    """The state that a writer shares with its thread: submitted results and their futures.

    A signal may raise between any two steps of the caller. Steps that belong together are one call of the
    extension.
    """

    def __init__(self, root: Place, bulk: _store.Bulk, on_error: OnError) -> None:
        self._root = root
        self._bulk = bulk
        self._on_error = on_error
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # By ticket, since the last flush; `_saved` holds names of directories.
        self._saved: dict[int, str] = {}
        self._failed: dict[int, Exception] = {}
        self.in_flight: dict[int, _InFlight] = {}
        self.closed = False
        self.orphaned = False

    def submit(
        self, result: ExperimentResult | Encoded, source: TimeseriesSource | None, *, redact: bool
    ) -> Future[ResultPath]:
        """Encode a result and submit it; wait for room."""
        if self.closed:
            raise ValueError("the writer is closed")
        future: Future[ResultPath] = Future()
        future.set_running_or_notify_cancel()
        # Only the argument of a function is kept.
        wanted = None if isinstance(result, Encoded) or not callable(self._on_error) else result
        entry = _InFlight(future, wanted)
        ticket = self._bulk.next_ticket()
        # The writer's thread makes the room: a callback that submits must not wait for it.
        waits_for_room = threading.current_thread() is not self._thread
        try:
            name, record, with_sidecar, _ = encode(result, sidecar=source is not None, redact=redact)
        except Exception as error:  # noqa: BLE001 - the future has the error
            # A traceback keeps the writer and the caller's frames alive.
            self._bulk.refuse(
                ticket,
                error.with_traceback(None),
                in_flight=self.in_flight,
                entry=entry,
                patient=waits_for_room,
            )
            return future
        self._bulk.submit(
            ticket,
            name,
            record,
            source=source,
            record_with_sidecar=with_sidecar,
            in_flight=self.in_flight,
            entry=entry,
            patient=waits_for_room,
        )
        return future

    def wait(self) -> None:
        """Wait until everything that was submitted so far is settled."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "a callback cannot wait for its own writer; flush or close it in another thread"
            )
        mark = max(self.in_flight.copy(), default=-1) + 1
        self._bulk.wait_settled(mark)

    def raise_failures(self) -> None:
        """Raise the failures since the last call."""
        with self._lock:
            saved, self._saved = self._saved, {}
            failed, self._failed = self._failed, {}
        if failed:
            path = to_path(self._root, str(self._root))
            paths = {ticket: path.joinpath(name, _store.RECORD) for ticket, name in sorted(saved.items())}
            raise BulkSaveError(paths, dict(sorted(failed.items())))

    def close(self, *, orphaned: bool = False) -> None:
        """Accept no more results."""
        self.closed = True
        self.orphaned = self.orphaned or orphaned
        self._bulk.close()

    def abandon(self) -> None:
        """Accept no more results, and undo those that are not in place."""
        self.closed = True
        self._bulk.cancel()

    def serve(self) -> None:
        """Resolve futures until the writer is closed and none is left, in the writer's thread."""
        self._thread = threading.current_thread()
        more = True
        while more:
            outcomes: dict[int, str | Exception] = {}
            missing: list[int] = []
            notes: list[tuple[int, str]] = []
            more = self._bulk.collect(outcomes, missing, notes, _POLL)
            for ticket, outcome in outcomes.items():
                self._resolve(ticket, outcome, list(_doubts(ticket, outcome, missing, notes)))
            self._bulk.settle(list(outcomes))
            # Checked even while outcomes come: a daemon thread may submit without end.
            if not self.closed and _is_last_thread():
                self.close(orphaned=True)
        refused = self.in_flight.copy()  # a refused submit removes its own entry
        for ticket, (future, _) in refused.items():
            future.set_exception(CancelledError())
            self.in_flight.pop(ticket, None)
        self._bulk.settle(list(refused))
        self._bulk.join()
        if self.orphaned:
            self.raise_failures()

    def _resolve(self, ticket: int, outcome: str | Exception, doubts: list[str]) -> None:
        future, result = self.in_flight[ticket]
        failure = outcome if isinstance(outcome, Exception) else None
        try:
            for doubt in doubts:
                failure = _warn_in_thread(doubt) or failure
            if failure is None:
                path = to_path(self._root, str(outcome))
                if self._on_error != "ignore":
                    with self._lock:
                        self._saved[ticket] = path.parent.name
                if _is_usable(future):
                    future.set_result(path)
            else:
                self._fail(ticket, result, failure)
                if _is_usable(future):
                    future.set_exception(failure)
        except BaseException:  # noqa: BLE001 - raised by a callback; other futures must still resolve
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        finally:
            del self.in_flight[ticket]

    def _fail(self, ticket: int, result: ExperimentResult | None, error: Exception) -> None:
        if callable(self._on_error) and result is not None:
            try:
                self._on_error(result, error)
            except BaseException as raised:  # noqa: BLE001 - flush raises it; the thread must go on
                if isinstance(raised, Exception):
                    raised.__context__ = raised.__context__ or error
                    error = raised
            else:
                return
        elif self._on_error == "ignore":
            return
        with self._lock:
            self._failed[ticket] = error


def _is_usable(future: Future[ResultPath]) -> bool:
    """Return False for a future that cannot be resolved: a signal in its methods left its lock held.

    No thread can use such a future again; the other futures must not wait for it.
    """
    lock = future._condition  # noqa: SLF001 - there is no public access
    if not lock.acquire(timeout=_LOCK_TIMEOUT):
        return False
    lock.release()
    return True


def _doubts(
    ticket: int, path: str | Exception, missing: list[int], notes: list[tuple[int, str]]
) -> Iterator[str]:
    """Return the warnings about the sidecar of a saved result."""
    if ticket in missing:
        yield (
            f"the timeseries source of result {ticket} was removed after the submit; "
            f"the result was saved without a sidecar at {path}"
        )
    for noted, note in notes:
        if noted == ticket:
            yield f"the sidecar of the result at {path}: {note}"


def _warn_in_thread(message: str) -> Exception | None:
    """Warn, and return a warning that a filter raises."""
    # A warning filter or `showwarning` may raise; the result is saved all the same.
    try:
        warnings.warn(escape(message), UserWarning, stacklevel=2)
    except UserWarning as warning:
        return warning
    except Exception:  # noqa: BLE001
        return None
    return None


def _is_last_thread() -> bool:
    """Return True if the interpreter waits only for writers before it exits."""
    if threading.main_thread().is_alive():
        return False
    others = (thread for thread in threading.enumerate() if not thread.daemon)
    return all(thread.name == THREAD for thread in others if thread is not threading.main_thread())
