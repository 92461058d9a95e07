"""Terminals for programs under test."""

from __future__ import annotations

import os
import re


def read_terminal(master: int) -> str:
    """Return everything that a program writes to a terminal, until its last process closes it."""
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux: the last process has closed its side
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    return seen.decode()


def strip_colours(text: str) -> str:
    """Return text without the escapes of colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
