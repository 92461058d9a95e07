"""Errors of saving and loading results."""

from __future__ import annotations

import errno as codes
import os
from typing import TYPE_CHECKING, Any

from llenergymeasure._escape import escape

if TYPE_CHECKING:
    from llenergymeasure.types import ResultPath

__all__ = [
    "BulkSaveError",
    "LLEMError",
    "NotImportableError",
    "PersistenceError",
    "ResultCorruptError",
    "ResultError",
    "SaveInterrupted",
    "SchemaVersionError",
    "SidecarError",
]


class LLEMError(Exception):
    """Base class of the package's errors. Their text is one line that cannot steer a terminal."""

    def __str__(self) -> str:
        """Return the message, with escapes for characters that are not printable."""
        return escape(super().__str__())


class ResultError(LLEMError):
    """Error for a file that is not a valid result or power trace."""


class ResultCorruptError(ResultError):
    """Error for an incomplete file.

    The record is empty, truncated, NUL-filled, not UTF-8 or not JSON; the power trace is not Parquet.
    """


class SchemaVersionError(ResultError):
    """Error for a complete record of a schema line that this version of the package does not read."""


class NotImportableError(LLEMError):
    """Error for a file of another tool, or a record of it, that cannot be imported."""


_CLASSES: dict[tuple[type[PersistenceError], type[OSError]], type[PersistenceError]] = {}


def _with_builtin(cls: type[PersistenceError], errno: int | None) -> type[PersistenceError]:
    """Return a subclass of `cls` and of the `OSError` that Python itself raises for a code."""
    builtin = type(OSError(errno, "")) if errno is not None else OSError
    if builtin is OSError or issubclass(cls, builtin):
        return cls
    if (cls, builtin) not in _CLASSES:
        namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        _CLASSES[cls, builtin] = type(cls.__name__, (cls, builtin), namespace)
    return _CLASSES[cls, builtin]


class PersistenceError(LLEMError, OSError):
    """An `OSError` of a save or a read, with the step that failed, on a file system or in an object store.

    An instance is also of the subclass of `OSError` that Python raises for its code: `except PermissionError`
    and `except FileNotFoundError` catch it.

    Attributes:
        errno: The operating system's code.
        strerror: The operating system's message.
        filename: The path or the URL that the step used.
        step: The step that failed: `"claim"`, `"write"`, `"flush"`, `"commit"`, ...
        committed: False: nothing was saved, and saving again is safe. True: the record is in place and
            complete; saving again makes a second copy. None: no answer came from an object store, and it is
            unknown; `ResultStore.resolve` asks later.
        result_path: The path or URL of the committed `result.json`; None unless `committed` is true.
        status: The HTTP status of the answer of an object store, or None.
        request_id: The number of the request in the logs of the object store, or None.
        save_id: The random id of a save whose outcome is unknown, or None. Its record has it as metadata.
    """

    step: str
    result_path: str | None
    status: int | None
    request_id: str | None
    save_id: str | None

    def __new__(  # noqa: PYI034 - returns the subclass for the code
        cls,
        errno: int | None = None,
        strerror: str | None = None,
        filename: str | os.PathLike[str] | None = None,
        *_: object,
        **__: object,
    ) -> PersistenceError:
        """Create an instance of the subclass for the code."""
        fitting = _with_builtin(cls, errno)
        if filename is None:
            return OSError.__new__(fitting, errno, strerror)
        return OSError.__new__(fitting, errno, strerror, os.fspath(filename))

    def __init__(  # noqa: PLR0913, PLR0917 - the attributes
        self,
        errno: int | None = None,  # noqa: ARG002 - __new__ passes these to OSError
        strerror: str | None = None,  # noqa: ARG002
        filename: str | os.PathLike[str] | None = None,  # noqa: ARG002
        step: str = "",
        result_path: str | os.PathLike[str] | None = None,
        status: int | None = None,
        request_id: str | None = None,
        save_id: str | None = None,
    ) -> None:
        """Store the step, the path of a committed result, and the answer of an object store."""
        self.step = step
        self.result_path = None if result_path is None else os.fspath(result_path)
        self.status, self.request_id, self.save_id = status, request_id, save_id

    @property
    def committed(self) -> bool | None:
        """True if the record is in place and complete; None if that is unknown."""
        if self.result_path is not None:
            return True
        return False if self.save_id is None else None

    @property
    def url(self) -> str | None:
        """The URL that the step used; None on a file system."""
        return self.filename if isinstance(self.filename, str) and "://" in self.filename else None

    @property
    def _outcome(self) -> str:
        if self.committed and self.errno == codes.EROFS:
            return (
                f"the result is complete at {self.result_path}, but the file system became read-only and may "
                "lose it at the next mount; save it elsewhere"
            )
        if self.committed is None:
            return (
                "it is unknown whether the result was saved: no answer came; ask later with "
                "ResultStore.resolve(error), before you save it again"
            )
        if self.committed:
            return (
                f"the result is complete at {self.result_path}, but its flush is unconfirmed: a power cut "
                "may lose it; do not save it again"
            )
        if self.step in ("read", "read_timeseries", "scan", "start_reading"):
            return ""
        return "nothing was saved, and saving again is safe"

    def __str__(self) -> str:
        """Return one sentence: the step, the path, the reason, and the state on disk."""
        code = codes.errorcode.get(self.errno or 0, "no code")
        if self.url is not None:
            answer = (("HTTP", self.status), ("request", self.request_id))
            named = "" if self.errno == codes.EIO else code  # no code of the system says more
            code = ", ".join(f"{what} {value}" for what, value in answer if value is not None) or named
        where = f" {self.filename!r}" if self.filename is not None else ""
        action = (_ACTIONS if self.url is None else _ACTIONS | _REQUESTS).get(self.step, self.step)
        outcome = self._outcome
        text = f"cannot {action}{where}: {self.strerror}" + (f" [{code}]" if code else "")
        return escape(text + (f"; {outcome}" if outcome else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the public class, since the subclass for the code exists in this process only."""
        public = SidecarError if isinstance(self, SidecarError) else PersistenceError
        answer = (self.status, self.request_id, self.save_id)
        return public, (self.errno, self.strerror, self.filename, self.step, self.result_path, *answer)


class SidecarError(PersistenceError):
    """Error for a sidecar that was not stored; the result is safe at `result_path`."""

    @property
    def _outcome(self) -> str:
        return f"the result itself is safe, without a sidecar, at {self.result_path}"


class BulkSaveError(LLEMError):
    """Error for a bulk save of which some results failed.

    Attributes:
        saved: The path of each result that is safe, by its index in the input, from 0.
        failed: The error of each other result, by the same index. A `PersistenceError` whose `committed` is
            true, and a `SidecarError`, have the path of a record that is on disk: `result_path`. One whose
            `committed` is None may be saved: see `ResultStore.resolve`.
    """

    def __init__(self, saved: dict[int, ResultPath], failed: dict[int, Exception]) -> None:
        """Store the outcome of every result."""
        super().__init__(saved, failed)
        self.saved = saved
        self.failed = failed

    def __str__(self) -> str:
        """Return the number of failures, and the error of the first."""
        summary = f"{len(self.failed)} of {len(self.saved) + len(self.failed)} results failed"
        on_disk = sum(
            isinstance(error, PersistenceError) and error.committed is True for error in self.failed.values()
        )
        if on_disk:
            summary += f" ({on_disk} of them are on disk: see result_path)"
        unknown = sum(
            isinstance(error, PersistenceError) and error.committed is None for error in self.failed.values()
        )
        if unknown:
            summary += f" ({unknown} of them may be saved: see ResultStore.resolve)"
        for index, error in self.failed.items():
            first = " ".join(str(error).splitlines())
            return escape(f"{summary}; the first at index {index}: {type(error).__name__}: {first}")
        return summary


class SaveInterrupted(KeyboardInterrupt):
    """A `KeyboardInterrupt` of a bulk save. Results that were not in place are undone.

    Limits: uncaught, it ends the program with status 1. Python's own `KeyboardInterrupt` ends it with the
    signal, which also ends a loop in the shell.

    Attributes:
        saved: The path of each result that is safe, by its index in the input, from 0; of a copy, by the
            path of its source.
        failed: The error of each result that failed.
        unconfirmed: The path of each result that is, or may be, in place, and whose flush was not awaited.
            Check these paths before you save the results again. In an object store, a request in flight may
            arrive after this error, and its name may then belong to another save.
    """

    def __init__(
        self, saved: dict[Any, ResultPath], failed: dict[Any, Exception], unconfirmed: dict[Any, ResultPath]
    ) -> None:
        """Store the state of every result that was started."""
        super().__init__(saved, failed, unconfirmed)
        self.saved = saved
        self.failed = failed
        self.unconfirmed = unconfirmed

    def __str__(self) -> str:
        """Return the number of results in each state."""
        text = f"interrupted: {len(self.saved)} results are safe"
        if self.failed:
            text += f", {len(self.failed)} failed"
        if self.unconfirmed:
            on_disk = all(isinstance(path, os.PathLike) for path in self.unconfirmed.values())
            state = "are in place with an unconfirmed flush" if on_disk else "may be in place: no answer came"
            text += f", {len(self.unconfirmed)} more {state}"
        return f"{text}; the others were not saved"


_REQUESTS = {"claim": "save the power trace", "commit": "save the record", "scan": "list the results"}
"""The actions that differ in an object store."""

_ACTIONS = {
    "open_output_dir": "open the output directory",
    "make_output_dir": "create the output directory",
    "claim": "create the result's directory",
    "read_source": "use the timeseries source",
    "create": "create",
    "write": "write",
    "flush": "flush",
    "close": "close",
    "commit": "rename to",
    "flush_directory": "flush the directory",
    "read": "read the result",
    "read_timeseries": "read the power trace",
    "scan": "read the directory of results",
    "start": "start a thread for the saves in",
    "start_reading": "start a thread to read the results in",
    "append": "append to the Delta table",
}
