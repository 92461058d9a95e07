"""Results from files: JSON documents and JSON Lines, one record at a time."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import ValidationError

from llenergymeasure.cli.terminal.stream import printable
from llenergymeasure.domain.experiment import ExperimentResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "STDIN",
    "NotAResultError",
    "Place",
    "Record",
    "Trouble",
    "first_of",
    "parse",
    "read_records",
    "total_size",
]

STDIN = "-"
_LINES = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf"
_LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Place:
    """Where something was read: a file as the user named it, and its line where it has records by lines."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        """Read as compilers and grep write it, so that editors can jump there."""
        source = "<stdin>" if self.source == STDIN else printable(self.source)
        return source if self.line is None else f"{source}:{self.line}"


@dataclass(frozen=True)
class Record:
    """The bytes of one record, not yet checked."""

    place: Place
    content: bytes
    sidecar: Path | None = None


@dataclass(frozen=True)
class Trouble:
    """What could not be read; `loss` is false where it is only worth a warning."""

    place: Place
    message: str
    loss: bool = True


class NotAResultError(Exception):
    """A record is not a result; the message says why, on one line."""


def total_size(files: Sequence[str]) -> int | None:
    """Return how many bytes there are to read; None where that cannot be known, as with a pipe."""
    total = 0
    for name in files:
        if name == STDIN:
            return None
        try:
            status = os.stat(name)  # noqa: PTH116 - Path("") is the working directory
        except (OSError, ValueError):  # reading says so, in its turn
            continue
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total


def read_records(files: Sequence[str], *, with_sidecars: bool = False) -> Iterator[Record | Trouble]:
    """Read the records of each file in turn; JSON Lines are never held in memory as a whole.

    Args:
        files: Names as the user gave them; `-` is standard input.
        with_sidecars: Look for the Parquet file beside each file that holds a single result.
    """
    for name in files:
        try:
            if name == STDIN:
                if sys.stdin is None:
                    yield Trouble(Place(name), "cannot be read: it is closed")
                else:
                    yield from _read(sys.stdin.buffer, name, None)
            else:
                sidecar = _neighbour(Path(name)) if with_sidecars else None
                with open(name, "rb") as file:  # noqa: PTH123 - Path("") is the working directory
                    yield from _read(file, name, sidecar)
        except (OSError, ValueError) as error:  # noqa: PERF203 - a NUL in a name is a ValueError
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            yield Trouble(Place(name), f"cannot be read: {reason}")


def _read(file: BinaryIO, name: str, sidecar: Path | None) -> Iterator[Record | Trouble]:
    """Tell a document from lines by the first lines that are not blank, and read accordingly.

    A whole result on the first line is handed on before the second is there: the writer at the other end
    of a pipe may take an hour for each.
    """
    numbered = enumerate(file, 1)
    lines = name.lower().endswith(_LINES)
    head, solid = [], []
    for number, raw in numbered:
        line = raw.removeprefix(_BOM) if number == 1 else raw
        head.append(line)
        if line.strip():
            solid.append((number, line))
            lines = lines or _starts_lines(line, after=solid[0][1] if len(solid) > 1 else None)
        if len(solid) > 1 or (solid and lines and sidecar is None):
            break
    if not solid:
        yield Trouble(Place(name), "holds nothing but blank lines" if head else "is empty")
    elif lines:
        if len(solid) > 1 and sidecar is not None:
            yield Trouble(Place(name), f"holds more than one result; {sidecar} is left alone", loss=False)
            sidecar = None
        for number, line in chain(solid, numbered):
            if line.strip():
                yield Record(Place(name, number), line.rstrip(b"\r\n"), sidecar)
    elif solid[0][1].lstrip().startswith(b"["):
        yield Trouble(Place(name), _not_an_object("an array"))
    else:
        yield Record(Place(name), b"".join(head) + file.read(), sidecar)


def _starts_lines(line: bytes, *, after: bytes | None) -> bool:
    """Return whether one of the first two lines shows that each line is a record of its own."""
    if after is not None:
        return line.startswith(b"{") and not after.lstrip().startswith(b"[")
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _neighbour(file: Path) -> Path | None:
    """Return the Parquet file beside a result's file, if there is one."""
    if not file.name:
        return None
    names = [file.with_suffix(".parquet").name]
    if file.name == "result.json":
        names.append("timeseries.parquet")
    return next((file.with_name(name) for name in names if os.path.lexists(file.with_name(name))), None)


def parse(record: Record) -> ExperimentResult:
    """Check a record against the schema.

    Raises:
        NotAResultError: It is not a result.
    """
    try:
        return ExperimentResult.model_validate_json(record.content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        text = printable(_explain(details, record))
    if len(text) > _LONGEST_MESSAGE:
        text = text[: _LONGEST_MESSAGE - 1] + "…"
    raise NotAResultError(text)


def _explain(details: Sequence[Any], record: Record) -> str:
    """Put what pydantic found on one line: the first error, and how many more."""
    first = details[0]
    if first["type"] == "json_invalid":
        return _damage(record, first["ctx"]["error"])
    if not first["loc"]:
        kind = {b"[": "an array", b'"': "a string", b"n": "null", b"t": "true", b"f": "false"}
        return _not_an_object(kind.get(record.content.strip()[:1], "a number"))
    return first_of(details)


def first_of(details: Sequence[Any]) -> str:
    """Put the first of the errors that pydantic found in fields on one line, and how many more there are."""
    # A record of another schema line has its own fields; naming those that are wrong here would mislead.
    line = next((detail for detail in details if detail["loc"] == ("schema_version",)), None)
    detail = line or details[0]
    message = detail["msg"].removeprefix("Value error, ")
    more = "" if line or len(details) == 1 else f" (and {len(details) - 1:,} more)"
    return f"{_dotted(detail['loc'])}: {message}{more}"


def _dotted(location: tuple[str | int, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(steps).removeprefix(".")


def _damage(record: Record, reason: str) -> str:
    if not record.content.strip(b"\0 \t\r\n"):
        return "nothing but NUL bytes, as a crash before a flush leaves them"
    try:
        record.content.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte {error.start + 1:,} is {error.object[error.start]:#04x}"
    if record.place.line is not None:
        reason = re.sub(r"line \d+ column", "column", reason)
    if reason.startswith("EOF"):
        return f"not whole: the JSON ends in the middle{reason[reason.find(' at ') :]}"
    if reason.startswith("trailing"):
        return f"more follows the first JSON value{reason[reason.find(' at ') :]}; write one result per line"
    return f"not JSON: {reason}"


def _not_an_object(kind: str) -> str:
    return f"is {kind}, and a result is a JSON object; write one result per line"
