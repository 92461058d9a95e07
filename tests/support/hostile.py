"""Text that tries to steer a terminal, or to pass for other text."""

from __future__ import annotations

import os

from hypothesis import strategies as st

MARKS = (
    *("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x07", "\x08", "\x7f", "\n", "\r", "\t", "\x0b"),
    *("\u202e", "\u2066", "\u200f", "\u2028", "\u2029", "\ufeff", "\u200b", "\x85", "\x90"),
    *("[bold]", "%s", "{0}", "'", '"', "\\", "=1+1", "-", " ", "é", "模", "\U0001f600", "e\u0301"),
)
"""Control sequences, marks of direction, line separators, markup, and plain text."""


def texts(most: int = 6) -> st.SearchStrategy[str]:
    """Return a strategy of texts that JSON can hold."""
    plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    return st.lists(st.sampled_from(MARKS) | plain, max_size=most).map("".join)


def names() -> st.SearchStrategy[str]:
    """Return a strategy of names of directories, some of which are not UTF-8."""
    part = st.sampled_from([os.fsencode(mark) for mark in MARKS] + [b"\xff", b"\x9b", b"\xc2", b"a"])
    joined = st.lists(part, min_size=1, max_size=5).map(b"".join)
    return joined.filter(lambda name: not name.startswith(b".") and b"\x00" not in name).map(os.fsdecode)
