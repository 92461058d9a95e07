"""Save of results in the background: `ResultStore.writer`."""

from __future__ import annotations

import errno
import os
import sys
import threading
import warnings
from concurrent.futures import Future
from typing import TYPE_CHECKING, NoReturn

from llenergymeasure import _store
from llenergymeasure._warnings import warn
from llenergymeasure.errors import BulkSaveError, PersistenceError
from llenergymeasure.results._durability import warn_once
from llenergymeasure.results._lost_trace import ADVICE, lost_trace
from llenergymeasure.results._paths import Place, handle, local_source
from llenergymeasure.results._submissions import THREAD, Submissions
from llenergymeasure.results._threads import check_threads
from llenergymeasure.results.save_many import MAX_BYTES
from llenergymeasure.results.types import OnUnsaved, check_policy

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results._encode import Encoded
    from llenergymeasure.results.types import OnError, TimeseriesSource
    from llenergymeasure.types import ResultPath

__all__ = ["Writer"]


class Writer:
    """A background saver of results.

    `submit` returns a future at once. The future resolves to the path of `result.json` when the result would
    survive a power cut. All threads of a process may submit. Backpressure: if the disk is slower than the
    threads, `submit` waits instead of filling memory.

    Use a writer in a `with` block: the end of the block waits for every submitted result. A writer that is
    not closed still saves them, at the latest when the interpreter exits.

    Limits: a writer belongs to the process that opened it; a child process opens its own. Between two
    flushes, a writer stores about 200 bytes per result for the error that the next flush may raise. It needs
    threads of the operating system: gevent and eventlet must not have patched `threading`.

        with ResultStore("results").writer() as writer:
            for result in sweep():
                writer.submit(result)

    A coroutine calls `await asyncio.wrap_future(writer.submit(result))`.
    """

    def __init__(  # noqa: PLR0913 - the parameters of the method
        self,
        root: Place,
        *,
        durable: bool,
        redact: bool,
        max_pending: int,
        on_error: OnError,
        flush_method: str | None,
    ) -> None:
        """Open a writer; see `ResultStore.writer`."""
        if max_pending < 1:
            raise ValueError(f"max_pending expects at least 1, got {max_pending}")
        if not callable(on_error):
            check_policy("on_error", on_error, OnUnsaved, "a function")
        check_threads()
        self._root = root
        self._process = os.getpid()
        self._durable, self._redact = durable, redact
        bulk = _store.Bulk(
            handle(root),
            durable=durable,
            max_results=min(max_pending, sys.maxsize),
            max_bytes=MAX_BYTES,
            is_batch=False,
            flush_method=flush_method,
        )
        self._submissions = Submissions(root, bulk, on_error)
        self._thread = threading.Thread(target=self._submissions.serve, name=THREAD)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._submissions.close()
            raise PersistenceError(errno.EAGAIN, str(error), str(root), "start") from error

    def __repr__(self) -> str:
        """Return the directory and the number of results in flight."""
        state = "closed" if self._submissions.closed else f"{len(self._submissions.in_flight)} in flight"
        return f"<Writer of {str(self._root)!r}, {state}>"

    def __reduce__(self) -> NoReturn:
        """Reject pickling."""
        raise TypeError(
            "a writer cannot be pickled, since it belongs to its process; open another one there: "
            f"ResultStore({str(self._root)!r}).writer()"
        )

    def submit(
        self,
        result: ExperimentResult,
        timeseries_source: TimeseriesSource | None = None,
        *,
        redact: bool | None = None,
    ) -> Future[ResultPath]:
        """Submit a result, and return a future of the path of its `result.json`.

        The result is encoded before `submit` returns. The source is read later: do not change the file until
        the future resolves. The future has the errors of `ResultStore.save`, and cannot be cancelled.
        `redact` is as for `ResultStore.save`; None is that of the writer.

        Raises:
            ValueError: The writer is closed.
            RuntimeError: The writer belongs to another process.
            KeyboardInterrupt: Ctrl-C. An interrupt while `submit` waits for room drops the result; an
                interrupt at its very end comes too late, and the result is saved.

        Warns:
            UserWarning: `timeseries_source` does not exist, and the result is saved without a sidecar; or as
                `ResultStore.save` for a loaded result.
        """
        return self._submit(result, timeseries_source, self._redact if redact is None else redact)

    def _submit(
        self,
        result: ExperimentResult | Encoded,
        timeseries_source: TimeseriesSource | None,
        redact: bool,  # noqa: FBT001 - not for users
    ) -> Future[ResultPath]:
        self._check_process()
        timeseries_source = local_source(timeseries_source)
        missing = isinstance(timeseries_source, (str, os.PathLike)) and _is_missing(timeseries_source)
        future = self._submissions.submit(result, None if missing else timeseries_source, redact=redact)
        if missing:
            warn(
                f"timeseries source {os.fspath(timeseries_source)!r} does not exist; "  # type: ignore[arg-type]
                "the result is saved without a sidecar"
            )
        elif (trace := lost_trace(result, timeseries_source)) is not None:
            warn(f"a result names a power trace that is not saved with it, {trace!r}; {ADVICE}")
        return future

    def flush(self) -> None:
        """Wait until every result that was submitted so far is durable or has failed.

        Raises:
            BulkSaveError: A result failed since the last flush. The keys count the results that were
                submitted to this writer, from 0; `saved` has those since the last flush.
            RuntimeError: The writer belongs to another process, or a callback of a future calls `flush` and
                would wait for itself.
        """
        self._check_process()
        self._submissions.wait()
        self._submissions.raise_failures()
        self._warn()

    def close(self) -> None:
        """Flush and stop. A closed writer accepts no results; closing it again does nothing.

        Raises:
            BulkSaveError: As `flush`.
            RuntimeError: As `flush`.
        """
        self._check_process()
        try:
            self._submissions.close()
            self._submissions.wait()
            self._thread.join()
        except BaseException:
            # The thread reports the failures that this call no longer waits for.
            self._submissions.orphaned = True
            raise
        self._submissions.raise_failures()
        self._warn()

    def _warn(self) -> None:
        """Warn once of an object store that may not keep its promises, after the first saves."""
        if self._durable and not isinstance(self._root, str):
            warn_once(self._root)

    def _abandon(self, seconds: float) -> None:
        """Undo the results that are not in place, and wait for that for some seconds."""
        self._submissions.abandon()
        self._thread.join(seconds)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the writer. An exception of the block takes precedence over failed saves."""
        try:
            self.close()
        except (BulkSaveError, RuntimeError) as failure:
            if error is None:
                raise
            if hasattr(error, "add_note"):  # from Python 3.11 on
                error.add_note(f"and the writer: {failure}")

    def __del__(self) -> None:
        """Close a writer that was not closed; its thread finishes the submitted results."""
        submissions: Submissions | None = self.__dict__.get("_submissions")
        if submissions is None or submissions.closed or os.getpid() != self._process:
            return
        submissions.close(orphaned=True)
        warnings.warn(f"unclosed writer of {str(self._root)!r}", ResourceWarning, source=self, stacklevel=2)

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this writer belongs to process {self._process}; open another one in this process: "
                f"ResultStore({str(self._root)!r}).writer()"
            )


def _is_missing(path: str | os.PathLike[str]) -> bool:
    """Return True if a file does not exist; the store handles any other error."""
    try:
        os.stat(path)  # noqa: PTH116 - any path-like
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
