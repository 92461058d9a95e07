"""A tree of results, read for a command: its rows, what was none, and what to say where there is nothing."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llenergymeasure.cli.query.where import conditions
from llenergymeasure.cli.terminal.progress import Bar, progress_bar
from llenergymeasure.cli.terminal.stream import ERR, UsageError, plural, printable
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["HOW_RESULTS_GET_THERE", "Reading", "check_directory", "given_path"]

HOW_RESULTS_GET_THERE = (
    "`llem save FILE --output-dir DIR` and, in Python, `result.save(DIR)` put results into a directory"
)
_PATIENCE = 0.5
"""Seconds before a bar is worth its drawing."""
_SHOWN_ERRORS = 5


def check_directory(command: str, directory: str) -> None:
    """Refuse what is no directory.

    Raises:
        UsageError: It is none.
    """
    if not directory:
        raise UsageError(command, "DIR is empty")
    if not os.path.lexists(directory):
        raise UsageError(command, f"{directory} does not exist")
    if not Path(directory).is_dir():
        raise UsageError(command, f"{directory} is not a directory; for one result there is `llem show`")


def given_path(directory: str, path: str) -> str:
    """Return the path of a result in the form the user gave."""
    return directory if path == "." else os.path.join(directory, path)  # noqa: PTH118 - keeps "./"


class Reading:
    """The results of a directory, read batch by batch.

    Attributes:
        found: How many results met the conditions, at the end.
        errors: What was no result, by its path, at the end.
    """

    def __init__(self, command: str, directory: str, columns: Sequence[str], where: Sequence[str]) -> None:
        """Ask for columns of the results that meet the expressions.

        Raises:
            UsageError: There is no such directory or column, or an expression is none.
        """
        check_directory(command, directory)
        self._command, self._directory, self._is_filtered = command, directory, bool(where)
        try:
            self._scan = ResultStore(directory).scan(
                columns,
                where=conditions(directory, where),
                on_error="collect",
                progress=lambda done, _: self._note(done),
            )
        except ValueError as error:
            raise UsageError(command, str(error)) from None
        self._began = time.monotonic()
        self._seen = 0
        self._bar: Bar | None = None
        self._open = ExitStack()
        self.found = 0

    @property
    def errors(self) -> dict[str, str]:
        """What was no result: its path in the form the user gave, and why."""
        root = Path(self._directory).absolute()
        return {
            given_path(self._directory, os.path.relpath(path, root)): str(error)
            for path, error in self._scan.errors.items()
        }

    @property
    def status(self) -> int:
        """The exit status of a command that did all else."""
        return 1 if self._scan.errors else 0

    def batches(self) -> Iterator[dict[str, list[Any]]]:
        """Read the rows, as lists by column; a bar shows up where it takes long."""
        with self._open:
            for batch in self._scan:
                self.found += len(batch)
                yield batch.to_pydict()

    def _note(self, done: int) -> None:
        if self._bar is None and time.monotonic() - self._began > _PATIENCE:
            self._bar = self._open.enter_context(progress_bar("Reading", None, done="read"))
        if self._bar is not None:
            self._bar.advance(0, saved=done - self._seen)
            self._seen = done

    def tell(self) -> None:
        """Say on standard error what was no result, and why there is nothing where there is nothing."""
        where = printable(self._directory)
        errors = self._scan.errors
        for error in list(errors.values())[:_SHOWN_ERRORS]:
            ERR.write(f"llem {self._command}: {printable(str(error))}\n")
        more = len(errors) - _SHOWN_ERRORS
        if errors:
            rest = f" ({more:,} more than are named here)" if more > 0 else ""
            ERR.write(
                f"llem {self._command}: {plural(len(errors), 'file')} in {where} could not be read as "
                f"{'a result' if len(errors) == 1 else 'results'}{rest}\n"
            )
        if self.found or errors:
            return
        if self._is_filtered and self._holds_any():
            ERR.write(f"llem {self._command}: no result in {where} meets the conditions\n")
        else:
            ERR.write(f"llem {self._command}: there is no result in {where}; {HOW_RESULTS_GET_THERE}\n")

    def _holds_any(self) -> bool:
        scan = ResultStore(self._directory).scan(["path"], on_error="collect")
        return any(len(batch) for batch in scan) or bool(scan.errors)
