"""JSON objects of a file: one document, JSON Lines, concatenated documents, or an array of objects."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Imported, Item, NotImported

__all__ = ["Document", "documents", "imported_documents", "only_document"]

_GZIP = b"\x1f\x8b"
_MARK = "\ufeff"
_DECODER = json.JSONDecoder()
_GAP = re.compile(r"[\s,\ufeff\[\]]*")
"""Text between two objects; the objects of an array are read one by one."""
_NEXT = re.compile(r"^\ufeff?\{", re.MULTILINE)


class Document(NamedTuple):
    """An object of a file, and its line, from 1; None for the only object of a file."""

    value: dict[str, Any]
    line: int | None


def documents(path: Path) -> Iterator[Document | NotImported]:
    """Read the JSON objects of a file; JSON Lines stream, one line in memory at a time.

    An object that cannot be parsed does not stop the others.

    Raises:
        NotImportableError: The file is not text.
        OSError: The file cannot be read.
    """
    with _open(path) as file:
        try:
            yield from _documents(file)
        except UnicodeDecodeError as error:
            raise NotImportableError(
                f"expected JSON in UTF-8, got the byte {error.object[error.start]:#04x}; convert the file"
            ) from None
        except EOFError:
            raise NotImportableError(
                "expected a complete gzip file, got a truncated one; copy it again"
            ) from None


def imported_documents(
    path: Path, convert: Callable[[dict[str, Any], int | None], Imported]
) -> Iterator[Item]:
    """Convert the JSON objects of a file, each with its line; one that fails does not stop the others.

    Raises:
        NotImportableError: As `documents`.
        OSError: As `documents`.
    """
    for document in documents(path):
        if isinstance(document, NotImported):
            yield document
            continue
        try:
            yield convert(document.value, document.line)
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


def _open(path: Path) -> IO[str]:
    with open(path, "rb") as file:  # noqa: PTH123 - one way to open files
        head = file.read(4)
    if head.startswith(_GZIP):
        return gzip.open(path, "rt", encoding="utf-8")
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    return open(path, encoding=encoding)  # noqa: PTH123 - the caller closes it


def _documents(file: IO[str]) -> Iterator[Document | NotImported]:
    """Read JSON Lines if the first line is a complete object, and whole documents otherwise."""
    number = 0
    for number, line in enumerate(file, 1):  # noqa: B007 - used after the loop
        if line.strip(f" \t\r\n{_MARK}"):
            break
    else:
        raise NotImportableError("expected JSON, got an empty file; run the tool again")
    following = file.readline()
    try:
        value = json.loads(line.lstrip(_MARK))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        yield from _whole(line + following + file.read(), number)
        return
    if not following:
        yield Document(value, None)
        return
    yield Document(value, number)
    yield from _line(following, number + 1)
    for position, each in enumerate(file, number + 2):
        yield from _line(each, position)


def _line(line: str, number: int) -> Iterator[Document | NotImported]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        if not line.strip(f" \t\r\n{_MARK}"):
            return
        yield from _whole(line, number)
        return
    if isinstance(value, dict):
        yield Document(value, number)
    else:
        yield from _whole(line, number)


def _whole(text: str, first: int) -> Iterator[Document | NotImported]:
    """Read the objects of a text that begins at a line; after a fault, go on at the next line with a `{`."""
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
