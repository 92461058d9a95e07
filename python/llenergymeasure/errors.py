"""What can go wrong when results are saved and loaded."""

from __future__ import annotations

import errno as codes
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "BulkSaveError",
    "LLEMError",
    "PersistenceError",
    "ResultCorruptError",
    "ResultError",
    "SaveInterrupted",
    "SchemaVersionError",
    "SidecarError",
]


class LLEMError(Exception):
    """Base of every error that this package defines."""


class ResultError(LLEMError):
    """What is read is not a result, or not a power trace."""


class ResultCorruptError(ResultError):
    """The file is not whole: empty, truncated, NUL-filled, not UTF-8, not JSON; a trace: not Parquet."""


class SchemaVersionError(ResultError):
    """The file is whole, but of another schema line than this version of the package reads."""


_KINDS: dict[tuple[type[PersistenceError], type[OSError]], type[PersistenceError]] = {}


def _with_builtin(cls: type[PersistenceError], errno: int | None) -> type[PersistenceError]:
    """Return `cls` as a subclass of the `OSError` that Python itself raises for a code, too."""
    builtin = type(OSError(errno, "")) if errno is not None else OSError
    if builtin is OSError or issubclass(cls, builtin):
        return cls
    if (cls, builtin) not in _KINDS:
        namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        _KINDS[cls, builtin] = type(cls.__name__, (cls, builtin), namespace)
    return _KINDS[cls, builtin]


class PersistenceError(LLEMError, OSError):
    """A result could not be saved or read: the right `OSError`, with the step that failed.

    It is also the subclass of `OSError` that Python raises for its code, so that `except PermissionError`
    and `except FileNotFoundError` work as everywhere.

    Attributes:
        errno: The operating system's code.
        strerror: What the system says of it.
        filename: The path that the step was about.
        step: The step that failed: `"claim"`, `"write"`, `"flush"`, `"commit"`, ...
        committed: False: nothing of the save is there, and saving again is safe. True: the record is in
            place and whole; saving again makes a second copy.
        result_path: The committed `result.json`, where `committed` is true.
    """

    step: str
    result_path: str | None

    def __new__(  # noqa: PYI034 - of the subclass that fits the code
        cls,
        errno: int | None = None,
        strerror: str | None = None,
        filename: str | os.PathLike[str] | None = None,
        *_: object,
        **__: object,
    ) -> PersistenceError:
        """Make an instance of the subclass that fits the code."""
        kind = _with_builtin(cls, errno)
        if filename is None:
            return OSError.__new__(kind, errno, strerror)
        return OSError.__new__(kind, errno, strerror, os.fspath(filename))

    def __init__(
        self,
        errno: int | None = None,  # noqa: ARG002 - taken by __new__, where OSError takes its own
        strerror: str | None = None,  # noqa: ARG002
        filename: str | os.PathLike[str] | None = None,  # noqa: ARG002
        step: str = "",
        result_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Note the step, and the result where there is one."""
        self.step = step
        self.result_path = None if result_path is None else os.fspath(result_path)

    @property
    def committed(self) -> bool:
        """Whether the record is in place and whole."""
        return self.result_path is not None

    @property
    def _outcome(self) -> str:
        if self.committed and self.errno == codes.EROFS:
            return (
                f"the result is in place at {self.result_path}, but the file system takes no more changes, "
                "and it may be gone when that is mounted again; save it elsewhere"
            )
        if self.committed:
            return (
                f"the result is whole at {self.result_path}, but whether it survives a power cut is unknown; "
                "do not save it again"
            )
        if self.step in ("read", "read_timeseries", "scan"):
            return ""
        return "nothing was saved, and saving again is safe"

    def __str__(self) -> str:
        """Say in one sentence what failed, where, why, and what is on disk now."""
        code = codes.errorcode.get(self.errno or 0, "no code")
        where = f" {self.filename!r}" if self.filename is not None else ""
        doing = _DOING.get(self.step, self.step)
        outcome = self._outcome
        return f"cannot {doing}{where}: {self.strerror} [{code}]" + (f"; {outcome}" if outcome else "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a worker process."""
        public = SidecarError if isinstance(self, SidecarError) else PersistenceError
        return public, (self.errno, self.strerror, self.filename, self.step, self.result_path)


class SidecarError(PersistenceError):
    """The result is safe at `result_path`; its sidecar was not stored."""

    @property
    def _outcome(self) -> str:
        return f"the result itself is safe, without a sidecar, at {self.result_path}"


class BulkSaveError(LLEMError):
    """Some of many results were not saved as they should be.

    Attributes:
        saved: The path of each result that is safe, by its place in the input, from 0.
        failed: The error of each of the others. A `PersistenceError` whose `committed` is true and
            a `SidecarError` tell of a record that is there, at `result_path`.
    """

    def __init__(self, saved: dict[int, Path], failed: dict[int, Exception]) -> None:
        """Take what became of every result."""
        super().__init__(saved, failed)
        self.saved = saved
        self.failed = failed

    def __str__(self) -> str:
        """Say how many failed, and why the first of them did."""
        said = f"{len(self.failed)} of {len(self.saved) + len(self.failed)} results failed"
        there = sum(isinstance(error, PersistenceError) and error.committed for error in self.failed.values())
        if there:
            said += f" ({there} of them on disk all the same: see result_path)"
        for index, error in self.failed.items():
            return f"{said}; the first at index {index}: {type(error).__name__}: {error}"
        return said


class SaveInterrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of many saves. What was not in place yet was undone, or is being undone.

    Uncaught, it ends the program with status 1, where Python's own class dies of the signal: a shell goes on
    with its loop.

    Attributes:
        saved: The path of each result that is safe, by its place in the input, from 0.
        failed: The error of each result that failed.
        unconfirmed: The path of each result that is in place, or may be, and whose flush was not waited for:
            look there before you save it again.
    """

    def __init__(
        self, saved: dict[int, Path], failed: dict[int, Exception], unconfirmed: dict[int, Path]
    ) -> None:
        """Take what is known of every result that was begun."""
        super().__init__(saved, failed, unconfirmed)
        self.saved = saved
        self.failed = failed
        self.unconfirmed = unconfirmed

    def __str__(self) -> str:
        """Say how many are safe."""
        text = f"interrupted: {len(self.saved)} results are safe"
        if self.failed:
            text += f", {len(self.failed)} failed"
        if self.unconfirmed:
            text += f", {len(self.unconfirmed)} more are in place and not known to survive a power cut"
        return f"{text}; the others were not saved"


_DOING = {
    "open_output_dir": "open the output directory",
    "make_output_dir": "make the output directory",
    "claim": "make the result's directory",
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
}
