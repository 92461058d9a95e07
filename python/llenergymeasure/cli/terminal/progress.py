"""A progress bar on standard error, if that is a terminal."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llenergymeasure.cli.terminal.stream import ERR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

_DRAW_EVERY = 0.05
"""Seconds; an update of rich takes longer than a save."""
_RATE_OVER = 2.0
"""Seconds over which the rate is averaged."""


class Bar:
    """A progress bar that may be hidden; notes are written above it."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        """Take the bar of rich; None hides it."""
        self._progress = progress
        self._task = task
        self._done = 0.0
        self._saved = 0
        self._total: int | None = None
        # Recent drawings: their times, and the counts of saved results.
        self._drawn = deque([(time.monotonic(), 0)])

    def advance(self, by: float, *, saved: int = 0) -> None:
        """Advance by a part of the total, and add to the count of saved results."""
        self._done += by
        self._saved += saved
        if self._progress is not None and time.monotonic() - self._drawn[-1][0] >= _DRAW_EVERY:
            self.draw()

    def reach(self, done: int, total: int | None) -> None:
        """Advance to a number of results, out of so many; None if that is not known yet."""
        if (
            total is not None
            and total != self._total
            and self._progress is not None
            and self._task is not None
        ):
            self._total = total
            self._progress.update(self._task, total=total, of=f" of {total:,}")
        self.advance(done - self._done, saved=done - self._saved)

    def draw(self) -> None:
        """Show the progress and the recent rate."""
        if self._progress is None or self._task is None:
            return
        now = time.monotonic()
        self._drawn.append((now, self._saved))
        while now - self._drawn[1][0] > _RATE_OVER:
            self._drawn.popleft()
        began, before = self._drawn[0]
        rate = (self._saved - before) / max(now - began, _DRAW_EVERY)
        self._progress.update(self._task, completed=self._done, saved=self._saved, rate=rate)

    def label(self, text: str) -> None:
        """Show another description."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=text)

    def note(self, line: str) -> None:
        """Write a line to standard error."""
        if self._progress is None:
            ERR.write(line + "\n")
        else:
            self._progress.console.print(line, soft_wrap=True)


@contextmanager
def progress_bar(
    label: str, total: float | None, *, wanted: bool = True, rate: bool = False, done: str = "saved"
) -> Iterator[Bar]:
    """Show a bar while the body runs, if standard error is a terminal, and erase it afterwards.

    Args:
        label: The description.
        total: The sum of all `Bar.advance` steps; None if unknown.
        wanted: False hides the bar.
        rate: Show the recent rate per second.
        done: The participle after the count.
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
        TextColumn(f"{{task.fields[saved]:,}}{{task.fields[of]}} {done}"),
        *([TextColumn("{task.fields[rate]:,.0f}/s")] if rate else []),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # Rich would send redirected standard output to the terminal.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        bar = Bar(progress, progress.add_task(label, total=total, saved=0, of="", rate=0.0))
        try:
            yield bar
        finally:
            bar.draw()
