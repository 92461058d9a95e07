"""Results saved in the background: `ResultStore.writer`."""

from __future__ import annotations

import errno
import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn, TypeAlias

from llenergymeasure import _store
from llenergymeasure.errors import BulkSaveError, PersistenceError
from llenergymeasure.results._encoding import caller, encode
from llenergymeasure.results.bulk import MAX_BYTES

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.store import TimeseriesSource

__all__ = ["OnError", "Writer"]

OnError: TypeAlias = "Literal['raise', 'ignore'] | Callable[[ExperimentResult, Exception], object]"

_THREAD = "llem-writer"
_LOOK = 0.5
"""Seconds between two looks at whether the interpreter is about to exit."""

_LOST = 5.0
"""Seconds after which a lock that is held for microseconds will not be released."""


class Writer:
    """Saves results in the background.

    `submit` returns at once with a future; the future resolves to the path of `result.json` when that would
    survive a power cut. All threads of the process may submit. A disk that is slower than they are makes
    `submit` wait instead of filling memory.

    Use it in a `with` block: leaving the block waits for everything that was submitted. A writer that nobody
    closes still saves all of it, at the exit of the interpreter at the latest. It belongs to the process that
    opened it; a child opens its own. Between two flushes it remembers the name of each directory it made,
    some 200 bytes, for the error that the next flush may raise.

        with ResultStore("results").writer() as writer:
            for result in sweep():
                writer.submit(result)

    In a coroutine, `await asyncio.wrap_future(writer.submit(result))`.
    """

    def __init__(
        self, root: str, *, durable: bool, max_pending: int, on_error: OnError, engine: str | None
    ) -> None:
        """Open it: see `ResultStore.writer`."""
        if max_pending < 1:
            raise ValueError(f"max_pending is at least 1, not {max_pending}")
        if on_error not in ("raise", "ignore") and not callable(on_error):
            raise ValueError(f"on_error is 'raise', 'ignore' or a function, not {on_error!r}")
        self._root = root
        self._process = os.getpid()
        bulk = _store.Bulk(
            root, durable=durable, max_results=max_pending, max_bytes=MAX_BYTES, many=False, engine=engine
        )
        self._desk = _Desk(root, bulk, on_error)
        self._thread = threading.Thread(target=self._desk.serve, name=_THREAD)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._desk.close()
            raise PersistenceError(errno.EAGAIN, str(error), root, "start") from error

    def __repr__(self) -> str:
        """Name the directory and what is under way."""
        state = "closed" if self._desk.closed else f"{len(self._desk.under_way)} under way"
        return f"<Writer of {self._root!r}, {state}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to go to another process."""
        raise TypeError(
            "a writer cannot be pickled, it stays in its process; open another one there: "
            f"ResultStore({self._root!r}).writer()"
        )

    def submit(
        self, result: ExperimentResult, timeseries_source: TimeseriesSource | None = None
    ) -> Future[Path]:
        """Hand over a result, and return a future of the path of its `result.json`.

        The result is read before this returns, the sidecar's source after it: a file must stay as it is until
        the future resolves. The future fails as `ResultStore.save` would; it cannot be cancelled.

        Raises:
            ValueError: The writer is closed.
            RuntimeError: It belongs to another process.
            KeyboardInterrupt: Ctrl-C. While this waited for room, the result was not taken; at its very end,
                it was, and is saved.

        Warns:
            UserWarning: `timeseries_source` does not exist; the result is saved without a sidecar.
        """
        self._check_process()
        missing = isinstance(timeseries_source, (str, os.PathLike)) and _is_missing(timeseries_source)
        future = self._desk.submit(result, None if missing else timeseries_source)
        if missing:
            warnings.warn(
                f"timeseries source {os.fspath(timeseries_source)!r} does not exist; "  # type: ignore[arg-type]
                "the result is saved without a sidecar",
                UserWarning,
                stacklevel=caller(),
            )
        return future

    def flush(self) -> None:
        """Wait until everything that was submitted before is durable, or has failed.

        Raises:
            BulkSaveError: Something failed since the last flush. Results are numbered by their submission to
                this writer, from 0; `saved` has those since the last flush.
            RuntimeError: The writer belongs to another process, or a callback of a future called this and
                would wait for itself.
        """
        self._check_process()
        self._desk.wait()
        self._desk.raise_failures()

    def close(self) -> None:
        """Flush, and stop; a closed writer takes nothing more. Closing it again does nothing.

        Raises:
            BulkSaveError: As `flush`.
            RuntimeError: As `flush`.
        """
        self._check_process()
        try:
            self._desk.close()
            self._desk.wait()
            self._thread.join()
        except BaseException:
            # Whoever does not wait any more is told by the thread what fails after that.
            self._desk.orphaned = True
            raise
        self._desk.raise_failures()

    def _abandon(self, seconds: float) -> None:
        """Undo what is not in place yet, and wait for that, but not longer."""
        self._desk.abandon()
        self._thread.join(seconds)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. An exception of the block goes before what failed to be saved."""
        try:
            self.close()
        except (BulkSaveError, RuntimeError) as trouble:
            if error is None:
                raise
            if hasattr(error, "add_note"):  # from Python 3.11 on
                error.add_note(f"and the writer: {trouble}")

    def __del__(self) -> None:
        """Finish what was submitted to a writer that nobody closed."""
        desk: _Desk | None = self.__dict__.get("_desk")
        if desk is None or desk.closed or os.getpid() != self._process:
            return
        desk.close(orphaned=True)
        warnings.warn(f"unclosed writer of {self._root!r}", ResourceWarning, source=self, stacklevel=2)

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this writer belongs to process {self._process}; open another one in this process: "
                f"ResultStore({self._root!r}).writer()"
            )


class _UnderWay(NamedTuple):
    future: Future[Path]
    result: ExperimentResult | None
    """For whoever is told of its failure."""


class _Desk:
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
        interruptible = threading.current_thread() is threading.main_thread()
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
        self._bulk.wait_settled(mark, threading.current_thread() is threading.main_thread())

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


def _is_missing(path: str | os.PathLike[str]) -> bool:
    """Whether there is no such file; what cannot be looked at is the store's to judge."""
    try:
        os.stat(path)  # noqa: PTH116 - any path-like
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


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
    return all(thread.name == _THREAD for thread in others if thread is not threading.main_thread())
