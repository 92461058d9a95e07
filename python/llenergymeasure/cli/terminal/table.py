"""Tables that fit the terminal; elsewhere they are as wide as their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, zip_longest
from typing import NamedTuple

from llenergymeasure._format import printable
from llenergymeasure.cli.terminal.stream import OUT

_GAP, _SMALL_GAP = "  ", " "
_LINES_A_WRITE = 1000
_SEPARATORS = "/-_ ,."
_MOST_LINES = 4
"""Lines of a wrapped cell; a longer text loses its middle."""
_ASCII = str.maketrans({"…": "~", "µ": "u", "±": "+-", "°": "", "Σ": "sum "})


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: The head.
        cells: The cells, row by row.
        unit: The unit, in brackets in the head.
        right: Align the cells right, as numbers are.
        least: The least width of the cells; None keeps them as they are.
        wraps: Wrap narrow cells on several lines instead of cutting out their middle.
        dropped: The order in which columns are dropped from a wide table, the greatest first; 0 is never.
        short: Narrower cells that can replace `cells`, and their unit.
        folded: The head on two lines, if that is not the name above the unit.
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
        """Return the width of the column with its head."""
        return max(self._widest, *map(cell_width, self.heads(folded=folded)))


def print_table(columns: Sequence[Column]) -> None:
    """Print a table to standard output.

    To fit a terminal, it folds heads, drops columns in their order, and then shortens cells; if that is not
    enough, each row becomes a block of lines. Elsewhere the table is plain and complete.
    """
    width = OUT.width
    columns = [_spelled(_printable(column)) for column in columns]
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
    """Return the most complete form that fits a width; None if no form fits."""
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
    """Narrow the widest flexible columns until all fit; return None if they cannot."""
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
        # Narrow the widest column that can shrink.
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
    return "\n".join(fold(shorten(text, _MOST_LINES * (width - 2)), width, _SEPARATORS))


def fold(text: str, width: int, separators: str = " ") -> list[str]:
    """Break a text into lines, after a separator where there is one in the second half of a line."""
    lines = []
    while len(text) > width or cell_width(text) > width:
        cut = width
        while cut > 1 and cell_width(text[:cut]) > width:
            cut -= 1
        after = max(text.rfind(mark, 0, cut + (mark == " ")) + 1 for mark in separators)
        cut = after if after > width // 2 else cut
        lines.append(text[:cut].rstrip(" "))
        text = text[cut:]
    return [*lines, text]


def _line(cells: Iterable[str], widths: Sequence[int], rights: Sequence[bool], gap: str) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, rights, strict=True):
        space = " " * (width - cell_width(cell))
        padded.append(space + cell if right else cell + space)
    return gap.join(padded).rstrip()


def print_heading(*lines: str, style: str = "bold") -> None:
    """Print lines in a style on a terminal, and fold those that are wider than it."""
    width = OUT.width
    if width is None:
        OUT.write("".join(f"{line}\n" for line in lines))
        return
    from rich.text import Text  # noqa: PLC0415 - slow to load, and a pipe needs no style

    OUT.print(*(Text(part, style=style) for line in lines for part in fold(line, width)), wrap=False)


def _print_blocks(columns: Sequence[Column], width: int) -> None:
    """Print each row as a block of lines: a head and a value, below it where both are too wide for a line."""
    names = [column.heads(folded=False)[0] for column in columns]
    most = max(map(cell_width, names))
    rows = zip(*(column.cells for column in columns), strict=True)

    def lines() -> Iterator[str]:
        for number, row in enumerate(rows):
            if number:
                yield ""
            for name, cell in zip(names, row, strict=True):
                if most > width // 2:
                    yield shorten(name, width)
                    yield shorten(f"{_SMALL_GAP}{cell.strip()}", width)
                    continue
                space = " " * (most - cell_width(name))
                yield shorten(f"{name}{space}{_GAP}{cell.strip()}", width)

    _write(lines())


def _write(lines: Iterator[str]) -> None:
    while chunk := list(islice(lines, _LINES_A_WRITE)):
        OUT.write("".join(f"{line}\n" for line in chunk))


def spelled(text: str) -> str:
    """Replace our own signs by ASCII where the stream cannot take them."""
    return text if OUT.is_utf8 else text.translate(_ASCII)


def _printable(column: Column) -> Column:
    """Escape what could steer the terminal: each name and each cell may come from a record."""
    if column.name.isprintable() and all(cell.isprintable() for cell in column.cells):
        return column
    return replace(column, name=printable(column.name), cells=[printable(cell) for cell in column.cells])


def unique_heads(columns: Sequence[Column], names: Iterable[str]) -> list[Column]:
    """Replace equal heads by the full names of their columns."""
    heads = Counter(column.name for column in columns)
    return [
        column if heads[column.name] == 1 else replace(column, name=name)
        for column, name in zip(columns, names, strict=True)
    ]


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
    """Return the columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - most text is ASCII

    return cell_len(text)


def shorten(text: str, width: int) -> str:
    """Cut out the middle of a text that is too wide; its ends distinguish it better."""
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
