"""Records from files: JSON documents and JSON Lines, one record at a time."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure._format import printable
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers import detect
from llenergymeasure.importers._json_texts import JsonText, json_texts, may_hold_several
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._text import open_utf8, utf8_of
from llenergymeasure.importers.bundle import other_line_of
from llenergymeasure.importers.own import MARKS, result_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llenergymeasure.types import ResultPath

STDIN = "-"
_LINES = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf"
_OTHERS = "llem import reads the files of other tools"


@dataclass(frozen=True)
class Position:
    """The origin of a record: a file as the user named it, and the line in a file of JSON Lines."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        """Return `file:line`, as compilers and grep write it, so that editors can jump there."""
        source = "<stdin>" if self.source == STDIN else printable(self.source)
        return source if self.line is None else f"{source}:{self.line}"


@dataclass(frozen=True)
class Record:
    """The bytes of one record before validation, and the file of its power trace."""

    position: Position
    content: bytes
    sidecar: ResultPath | None = None


@dataclass(frozen=True)
class InputError:
    """An input that could not be read; `is_loss` is false if a warning is enough."""

    position: Position
    message: str
    is_loss: bool = True


class NotAResultError(Exception):
    """A record that is not a valid result; the message gives the reason on one line."""


def total_size(files: Sequence[str]) -> int | None:
    """Return the number of bytes to read; None if it is unknown, as for a pipe."""
    total = 0
    for name in files:
        if name == STDIN:
            return None
        try:
            status = os.stat(name)  # noqa: PTH116 - Path("") is the working directory
        except (OSError, ValueError):  # `read_records` reports it
            continue
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total


def read_records(files: Sequence[str], *, with_sidecars: bool = False) -> Iterator[Record | InputError]:
    """Read the records of each file in turn; JSON Lines stream, one line in memory at a time.

    A file of another kind is one error, which names the command to use.

    Args:
        files: Names as the user gave them; `-` is standard input.
        with_sidecars: Look for the Parquet file next to each file that holds a single result.
    """
    for name in files:
        try:
            if name == STDIN:
                yield from _read_stdin()
            elif (refusal := _refusal_of(name)) is not None:
                yield InputError(Position(name), refusal)
            else:
                sidecar = _neighbour(Path(name)) if with_sidecars else None
                with open_utf8(name) as file:
                    yield from _read(file, name, sidecar)
        except NotImportableError as error:  # noqa: PERF203 - a broken file
            yield InputError(Position(name), str(error))
        except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            yield InputError(Position(name), f"cannot be read: {reason}")


def _refusal_of(name: str) -> str | None:
    """Return why a file holds no results of this package, if it has another known kind."""
    if not os.path.isfile(name):  # noqa: PTH113 - a pipe can be read once
        return None
    path = Path(name)
    shape = shape_of(path)
    if shape.kind not in ("json", "csv", "parquet"):
        return None
    if shape.kind == "json" and (line := other_line_of(path)) is not None:
        return f'expected schema line "{SCHEMA_VERSION}", got {line}; use llem import'
    if shape.kind == "json" and shape.keys >= MARKS and "start_time.utc" not in shape.keys:
        return None
    try:
        title = detect(path).title
    except NotImportableError as error:
        # The reader of a record says what is wrong with JSON.
        return None if shape.kind == "json" else str(error)
    return f"expected results, got {title}; use llem import"


def _read_stdin() -> Iterator[Record | InputError]:
    if sys.stdin is None:
        yield InputError(Position(STDIN), "cannot be read: standard input is closed")
        return
    with utf8_of(sys.stdin.buffer) as file:
        yield from _read(file, STDIN, None)


def _read(file: IO[bytes], name: str, sidecar: Path | None) -> Iterator[Record | InputError]:
    """Distinguish documents from JSON Lines by the first lines that are not blank, and read them.

    A complete result on the first line is yielded before the second line arrives: the writer at the other
    end of a pipe may take an hour for each.
    """
    # Each of several files that were put together may begin with a byte order mark.
    numbered = enumerate(map(_without_marks, file), 1)
    lines = name.lower().removesuffix(".gz").removesuffix(".zst").endswith(_LINES)
    head, solid = [], []
    for number, line in numbered:
        head.append(line)
        if line.strip():
            solid.append((number, line))
            lines = lines or _starts_lines(line, after=solid[0][1] if len(solid) > 1 else None)
        if len(solid) > 1 or (solid and lines and sidecar is None):
            break
    if not solid:
        yield InputError(
            Position(name),
            "expected a result, got blank lines" if head else "expected a result, got an empty file",
        )
        return
    if lines:
        texts, is_single = _texts_of_lines(chain(solid, numbered)), len(solid) == 1
    else:
        texts = json_texts(b"".join(head) + file.read())
        first = next(texts, None)
        texts, is_single = chain([] if first is None else [first], texts), first is None or first.line is None
    if sidecar is not None and not is_single:
        yield InputError(
            Position(name),
            f"expected one result next to {sidecar}, got several; the power trace is ignored",
            is_loss=False,
        )
        sidecar = None
    for number, text in enumerate(texts):
        if number == 0 and (keys := _foreign_keys(text.content)) is not None:
            yield InputError(Position(name), f"expected results, got JSON with the keys {keys}; {_OTHERS}")
            return
        yield Record(Position(name, text.line), text.content, sidecar)


def _foreign_keys(content: bytes) -> str | None:
    """Return the keys of an object that has none of a result."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not value or not isinstance(value, dict) or value.keys() & ExperimentResult.model_fields.keys():
        return None
    shown = ", ".join(sorted(value)[:5])
    return f"{shown}, ..." if len(value) > 5 else shown  # noqa: PLR2004 - as many as are shown


def _without_marks(line: bytes) -> bytes:
    while line.startswith(_BOM):
        line = line[len(_BOM) :]
    return line


def _starts_lines(line: bytes, *, after: bytes | None) -> bool:
    """Return whether one of the first two lines shows that the file is JSON Lines."""
    if after is not None:
        return line.startswith(b"{") and not after.lstrip().startswith(b"[")
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _texts_of_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[JsonText]:
    for number, line in lines:
        content = line.rstrip(b"\r\n")
        if not content.strip():
            continue
        if may_hold_several(content):
            for text in json_texts(content, number, is_whole=False):
                yield JsonText(number, text.content)
        else:
            yield JsonText(number, content)


def _neighbour(file: Path) -> Path | None:
    """Return the Parquet file next to the file of a result, if there is one."""
    if not file.name:
        return None
    names = [file.with_suffix(".parquet").name]
    if file.name == _store.RECORD:
        names.append(_store.SIDECAR)
    return next((file.with_name(name) for name in names if os.path.lexists(file.with_name(name))), None)


def parse(record: Record) -> ExperimentResult:
    """Validate a record against the schema.

    Raises:
        NotAResultError: The record is not a valid result.
    """
    try:
        return result_of(record.content)
    except NotImportableError as error:
        raise NotAResultError(str(error)) from None
