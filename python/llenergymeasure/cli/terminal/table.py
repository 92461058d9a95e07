"""Tables that fit: the terminal where there is one, nobody's width where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, zip_longest
from typing import NamedTuple

from llenergymeasure.cli.terminal.stream import OUT

__all__ = ["Column", "cell_width", "print_heading", "print_table", "shorten", "spelled"]

_GAP, _SMALL_GAP = "  ", " "
_CHUNK = 1000
_SEPARATORS = "/-_ ,."
_MOST_LINES = 4
"""Lines of a cell that goes on below; what is longer yet loses its middle."""
_ASCII = str.maketrans({"…": "~", "µ": "u", "±": "+-", "°": ""})


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its head.
        cells: What stands in it, row by row.
        unit: Stands in the head too, in brackets.
        right: Whether the cells are flush right, as numbers are.
        least: How narrow its cells may be made; None is not at all.
        wraps: Narrow cells go on in lines below; without it, their middle is left out.
        dropped: When it is left out of a table that does not fit: the greater, the sooner; 0 is never.
        short: Narrower cells that may take the place of `cells`, and the unit that goes with them.
        folded: Its head on two lines, where that is not the name above the unit.
    """

    name: str
    cells: Sequence[str]
    unit: str = ""
    right: bool = False
    least: int | None = None
    wraps: bool = False
    dropped: int = 0
    short: tuple[Sequence[str], str] | None = None
    folded: tuple[str, str] | None = None

    def heads(self, *, folded: bool) -> list[str]:
        """Return the lines of the head."""
        unit = f"[{self.unit}]" if self.unit else ""
        if folded and self.folded is not None:
            return list(self.folded)
        return [self.name, unit] if folded else [f"{self.name} {unit}".strip()]

    @cached_property
    def _widest(self) -> int:
        lines = (line for cell in self.cells for line in (cell.split("\n") if "\n" in cell else (cell,)))
        return max(map(cell_width, lines), default=0)

    def width(self, *, folded: bool) -> int:
        """Return how wide the column is, its head included."""
        return max(self._widest, *map(cell_width, self.heads(folded=folded)))


def print_table(columns: Sequence[Column]) -> None:
    """Print a table to standard output.

    On a terminal it fits: heads are folded, columns that may be left out are, in their turn, then cells are
    shortened, and where that is not enough each row becomes a few lines. Elsewhere it is plain, and whole.
    """
    width = OUT.width
    columns = [_spelled(column) for column in columns]
    if width is None:
        _print_rows(columns, folded=False, gap=_GAP)
        return
    fitting = _fit(columns, width)
    if fitting is None:
        _print_blocks(columns, width)
    else:
        _print_rows(fitting.columns, folded=fitting.folded, gap=fitting.gap)


class _Fitting(NamedTuple):
    columns: Sequence[Column]
    folded: bool = False
    gap: str = _GAP


def _fit(columns: Sequence[Column], width: int) -> _Fitting | None:
    """Return what fits in a width, leaving out as little as can be; None if nothing does."""
    current = list(columns)
    for level in (None, *sorted({column.dropped for column in columns} - {0}, reverse=True)):
        if level is not None:
            current = [column for column in current if column.dropped != level]
        for folded in (False, True):
            if sum(column.width(folded=folded) for column in current) + _gaps(current, _GAP) <= width:
                return _Fitting(current, folded)
    current = [
        column if column.short is None else replace(column, cells=column.short[0], unit=column.short[1])
        for column in current
    ]
    for gap in (_GAP, _SMALL_GAP):
        narrowed = _narrowed(current, width - _gaps(current, gap))
        if narrowed is not None:
            return _Fitting(narrowed, folded=True, gap=gap)
    return None


def _gaps(columns: Sequence[Column], gap: str) -> int:
    return len(gap) * (len(columns) - 1)


def _narrowed(columns: list[Column], room: int) -> list[Column] | None:
    """Make the widest of the columns that may be narrow so narrow that all fit; None if they cannot."""
    widths = [column.width(folded=True) for column in columns]
    leasts = [
        width
        if column.least is None
        else min(width, max(column.least, *map(cell_width, column.heads(folded=True))))
        for column, width in zip(columns, widths, strict=True)
    ]
    if sum(leasts) > room:
        return None
    while sum(widths) > room:
        # The widest one of those that have room to give.
        place = max((i for i, width in enumerate(widths) if width > leasts[i]), key=lambda i: widths[i])
        widths[place] -= 1
    return [
        replace(column, cells=[(_wrapped if column.wraps else shorten)(cell, width) for cell in column.cells])
        for column, width in zip(columns, widths, strict=True)
    ]


def _print_rows(columns: Sequence[Column], *, folded: bool, gap: str) -> None:
    widths = [column.width(folded=folded) for column in columns]
    rights = [column.right for column in columns]
    heads = zip(*(column.heads(folded=folded) for column in columns), strict=True)
    print_heading(*(_line(head, widths, rights, gap) for head in heads if any(head)))
    rows = zip(*(column.cells for column in columns), strict=True)
    _write(_line(line, widths, rights, gap) for row in rows for line in _lines_of(row))


def _lines_of(row: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if not any("\n" in cell for cell in row):
        return (row,)
    return zip_longest(*(cell.split("\n") for cell in row), fillvalue="")


def _wrapped(text: str, width: int) -> str:
    """Break a text into lines, after a separator where there is one in the second half of a line."""
    text = shorten(text, _MOST_LINES * (width - 2))
    lines = []
    while cell_width(text) > width:
        cut = width
        while cell_width(text[:cut]) > width:
            cut -= 1
        after = max(text.rfind(mark, 0, cut) + 1 for mark in _SEPARATORS)
        cut = after if after > width // 2 else max(cut, 1)
        lines.append(text[:cut])
        text = text[cut:]
    return "\n".join([*lines, text])


def _line(cells: Iterable[str], widths: Sequence[int], rights: Sequence[bool], gap: str) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, rights, strict=True):
        space = " " * (width - cell_width(cell))
        padded.append(space + cell if right else cell + space)
    return gap.join(padded).rstrip()


def print_heading(*lines: str, style: str = "bold") -> None:
    """Print lines that stand out on a terminal."""
    if not OUT.is_terminal:
        OUT.write("".join(f"{line}\n" for line in lines))
        return
    from rich.text import Text  # noqa: PLC0415 - slow to load, and a pipe needs none of it

    OUT.print(*(Text(line, style=style) for line in lines), wrap=False)


def _print_blocks(columns: Sequence[Column], width: int) -> None:
    """Print each row as a block of lines: a head and a value."""
    names = [column.heads(folded=False)[0] for column in columns]
    most = max(map(cell_width, names))
    rows = zip(*(column.cells for column in columns), strict=True)

    def lines() -> Iterator[str]:
        for number, row in enumerate(rows):
            if number:
                yield ""
            for name, cell in zip(names, row, strict=True):
                space = " " * (most - cell_width(name))
                yield shorten(f"{name}{space}{_GAP}{cell.strip()}", width)

    _write(lines())


def _write(lines: Iterator[str]) -> None:
    while chunk := list(islice(lines, _CHUNK)):
        OUT.write("".join(f"{line}\n" for line in chunk))


def spelled(text: str) -> str:
    """Return a text with our own signs spelled in ASCII where the stream cannot take them."""
    return text if OUT.is_utf8 else text.translate(_ASCII)


def _spelled(column: Column) -> Column:
    if OUT.is_utf8:
        return column
    short = column.short
    return replace(
        column,
        name=spelled(column.name),
        unit=spelled(column.unit),
        cells=[spelled(cell) for cell in column.cells],
        short=None if short is None else ([spelled(cell) for cell in short[0]], short[1]),
    )


def cell_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - most text is ASCII

    return cell_len(text)


def shorten(text: str, width: int) -> str:
    """Leave out the middle of a text that is wider: the ends tell more."""
    if cell_width(text) <= width:
        return text
    mark = spelled("…")
    keep = width - 1
    while keep > 0:
        tail = keep // 2
        short = text[: keep - tail] + mark + (text[-tail:] if tail else "")
        if cell_width(short) <= width:
            return short
        keep -= 1
    return mark
