"""The results under way between the threads that submit them and the writer's own."""

from __future__ import annotations

import sys
import threading
import warnings
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from llenergymeasure import _store
from llenergymeasure.errors import BulkSaveError
from llenergymeasure.results._encode import encode
from llenergymeasure.results._interrupt import is_interruptible

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.types import OnError, TimeseriesSource

__all__ = ["THREAD", "Submissions"]

THREAD: Final = "llem-writer"
"""The name of each writer's thread."""

_LOOK = 0.5
"""Seconds between two looks at whether the interpreter is about to exit."""

_LOST = 5.0
"""Seconds after which a lock that is held for microseconds will not be released."""


class _UnderWay(NamedTuple):
    future: Future[Path]
    result: ExperimentResult | None
    """For whoever is told of its failure."""


class Submissions:
    """Where results are handed in and futures resolved: what the writer shares with its thread.

    A signal may raise between any two steps of the caller's. What must not be torn apart is one call of the
    engine.
    """

    def __init__(self, root: str, bulk: _store.Bulk, on_error: OnError) -> None:
        self._root = root
        self._bulk = bulk
        self._on_error = on_error
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # Since the last flush, by their tickets; of what is saved, the directory's name.
        self._saved: dict[int, str] = {}
        self._failed: dict[int, Exception] = {}
        self.under_way: dict[int, _UnderWay] = {}
        self.closed = False
        self.orphaned = False

    def submit(self, result: ExperimentResult, source: TimeseriesSource | None) -> Future[Path]:
        """Encode a result, and hand it to the engine; waits for room."""
        if self.closed:
            raise ValueError("the writer is closed")
        future: Future[Path] = Future()
        future.set_running_or_notify_cancel()
        entry = _UnderWay(future, result if callable(self._on_error) else None)
        ticket = self._bulk.next_ticket()
        interruptible = is_interruptible()
        # The thread that makes room does not wait for it: a callback may submit.
        patient = threading.current_thread() is not self._thread
        try:
            name, record, beside = encode(result, sidecar=source is not None)
        except Exception as error:  # noqa: BLE001 - it is the future that fails
            # Its traceback would keep the writer, and whatever the caller has, alive.
            self._bulk.refuse(
                ticket,
                error.with_traceback(None),
                interruptible=interruptible,
                under_way=self.under_way,
                entry=entry,
                patient=patient,
            )
            return future
        self._bulk.submit(
            ticket,
            name,
            record,
            source=source,
            record_beside=beside,
            interruptible=interruptible,
            under_way=self.under_way,
            entry=entry,
            patient=patient,
        )
        return future

    def wait(self) -> None:
        """Wait until everything that was submitted before is settled."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback cannot wait for its own writer")
        mark = max(self.under_way.copy(), default=-1) + 1
        self._bulk.wait_settled(mark, is_interruptible())

    def raise_failures(self) -> None:
        """Raise what failed since the last time."""
        with self._lock:
            saved, self._saved = self._saved, {}
            failed, self._failed = self._failed, {}
        if failed:
            paths = {ticket: Path(self._root, name, _store.RECORD) for ticket, name in sorted(saved.items())}
            raise BulkSaveError(paths, dict(sorted(failed.items())))

    def close(self, *, orphaned: bool = False) -> None:
        """Take no more."""
        self.closed = True
        self.orphaned = self.orphaned or orphaned
        self._bulk.close()

    def abandon(self) -> None:
        """Take no more, and undo what is not in place yet."""
        self.closed = True
        self._bulk.cancel()

    def serve(self) -> None:
        """Resolve futures until the writer is closed and all are; what the writer's thread does."""
        self._thread = threading.current_thread()
        more = True
        while more:
            outcomes: dict[int, str | Exception] = {}
            missing: list[int] = []
            more = self._bulk.collect(outcomes, missing, _LOOK)
            for ticket, outcome in outcomes.items():
                self._tell(ticket, outcome, vanished=ticket in missing)
            self._bulk.settle(list(outcomes))
            # Also while there is more and more: a daemon thread may submit for as long as it is let.
            if not self.closed and _is_last_thread():
                self.close(orphaned=True)
        given_up = self.under_way.copy()  # a submit that is being refused takes its own away
        for ticket, (future, _) in given_up.items():
            future.set_exception(CancelledError())
            self.under_way.pop(ticket, None)
        self._bulk.settle(list(given_up))
        self._bulk.join()
        if self.orphaned:
            self.raise_failures()

    def _tell(self, ticket: int, outcome: str | Exception, *, vanished: bool) -> None:
        future, result = self.under_way[ticket]
        trouble = outcome if isinstance(outcome, Exception) else None
        try:
            if vanished:
                trouble = _warn_of_vanished(ticket, outcome)
            if trouble is None:
                path = Path(str(outcome))
                if self._on_error != "ignore":
                    with self._lock:
                        self._saved[ticket] = path.parent.name
                if _is_usable(future):
                    future.set_result(path)
            else:
                self._fail(ticket, result, trouble)
                if _is_usable(future):
                    future.set_exception(trouble)
        except BaseException:  # noqa: BLE001 - of a callback; others wait for their futures
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        finally:
            del self.under_way[ticket]

    def _fail(self, ticket: int, result: ExperimentResult | None, error: Exception) -> None:
        if callable(self._on_error) and result is not None:
            try:
                self._on_error(result, error)
            except BaseException as raised:  # noqa: BLE001 - whoever flushes hears of it; a thread cannot exit
                if isinstance(raised, Exception):
                    raised.__context__ = raised.__context__ or error
                    error = raised
            else:
                return
        elif self._on_error == "ignore":
            return
        with self._lock:
            self._failed[ticket] = error


def _is_usable(future: Future[Path]) -> bool:
    """Whether a future can be resolved: a signal within its methods may leave its lock taken for ever.

    Nobody can use such a future again; the others must not wait for it.
    """
    lock = future._condition  # noqa: SLF001 - there is no other way to ask
    if not lock.acquire(timeout=_LOST):
        return False
    lock.release()
    return True


def _warn_of_vanished(ticket: int, path: str | Exception) -> Exception | None:
    """Warn that a source was there at the submit and not later; return the warning where it is an error."""
    # Whoever shows the warning may fail, too; that is no failure of the result.
    try:
        warnings.warn(
            f"the timeseries source of result no. {ticket} does not exist any more; "
            f"the result was saved without a sidecar at {path}",
            UserWarning,
            stacklevel=2,
        )
    except UserWarning as warning:
        return warning
    except Exception:  # noqa: BLE001
        return None
    return None


def _is_last_thread() -> bool:
    """Whether the interpreter exits as soon as writers let it."""
    if threading.main_thread().is_alive():
        return False
    others = (thread for thread in threading.enumerate() if not thread.daemon)
    return all(thread.name == THREAD for thread in others if thread is not threading.main_thread())
