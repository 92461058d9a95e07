"""Results saved in the background: `ResultStore.writer`."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from llenergymeasure import _store
from llenergymeasure.errors import BulkSaveError, PersistenceError
from llenergymeasure.results._submissions import THREAD, Submissions
from llenergymeasure.results._warnings import warn
from llenergymeasure.results.save_many import MAX_BYTES

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.types import OnError, TimeseriesSource

__all__ = ["Writer"]


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
        self, root: str, *, durable: bool, max_pending: int, on_error: OnError, flush_method: str | None
    ) -> None:
        """Open it: see `ResultStore.writer`."""
        if max_pending < 1:
            raise ValueError(f"max_pending is at least 1, not {max_pending}")
        if on_error not in ("raise", "ignore") and not callable(on_error):
            raise ValueError(f"on_error is 'raise', 'ignore' or a function, not {on_error!r}")
        self._root = root
        self._process = os.getpid()
        bulk = _store.Bulk(
            root,
            durable=durable,
            max_results=max_pending,
            max_bytes=MAX_BYTES,
            many=False,
            engine=flush_method,
        )
        self._submissions = Submissions(root, bulk, on_error)
        self._thread = threading.Thread(target=self._submissions.serve, name=THREAD)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._submissions.close()
            raise PersistenceError(errno.EAGAIN, str(error), root, "start") from error

    def __repr__(self) -> str:
        """Name the directory and what is under way."""
        state = "closed" if self._submissions.closed else f"{len(self._submissions.under_way)} under way"
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
        future = self._submissions.submit(result, None if missing else timeseries_source)
        if missing:
            warn(
                f"timeseries source {os.fspath(timeseries_source)!r} does not exist; "  # type: ignore[arg-type]
                "the result is saved without a sidecar"
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
        self._submissions.wait()
        self._submissions.raise_failures()

    def close(self) -> None:
        """Flush, and stop; a closed writer takes nothing more. Closing it again does nothing.

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
            # Whoever does not wait any more is told by the thread what fails after that.
            self._submissions.orphaned = True
            raise
        self._submissions.raise_failures()

    def _abandon(self, seconds: float) -> None:
        """Undo what is not in place yet, and wait for that, but not longer."""
        self._submissions.abandon()
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
        submissions: Submissions | None = self.__dict__.get("_submissions")
        if submissions is None or submissions.closed or os.getpid() != self._process:
            return
        submissions.close(orphaned=True)
        warnings.warn(f"unclosed writer of {self._root!r}", ResourceWarning, source=self, stacklevel=2)

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this writer belongs to process {self._process}; open another one in this process: "
                f"ResultStore({self._root!r}).writer()"
            )


def _is_missing(path: str | os.PathLike[str]) -> bool:
    """Whether there is no such file; what cannot be looked at is the store's to judge."""
    try:
        os.stat(path)  # noqa: PTH116 - any path-like
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
