"""The program `llem` in this process: fast enough for property tests."""

from __future__ import annotations

import io
import re
import sys
from typing import NamedTuple
from unittest import mock

from llenergymeasure.cli.app import run
from llenergymeasure.cli.terminal.stream import ERR, OUT

STYLE = re.compile(r"\r?\x1b\[[0-9;?]*[A-Za-z]")
"""The escape sequences with which the program itself styles a terminal and draws its progress."""


class Done(NamedTuple):
    """The end of a run: its exit status, and all that it wrote."""

    status: int
    out: str
    err: str


class _Screen(io.TextIOWrapper):
    """A stream that says that it is a terminal, 80 columns wide."""

    def isatty(self) -> bool:
        return True


def run_llem(*args: str, terminal: bool = False) -> Done:
    """Run a command with both streams in memory; `terminal` makes them terminals."""
    kind = _Screen if terminal else io.TextIOWrapper
    out, err = (kind(io.BytesIO(), encoding="utf-8", errors="surrogateescape") for _ in range(2))
    for stream in (OUT, ERR):
        stream.program = "llem"
    with (
        mock.patch.object(sys, "argv", ["llem", *args]),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
    ):
        status = run()
    return Done(status, _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "surrogateescape")


def unsafe(text: str) -> set[str]:
    """Return the characters of an output that could steer a terminal."""
    return {mark for mark in STYLE.sub("", text) if not mark.isprintable() and mark != "\n"}
