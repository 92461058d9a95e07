"""Standard output and standard error: terminals, closed pipes, full disks, missing streams."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from llenergymeasure._format import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_USUAL_WIDTH = 80


class Stream:
    """One of the two standard streams.

    Writing never raises: the work of a command matters more than its messages. After a reader closed its
    pipe, the stream discards the rest; `error` keeps the reason of any other failure.

    Attributes:
        error: The reason why the stream cannot be written to; None while it can.
        program: The prefix of `report`: `llem`, or `llem COMMAND` once a command runs.

    Args:
        name: `"stdout"` or `"stderr"`.
    """

    def __init__(self, name: str) -> None:
        """Take a stream of `sys` by its name; each use looks it up."""
        self._name = name
        self._gone = False
        self.error: str | None = None
        self.program = "llem"

    @property
    def _file(self) -> TextIO | None:
        file: TextIO | None = getattr(sys, self._name)
        return file

    def replace_closed(self) -> None:
        """Replace a stream that was closed at the start by one to which every write fails.

        Python has no stream then, and would drop all that is written.
        """
        if self._file is None:
            setattr(sys, self._name, open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8"))  # noqa: PTH123, SIM115

    @property
    def is_terminal(self) -> bool:
        """True if the stream is a terminal."""
        file = self._file
        return file is not None and file.isatty()

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where the stream is not a terminal."""
        file = self._file
        if file is None or not file.isatty():
            return None
        try:
            reported = os.get_terminal_size(file.fileno())
        except (OSError, ValueError):
            reported = os.terminal_size((0, 0))
        asked = os.environ.get("COLUMNS", "")
        return int(asked) if asked.isdecimal() and int(asked) else reported.columns or _USUAL_WIDTH

    @property
    def is_gone(self) -> bool:
        """True once the stream discards what is written, since its reader has ended or it failed."""
        return self._gone

    @property
    def is_utf8(self) -> bool:
        """True if the stream can take every character."""
        file = self._file
        return file is None or file.encoding.lower().replace("-", "").startswith("utf")

    def write(self, text: str | bytes) -> None:
        """Write text, or bytes unchanged, and flush.

        A file name that is not UTF-8 keeps its bytes, except on a terminal, which they could steer.
        """
        file = self._file
        if file is None or self._gone:
            return
        try:
            file.flush()
            file.buffer.write(
                text
                if isinstance(text, bytes)
                else _encode(text, file.encoding, keep_bytes=not file.isatty())
            )
            file.buffer.flush()
        except OSError as error:
            self._give_up(file, error)

    def report(self, message: str) -> None:
        """Write a message on one line, after the name of the program and its command."""
        self.write(f"{self.program}: {printable(message)}\n")

    def flush(self) -> None:
        """Write out text that others, such as the help, have buffered."""
        self.write(b"")

    def print(self, *renderables: RenderableType, wrap: bool = True) -> None:
        """Write rich renderables: styled on a terminal, plain elsewhere.

        Args:
            renderables: The renderables; strings are never parsed as markup.
            wrap: Fold lines that are longer than the terminal is wide.
        """
        console = self.console()
        with console.capture() as captured:
            for renderable in renderables:
                console.print(renderable, soft_wrap=not wrap)
        text = captured.get()
        if not self.is_terminal:
            text = "".join(line.rstrip(" ") + "\n" for line in text.splitlines())
        self.write(text)

    def console(self) -> Console:
        """Return a rich console of this stream."""
        from rich.console import Console  # noqa: PLC0415 - slow to load, and most output is plain

        # Rich itself would mistake FORCE_COLOR and the like for a terminal.
        return Console(
            file=self._file or io.StringIO(),
            force_terminal=self.is_terminal,
            markup=False,
            highlight=False,
            emoji=False,
        )

    def _give_up(self, file: TextIO, error: OSError) -> None:
        self._gone = True
        if not isinstance(error, BrokenPipeError):
            self.error = error.strerror or type(error).__name__
        # The interpreter flushes the stream at exit, and would report the same error again.
        try:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, file.fileno())
            os.close(sink)
        except OSError:
            pass


OUT = Stream("stdout")
ERR = Stream("stderr")


def _encode(text: str, encoding: str, *, keep_bytes: bool) -> bytes:
    try:
        return text.encode(encoding, "surrogateescape" if keep_bytes else "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace")
