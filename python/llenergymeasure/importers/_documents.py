"""JSON objects of a file: one document, JSON Lines, concatenated documents, or an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic_core import from_json

from llenergymeasure.domain._json import MAX_DIGITS
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Imported, Item, NotImported
from llenergymeasure.importers._text import open_utf8

__all__ = ["Document", "documents", "imported_documents", "only_document"]

_BLANK = b" \t\r\n\xef\xbb\xbf"
"""White space and byte order marks."""
_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[\s,\ufeff\[\]]*")
"""Text between two objects; the objects of an array are read one by one."""
_NEXT = re.compile(r"^\ufeff?\{", re.MULTILINE)


class Document(NamedTuple):
    """An object of a file, and its line, from 1; None for the only object of a file.

    `is_normal` is true if the value is known to be one that `to_json_object` returns unchanged.
    """

    value: dict[str, Any]
    line: int | None
    is_normal: bool = False


def documents(path: Path) -> Iterator[Document | NotImported]:
    """Read the JSON objects of a file; JSON Lines stream, one line in memory at a time.

    An object that cannot be parsed does not stop the others.

    Raises:
        NotImportableError: The file is empty, or its compression is damaged.
        OSError: The file cannot be read.
    """
    with open_utf8(path) as file:
        yield from _documents(file)


def imported_documents(path: Path, convert: Callable[[Document], Imported]) -> Iterator[Item]:
    """Convert the JSON objects of a file; one that fails does not stop the others.

    Raises:
        NotImportableError: As `documents`.
        OSError: As `documents`.
    """
    for document in documents(path):
        if isinstance(document, NotImported):
            yield document
            continue
        try:
            yield convert(document)
        except NotImportableError as error:
            yield NotImported(str(error), document.line)


def only_document(path: Path) -> dict[str, Any]:
    """Return the only JSON object of a file.

    Raises:
        NotImportableError: The file is not one complete JSON object.
        OSError: The file cannot be read.
    """
    found = list(documents(path))
    if len(found) != 1:
        raise NotImportableError(f"expected one JSON object, got {len(found)}; split the file")
    if isinstance(found[0], NotImported):
        raise NotImportableError(found[0].message)
    return found[0].value


def _documents(file: IO[bytes]) -> Iterator[Document | NotImported]:
    """Read JSON Lines if the first line is a complete object, and whole documents otherwise."""
    number = 0
    line = b""
    for number, line in enumerate(file, 1):  # noqa: B007 - used after the loop
        if line.strip(_BLANK):
            break
    else:
        raise NotImportableError("expected JSON, got an empty file; run the tool again")
    value = _parsed(line)
    following = file.readline()
    if value is None:
        yield from _whole(line + following + file.read(), number)
        return
    yield Document(value, number if following else None, _is_normal(value, line))
    for position, each in enumerate(chain([following], file), number + 1):
        value = _parsed(each)
        if value is not None:
            yield Document(value, position, _is_normal(value, each))
        elif each.strip(_BLANK):
            yield from _whole(each, position)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the object of a line; None if the line is not one complete object."""
    try:
        value = from_json(line)  # three times as fast as the json module
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_normal(value: dict[str, Any], line: bytes) -> bool:
    """Return True if no value of an object needs to be normalised: all are finite, and none holds others."""
    for item in value.values():
        kind = type(item)
        if kind is float:
            if item - item != 0.0:  # NaN or infinite; faster than a call
                return False
        elif kind is dict or kind is list:
            return False
    return len(line) < MAX_DIGITS  # so no integer has more


def _whole(content: bytes, first: int) -> Iterator[Document | NotImported]:
    """Read the objects of a text that begins at a line; after a fault, go on at the next line with a `{`."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        fault = f"expected JSON in UTF-8, got the byte {content[error.start]:#04x}; convert the file"
        yield NotImported(fault, first + content.count(b"\n", 0, error.start))
        return
    at, seen, line, opened, count = 0, 0, first, 0, 0
    while True:
        gap = _GAP.match(text, at)
        opened += 0 if gap is None else gap[0].count("[") - gap[0].count("]")
        at = at if gap is None else gap.end()
        if at == len(text):
            break
        line += text.count("\n", seen, at)
        seen = at
        count += 1
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            following = _NEXT.search(text, at + 1)
            end = len(text) if following is None else following.start()
            opened = 0
            yield NotImported(_fault(error, line), line)
        else:
            if isinstance(value, dict):
                is_only = count == 1 and first == 1 and not text[end:].strip()
                yield Document(value, None if is_only else line)
            else:
                yield NotImported(f"expected a JSON object, got {json.dumps(value)[:40]}; remove it", line)
        at = end
    if opened > 0:
        yield NotImported("expected a complete array, got a truncated one; copy the file again", line)


def _fault(error: Exception, first: int) -> str:
    """Return a sentence on an error of the JSON parser."""
    if isinstance(error, json.JSONDecodeError):
        rest = len(error.doc.rstrip()) - error.pos
        lines = error.lineno - 1
        if rest <= 0 or error.msg.startswith("Unterminated string"):
            return "expected complete JSON, got a truncated object; copy the file again, or repeat the run"
        return f"expected JSON, got a fault in line {first + lines} ({error.msg}); correct it"
    if isinstance(error, RecursionError):
        return "expected JSON, got objects that are nested too deep; simplify them"
    return f"expected JSON, got a number that cannot be read ({error}); correct it"
