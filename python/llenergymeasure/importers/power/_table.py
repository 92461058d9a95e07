"""The rows of a power log: CSV, the tables of dmon, or Parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from llenergymeasure import _store
from llenergymeasure.errors import LLEMError, NotImportableError
from llenergymeasure.importers._text import MARK, open_text
from llenergymeasure.results._limit import max_trace_bytes
from llenergymeasure.results._log_cells import moment_of, number_of
from llenergymeasure.results._log_columns import is_header

__all__ = ["Row", "Table", "read_table"]

_PREAMBLE = 50
"""Lines before the header, at most."""
_DELIMITERS = (",", ";", "\t", "|")
_STAMP = re.compile(r"\d{4}[-/]?\d{2}[-/]?\d{2}[ T]\d{1,2}:\d{2}:\d{2}\S*|\d{9,}(?:\.\d+)?")
"""A time before each line, as `ts` adds it."""
_ENTITY = re.compile(r"(GPU(?:-C?I)?) (\d+(?:/\d+)*)")
"""An entity of DCGM: a GPU, or an instance of one."""


class Row(NamedTuple):
    """A row of a table, and its line, from 1."""

    line: int
    cells: list[Any]


class Table(NamedTuple):
    """A table: its header, None if the file has none, and its rows.

    `open_lines` has, once it was read, the number of a line without an end, which may be half of one.
    """

    header: list[str] | None
    rows: Iterable[Row]
    tool: str
    open_lines: list[int] = []  # noqa: RUF012 - read_table gives each table its own


@contextmanager
def read_table(path: Path, power: str | None = None) -> Iterator[Table]:
    """Open the table of a file; its rows are read while it is open. `power` is the name of a column.

    Raises:
        NotImportableError: The file is empty, or no table.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PAR1":
        yield _parquet(path)
        return
    with open_text(path) as text:
        open_lines: list[int] = []
        solid = _solid(text, open_lines)
        first = list(islice(solid, _PREAMBLE))
        if not first:
            raise NotImportableError("expected a power log, got an empty file; run the sampler again")
        yield _text_table(first, solid, power)._replace(open_lines=open_lines)


def _solid(text: IO[str], open_lines: list[int]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers."""
    for number, line in enumerate(text, 1):
        content = line.strip(f"\r\n\0{MARK}")
        if content.strip():
            if not line.endswith(("\n", "\r")):
                open_lines.append(number)
            yield number, content.replace("\0", "")


def _text_table(first: list[tuple[int, str]], rest: Iterator[tuple[int, str]], power: str | None) -> Table:
    for place, (_, line) in enumerate(first):
        stamp, bare = _split_stamp(line)
        if bare.lstrip().startswith("#") and "," not in bare:
            if is_header(header := bare.lstrip("# \t").split(), power):
                header = [*(["time"] if stamp else []), *header]
                return Table(header, _spaced(chain(first[place + 1 :], rest), has_stamps=bool(stamp)), "dmon")
            continue
        for delimiter in _DELIMITERS:
            if is_header(header := _cells(line, delimiter), power):
                rows = _delimited(chain(first[place + 1 :], rest), delimiter, header)
                return Table(header, rows, _tool_of(header))
    return _without_header(first, rest, power)


def _tool_of(header: list[str]) -> str:
    joined = ",".join(header).lower()
    if "power.draw" in joined:
        return "nvidia-smi"
    if "dcgm_fi" in joined:
        return "DCGM"
    return "amd-smi" if "socket_power" in joined or "power_usage" in joined else "a table"


def _split_stamp(line: str) -> tuple[str, str]:
    match = _STAMP.match(line)
    if match is None or not line[match.end() : match.end() + 1].isspace():
        return "", line
    return match[0], line[match.end() :]


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _delimited(lines: Iterable[tuple[int, str]], delimiter: str, header: list[str]) -> Iterator[Row]:
    """Yield the rows of CSV; some tools write their header again and again."""
    for number, line in lines:
        cells: list[str] = line.split(delimiter) if '"' not in line else _cells(line, delimiter)
        if len(cells) > len(header) and all(not cell.strip() for cell in cells[len(header) :]):
            del cells[len(header) :]
        if cells[0].strip() == header[0].strip() and [c.strip() for c in cells] == [
            h.strip() for h in header
        ]:
            continue
        yield Row(number, cells)


def _spaced(lines: Iterable[tuple[int, str]], *, has_stamps: bool) -> Iterator[Row]:
    """Yield the rows of a table of dmon; an entity of DCGM is two words."""
    for number, line in lines:
        stamp, bare = _split_stamp(line) if has_stamps else ("", line)
        bare = _ENTITY.sub(
            lambda match: f"{match[1].removeprefix('GPU')}{match[2]}".lstrip("-"), bare, count=1
        )
        cells = bare.split()
        if not cells or cells[0].startswith("#") or cells[0].lower() in ("id", "idx"):
            continue
        yield Row(number, [*([stamp] if has_stamps else []), *cells])


def _without_header(
    first: list[tuple[int, str]], rest: Iterator[tuple[int, str]], power: str | None
) -> Table:
    """Read a log of Zeus, or one of nvidia-smi that has units or whose places are named."""
    cells = _cells(first[0][1], ",")
    if len(cells) > 1 and _is_time(cells[0]):
        rows = _delimited(chain(first, rest), ",", [""] * len(cells))
        watts = [place for place, cell in enumerate(cells) if cell.strip().endswith(" W")]
        if len(watts) == 1 or (power is not None and power.isdigit()):
            # A place counts from 1, and the first one is the time.
            names = ["timestamp", *(str(place) for place in range(2, len(cells) + 1))]
            if power is None:
                names[watts[0]] = "power.draw [W]"
            for place, cell in enumerate(cells):
                if cell.strip().startswith(("GPU-", "MIG-")):
                    names[place] = "uuid"
            return Table(names, rows, "nvidia-smi")
        # Zeus writes seconds since 1970 and the power of each GPU; other numbers may be anything.
        is_zeus = cells[0].strip().replace(".", "", 1).isdigit() or len(cells) == 2  # noqa: PLR2004 - a pair
        if is_zeus and all(_is_fraction(cell) for cell in cells[1:]):
            return Table(["time", *(f"gpu{place}" for place in range(len(cells) - 1))], rows, "Zeus")
    shown = first[0][1].strip()[:60]
    raise NotImportableError(
        f"expected a power log, got a file whose first line is {shown!r}; "
        "log with a header, or name the columns with --power-columns"
    )


def _is_time(cell: str) -> bool:
    try:
        return moment_of(cell).kind != "elapsed"
    except ValueError:
        return False


def _is_fraction(cell: str) -> bool:
    try:
        return "." in cell and number_of(cell) is not None
    except ValueError:
        return False


def _parquet(path: Path) -> Table:
    try:
        batches, _, _ = _store.read_table(path, max_trace_bytes(None))
    except LLEMError as error:
        raise NotImportableError(str(error)) from None
    if not batches:
        raise NotImportableError(
            "expected a power log, got a Parquet file without rows; run the sampler again"
        )
    columns = [batch.to_pydict() for batch in batches]
    header = list(columns[0])
    rows = (list(values) for part in columns for values in zip(*part.values(), strict=True))
    return Table(header, (Row(number, cells) for number, cells in enumerate(rows, 1)), "Parquet")
