"""A progress bar on standard error, where a person looks at it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from llenergymeasure.cli._console import ERR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

__all__ = ["Bar", "progress_bar"]


class Bar:
    """A progress bar, or the absence of one; lines about what happens are written above it."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        """Take the bar that rich draws, if there is one."""
        self._progress = progress
        self._task = task
        self._saved = 0

    def advance(self, by: float, *, saved: int = 0) -> None:
        """Move on by a part of the total, and count what was saved."""
        if self._progress is not None and self._task is not None:
            self._saved += saved
            self._progress.update(self._task, advance=by, saved=self._saved)

    def note(self, line: str) -> None:
        """Write a line to standard error."""
        if self._progress is None:
            ERR.write(line + "\n")
        else:
            self._progress.console.print(line, soft_wrap=True)


@contextmanager
def progress_bar(label: str, total: float | None, *, wanted: bool = True) -> Iterator[Bar]:
    """Show a bar while the body runs, if standard error is a terminal; it leaves no trace.

    Args:
        label: What is being done.
        total: What `Bar.advance` adds up to; None where that is unknown.
        wanted: Show it at all.
    """
    if not wanted or not ERR.is_terminal:
        yield Bar()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - slow to load

    console = ERR.console()
    if console.is_dumb_terminal:
        yield Bar()
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[saved]:,} saved"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # Rich would send standard output to the terminal, whatever the user redirected it to.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        yield Bar(progress, progress.add_task(label, total=total, saved=0))
