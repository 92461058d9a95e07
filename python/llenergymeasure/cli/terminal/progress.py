"""A progress bar on standard error, where a person looks at it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llenergymeasure.cli.terminal.stream import ERR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

__all__ = ["Bar", "progress_bar"]


_DRAW_EVERY = 0.05
"""Seconds; rich takes longer to be told of a result than the store takes to save it."""
_RATE_OVER = 2.0
"""Seconds that the rate is taken over."""


class Bar:
    """A progress bar, or the absence of one; lines about what happens are written above it."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        """Take the bar that rich draws, if there is one."""
        self._progress = progress
        self._task = task
        self._done = 0.0
        self._saved = 0
        # When the bar was drawn lately, and how many were saved then.
        self._drawn = deque([(time.monotonic(), 0)])

    def advance(self, by: float, *, saved: int = 0) -> None:
        """Move on by a part of the total, and count what was saved."""
        self._done += by
        self._saved += saved
        if self._progress is not None and time.monotonic() - self._drawn[-1][0] >= _DRAW_EVERY:
            self.draw()

    def draw(self) -> None:
        """Show how far it is, and how fast it was lately."""
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
        """Say what is being done now."""
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
    """Show a bar while the body runs, if standard error is a terminal; it leaves no trace.

    Args:
        label: What is being done.
        total: What `Bar.advance` adds up to; None where that is unknown.
        wanted: Show it at all.
        rate: Show how many are saved a second, lately.
        done: What becomes of what is counted.
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
        TextColumn(f"{{task.fields[saved]:,}} {done}"),
        *([TextColumn("{task.fields[rate]:,.0f}/s")] if rate else []),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # Rich would send standard output to the terminal, whatever the user redirected it to.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        bar = Bar(progress, progress.add_task(label, total=total, saved=0, rate=0.0))
        try:
            yield bar
        finally:
            bar.draw()
