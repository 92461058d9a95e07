"""Rows of a store for a command, with progress, the invalid files, and a message for an empty store."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llenergymeasure._format import plural
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.options import check_directory, is_url
from llenergymeasure.cli.query.values import settings_of
from llenergymeasure.cli.query.where import conditions
from llenergymeasure.cli.terminal.progress import Bar, progress_bar
from llenergymeasure.cli.terminal.stream import ERR
from llenergymeasure.results._columns import CONFIG
from llenergymeasure.results._paths import located
from llenergymeasure.results._plan import scan_results
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.types import TooManyKeysError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llenergymeasure.results.scan import Batch
    from llenergymeasure.results.types import ConfigForm
    from llenergymeasure.types import ResultPath

HOW_TO_ADD_RESULTS = "add some: `llem save FILE --output-dir DIR`, or `result.save(DIR)` in Python"
_PATIENCE = 0.5
"""Seconds before the bar appears."""
_SHOWN_ERRORS = 5


def given_path(directory: str, path: str) -> str:
    """Return the path of a result below the directory as the user typed it."""
    if path == ".":
        return directory
    return f"{directory}/{path}" if is_url(directory) else os.path.join(directory, path)  # noqa: PTH118 - keeps "./"


def shown_below(directory: str, root: ResultPath, path: ResultPath) -> str:
    """Return a path below the root of a store, which the user typed as a directory or a URL."""
    if isinstance(path, Path):
        return os.path.join(directory, os.path.relpath(path, root))  # noqa: PTH118 - keeps "./"
    return str(path)


@contextmanager
def usage_errors(fewer_keys: str = "name some with -c, such as -c id,config.KEY") -> Iterator[None]:
    """Report a query that the store cannot answer as wrong usage.

    Args:
        fewer_keys: The way out for a table with too many columns.
    """
    try:
        yield
    except TooManyKeysError as error:
        raise UsageError(f"{error.fault}; {fewer_keys}") from None
    except ValueError as error:
        raise UsageError(str(error)) from None


class Reading:
    """The results of a directory, read batch by batch.

    Attributes:
        found: The number of results that met the conditions, at the end.
    """

    def __init__(  # noqa: PLR0913 - keywords
        self,
        directory: str,
        columns: Sequence[str],
        where: Sequence[str],
        *,
        config: ConfigForm = "columns",
        optional: Sequence[str] = (),
        follow_links: bool = False,
        newest: int | None = None,
    ) -> None:
        """Select columns, by any of their names, of the results that meet the expressions.

        Args:
            directory: The directory.
            columns: The columns.
            where: The expressions.
            config: The form of `effective_config`, as for `ResultStore.scan`.
            optional: Keys of the configuration that no result needs to have.
            follow_links: Follow links to directories.
            newest: Read only so many results: those that were saved last, the newest first.

        Raises:
            UsageError: The directory or a column does not exist, or an expression is invalid.
        """
        check_directory(directory, hint="; use `llem show` for one result")
        self._directory, self._is_filtered = directory, bool(where)
        self._store = ResultStore(directory, follow_links=follow_links)
        with usage_errors():
            self._scan = scan_results(
                located(str(self._store.root)),
                columns,
                where=conditions(directory, where),
                config=config,
                optional=optional,
                follow_links=follow_links,
                on_error="collect",
                progress=self._note,
                full_names=True,
            )
        if newest is not None:
            self._scan = self._scan.newest(newest)
        self._began = time.monotonic()
        self._bar: Bar | None = None
        self._open = ExitStack()
        self._json_names: set[str] = set()
        self.found = 0

    @property
    def errors(self) -> dict[str, str]:
        """The reason of each invalid result file, by its path as the user would type it."""
        errors = self._scan.errors.items()
        return {shown_below(self._directory, self._store.root, path): str(error) for path, error in errors}

    @property
    def error_objects(self) -> list[dict[str, str]]:
        """The objects that `--json` prints for invalid result files."""
        return [{"path": path, "error": message} for path, message in self.errors.items()]

    @property
    def status(self) -> int:
        """The exit status of a command that has no other failure."""
        return 1 if self._scan.errors else 0

    def batches(self) -> Iterator[dict[str, list[Any]]]:
        """Read the rows, as lists by the full name of a column; a slow read shows a progress bar.

        The values of a key of mixed kinds have their own types; among numbers, a non-finite float is a float.

        Raises:
            UsageError: No result has a key, or the value of a condition is of another type than its column.
        """
        with self._open:
            batches = iter(self._scan)
            while (batch := self._next(batches)) is not None:
                self.found += len(batch)
                columns = batch.to_pydict()
                self._json_names.update(batch.schema.json_names)
                for name in batch.schema.json_names:
                    if name.startswith(f"{CONFIG}."):
                        columns[name] = settings_of(columns[name])
                yield columns

    def has_other_kinds(self, name: str) -> bool:
        """Return whether results that are not shown may have values of other kinds under a key.

        The type of a column is that of the results that meet the conditions.
        """
        return name.startswith(f"{CONFIG}.") and (self._is_filtered or name in self._json_names)

    @staticmethod
    def _next(batches: Iterator[Batch]) -> Batch | None:
        with usage_errors():  # the columns depend on the results
            return next(batches, None)

    def _note(self, done: int, total: int | None) -> None:
        if self._bar is None and time.monotonic() - self._began > _PATIENCE:
            self._bar = self._open.enter_context(progress_bar("Reading", None, done="read"))
        if self._bar is not None:
            self._bar.reach(done, total)

    def report(self) -> None:
        """Report the invalid result files on standard error, and the reason if there is no result."""
        errors = self._scan.errors
        for error in list(errors.values())[:_SHOWN_ERRORS]:
            ERR.report(str(error))
        more = len(errors) - _SHOWN_ERRORS
        if errors:
            rest = f" ({more:,} more not listed)" if more > 0 else ""
            ERR.report(f"{plural(len(errors), 'invalid result file')} in {self._directory}{rest}")
        elif not self.found and self._is_filtered and self._has_results():
            ERR.report(f"no result in {self._directory} meets the conditions")
        elif not self.found:
            ERR.report(f"no result in {self._directory}; {HOW_TO_ADD_RESULTS}")

    def _has_results(self) -> bool:
        scan = self._store.scan(["path"], on_error="collect")
        return any(len(batch) for batch in scan) or bool(scan.errors)
