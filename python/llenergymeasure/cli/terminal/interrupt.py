"""Ctrl-C, held back while a save is under way, so that what is saved is also counted."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from typing_extensions import Self

__all__ = ["Interrupt"]


class Interrupt:
    """Turns Ctrl-C into `KeyboardInterrupt`, but not in the middle of a step.

    The store tells an interrupted save apart by nothing: it is complete or not there. A command that counts
    finishes the one that it began. A second Ctrl-C waits for nothing, since a save may hang on a dead server.
    """

    def __init__(self) -> None:
        """Change nothing until it is entered."""
        self._in_step = False
        self._pending = False
        self._ours = False

    def __enter__(self) -> Self:
        """Take SIGINT over, unless the process was told to ignore it."""
        self._ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Give SIGINT back."""
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run the body whole; raise the `KeyboardInterrupt` that fell into it afterwards."""
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
