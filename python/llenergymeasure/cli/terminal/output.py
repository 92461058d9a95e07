"""Files that a command writes: checks before the work, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llenergymeasure._format import printable
from llenergymeasure.cli.errors import CommandError, UsageError
from llenergymeasure.cli.terminal.stream import ERR
from llenergymeasure.plotting._render import require_matplotlib
from llenergymeasure.results.persistence import _atomic_write


def check_output(option: str, file: str, suffixes: Sequence[str]) -> str:
    """Check that a file can be written, and return its suffix in lower case.

    Raises:
        UsageError: The suffix is unknown, the file is a directory, or its directory does not exist.
    """
    suffix = Path(file).suffix.lower()
    if suffix not in suffixes:
        raise UsageError(f"{option} expects a file that ends in {', '.join(suffixes)}, got {file}")
    if Path(file).is_dir():
        raise UsageError(f"{option} {file} is a directory")
    if not Path(file).absolute().parent.is_dir():
        raise UsageError(f"{option} {file} is in a directory that does not exist")
    return suffix


def check_matplotlib() -> None:
    """Check that pictures can be drawn, before the command spends time on reading or measuring.

    Raises:
        CommandError: matplotlib is not installed.
    """
    try:
        require_matplotlib()
    except ImportError as error:
        raise CommandError(str(error)) from None


def write_picture(file: str, content: bytes) -> None:
    """Write a picture durably, completely or not at all, and report its file."""
    _atomic_write(content, file)
    ERR.write(f"The picture is in {printable(file)}\n")
