"""Ctrl-C, deferred while a save runs, so that every saved result is counted."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from typing_extensions import Self


class Interrupt:
    """A handler that turns Ctrl-C into `KeyboardInterrupt`, but not in the middle of a step.

    A command that counts its saves finishes the step that it began. A second Ctrl-C does not wait, because a
    save may hang on a dead server.
    """

    def __init__(self) -> None:
        """Leave SIGINT alone until the context is entered."""
        self._in_step = False
        self._pending = False
        self._ours = False

    def __enter__(self) -> Self:
        """Handle SIGINT, unless the process ignores it."""
        self._ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the default handler of SIGINT."""
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run the body to its end, and then raise a `KeyboardInterrupt` that arrived during it."""
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False
        if self._pending:
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._in_step and not self._pending:
            self._pending = True
        else:
            raise KeyboardInterrupt
