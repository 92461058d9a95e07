"""Records from files: JSON documents and JSON Lines, one record at a time."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._format import printable
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results._columns import RECORD_CHECK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llenergymeasure.types import ResultPath

STDIN = "-"
_LINES = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf"
_LONGEST_MESSAGE = 300


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

    Args:
        files: Names as the user gave them; `-` is standard input.
        with_sidecars: Look for the Parquet file next to each file that holds a single result.
    """
    for name in files:
        try:
            if name == STDIN:
                if sys.stdin is None:
                    yield InputError(Position(name), "cannot be read: standard input is closed")
                else:
                    yield from _read(sys.stdin.buffer, name, None)
            else:
                sidecar = _neighbour(Path(name)) if with_sidecars else None
                with open(name, "rb") as file:  # noqa: PTH123 - Path("") is the working directory
                    yield from _read(file, name, sidecar)
        except (OSError, ValueError) as error:  # noqa: PERF203 - a NUL in a name is a ValueError
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            yield InputError(Position(name), f"cannot be read: {reason}")


def _read(file: BinaryIO, name: str, sidecar: Path | None) -> Iterator[Record | InputError]:
    """Distinguish a document from JSON Lines by the first lines that are not blank, and read it.

    A complete result on the first line is yielded before the second line arrives: the writer at the other
    end of a pipe may take an hour for each.
    """
    # Each of several files that were put together may begin with a byte order mark.
    numbered = enumerate(map(_without_marks, file), 1)
    lines = name.lower().endswith(_LINES)
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
    elif lines:
        if len(solid) > 1 and sidecar is not None:
            yield InputError(
                Position(name),
                f"expected one result next to {sidecar}, got several; the power trace is ignored",
                is_loss=False,
            )
            sidecar = None
        for number, line in chain(solid, numbered):
            if line.strip():
                yield Record(Position(name, number), line.rstrip(b"\r\n"), sidecar)
    elif solid[0][1].lstrip().startswith(b"["):
        yield InputError(Position(name), "expected a JSON object, got an array; write one result per line")
    else:
        yield Record(Position(name), b"".join(head) + file.read(), sidecar)


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
    fault = RECORD_CHECK().diagnose(record.content)
    if fault is None:
        return ExperimentResult.model_validate_json(record.content)
    _, reason = fault
    text = printable(_explain(reason, record))
    if len(text) > _LONGEST_MESSAGE:
        text = text[: _LONGEST_MESSAGE - 1] + "…"
    raise NotAResultError(text)


def _explain(reason: str, record: Record) -> str:
    """Return the reason on one line: the first error of a field, and the number of others."""
    try:
        ExperimentResult.model_validate_json(record.content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        if details[0]["loc"]:
            return first_of(details)
    reason = reason.removeprefix("is not a complete result: ").removeprefix("is not a result: ")
    is_several = "trailing characters" in reason or reason.startswith("expected a JSON object")
    return f"{reason}; write one result per line" if is_several else reason


def first_of(details: Sequence[Any]) -> str:
    """Return the first field error of pydantic on one line, and the number of others."""
    # A record of another schema line has other fields: naming them would mislead.
    line = next((detail for detail in details if detail["loc"] == ("schema_version",)), None)
    detail = line or details[0]
    message = detail["msg"].removeprefix("Value error, ")
    more = "" if line or len(details) == 1 else f" (and {len(details) - 1:,} more)"
    return f"{_dotted(detail['loc'])}: {message}{more}"


def _dotted(location: tuple[str | int, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(steps).removeprefix(".")
