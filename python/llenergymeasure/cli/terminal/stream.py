"""Standard output and standard error as they are: terminals, pipes that nobody reads, full disks, closed."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["ERR", "OUT", "Stream", "UsageError", "human_bytes", "human_seconds", "plural", "printable"]


_USUAL_WIDTH = 80


class UsageError(Exception):
    """A command was called wrongly, and did nothing."""

    def __init__(self, command: str, message: str) -> None:
        """Take the command's name and what is wrong."""
        super().__init__(message)
        self.command = command


class Stream:
    """One of the two standard streams.

    Writing never raises: what a command does is worth more than what it says of it. A pipe whose reader left
    is quiet from then on; any other failure is kept in `trouble`.

    Args:
        name: `"stdout"` or `"stderr"`.
    """

    def __init__(self, name: str) -> None:
        """Take a stream of `sys` by its name; it is looked up at each use."""
        self._name = name
        self._gone = False
        self.trouble: str | None = None

    @property
    def _file(self) -> TextIO | None:
        file: TextIO | None = getattr(sys, self._name)
        return file

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it."""
        file = self._file
        return file is not None and file.isatty()

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where it is none, and nothing needs to fit."""
        file = self._file
        if file is None or not file.isatty():
            return None
        try:
            told = os.get_terminal_size(file.fileno())
        except (OSError, ValueError):
            told = os.terminal_size((0, 0))
        asked = os.environ.get("COLUMNS", "")
        return int(asked) if asked.isdecimal() and int(asked) else told.columns or _USUAL_WIDTH

    @property
    def is_utf8(self) -> bool:
        """Whether every character can be written to it."""
        file = self._file
        return file is None or file.encoding.lower().replace("-", "").startswith("utf")

    def write(self, text: str | bytes) -> None:
        """Write text, or bytes as they are, at once; a file name that is not UTF-8 comes out unchanged."""
        file = self._file
        if file is None or self._gone:
            return
        try:
            file.flush()
            file.buffer.write(text if isinstance(text, bytes) else _encode(text, file.encoding))
            file.buffer.flush()
        except OSError as error:
            self._give_up(file, error)

    def flush(self) -> None:
        """Write out what others, such as the help, have put there."""
        self.write(b"")

    def print(self, *renderables: RenderableType, wrap: bool = True) -> None:
        """Write what rich makes of the renderables: styled on a terminal, plain elsewhere.

        Args:
            renderables: Strings are taken as they are, never as markup.
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
        from rich.console import Console  # noqa: PLC0415 - slow to load, and most of what is written is plain

        # Not left to rich: it takes FORCE_COLOR and the like for a terminal.
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
            self.trouble = error.strerror or type(error).__name__
        # The interpreter flushes the stream once more as it ends, and would complain about the same.
        try:
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, file.fileno())
            os.close(sink)
        except OSError:
            pass


OUT = Stream("stdout")
ERR = Stream("stderr")


def _encode(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace")


def printable(text: str) -> str:
    r"""Return text on one line that cannot steer a terminal: control characters as `\n`, `\x1b`, ..."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else _escape(mark) for mark in text)


def _escape(mark: str) -> str:
    is_raw_byte = "\udc80" <= mark <= "\udcff"
    return mark if is_raw_byte else mark.encode("unicode_escape").decode("ascii")


def plural(count: int, noun: str) -> str:
    """Return a count and its noun: `1 result`, `2 results`, `1,234 results`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def human_bytes(count: float) -> str:
    """Return a number of bytes in decimal units, three digits of it: `312 B`, `9.07 kB`, `1.29 MB`."""
    kilo = 1000
    if count < kilo:
        return f"{count:.0f} B"
    count, unit = count / kilo, "kB"
    for larger in ("MB", "GB", "TB"):
        if count >= kilo - 0.5:
            count, unit = count / kilo, larger
    return f"{_three_digits(count)} {unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration: `12 ms`, `3.41 s`, `2 min 05 s`."""
    if seconds < 0.9995:  # noqa: PLR2004 - from here on it would read 1000 ms
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:  # noqa: PLR2004 - and 60.0 s
        return f"{_three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"  # noqa: PLR2004
