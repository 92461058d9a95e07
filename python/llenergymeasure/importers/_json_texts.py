"""The texts of JSON objects that one text holds: in an array, one after the other, or one a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["JsonText", "json_texts", "may_hold_several"]

_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[\s,\ufeff\[\]]*")
"""Text between two objects; the objects of an array are read one by one."""
_JOINT = re.compile(rb"\}[\s\xef\xbb\xbf,]*\{")


class JsonText(NamedTuple):
    """The text of an object, and its line, from 1; None of an object that is alone in its file."""

    line: int | None
    content: bytes


def may_hold_several(line: bytes) -> bool:
    """Return True for a line that begins an array, or in which one object may follow another."""
    return line.lstrip(b" \t\xef\xbb\xbf").startswith(b"[") or _JOINT.search(line) is not None


def json_texts(content: bytes, first_line: int = 1, *, is_whole: bool = True) -> Iterator[JsonText]:
    """Split a text into the texts of its objects; byte order marks between them are skipped.

    After an object that cannot be parsed, it goes on at the next line that begins with `{` and has no deeper
    indentation.

    Args:
        content: UTF-8. Bytes that are not are one text, whose reader says so.
        first_line: The line of the text in its file.
        is_whole: True if the text is the whole file.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield JsonText(None if is_whole else first_line, content)
        return
    at = _past_gap(text, 0)
    seen, line, is_first = 0, first_line, True
    while at < len(text):
        line += text.count("\n", seen, at)
        seen = at
        end = _end_of(text, at)
        following = _past_gap(text, end)
        is_alone = is_whole and is_first and following == len(text)
        yield JsonText(None if is_alone else line, text[at:end].encode())
        is_first, at = False, following
    if is_first and text.strip(" \t\r\n\ufeff"):
        yield JsonText(None if is_whole else first_line, content)


def _end_of(text: str, at: int) -> int:
    """Return the end of the JSON value that begins at a place."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        indent = at - (text.rfind("\n", 0, at) + 1)
        following = re.compile(rf"^[ \t\ufeff]{{0,{indent}}}\{{", re.MULTILINE).search(text, at + 1)
        return len(text) if following is None else following.start()


def _past_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return at if gap is None else gap.end()
