"""Tables that fit: the terminal where there is one, nobody's width where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest

from llenergymeasure.cli._console import OUT

__all__ = ["Column", "cell_width", "print_heading", "print_table", "shorten", "spelled"]

_GAP = "  "
_CHUNK = 1000
_SEPARATORS = "/-_ ,"
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
        return [self.name, unit] if folded else [f"{self.name} {unit}".rstrip()]


def print_table(columns: Sequence[Column]) -> None:
    """Print a table to standard output.

    On a terminal it fits: columns that may be left out are, in their turn, then heads are folded and cells
    shortened, and where that is not enough each row becomes a few lines. Elsewhere it is plain, and whole.
    """
    width = OUT.width
    columns = [_spelled(column) for column in columns]
    if width is None:
        _print_rows(columns, folded=False, width=None)
        return
    fitting = _fit(columns, width)
    if fitting is None:
        _print_blocks(columns, width)
    else:
        _print_rows(fitting[0], folded=fitting[1], width=width)


def _fit(columns: Sequence[Column], width: int) -> tuple[list[Column], bool] | None:
    """Return the columns that fit in a width, and whether their heads are folded; None if they cannot."""
    current = list(columns)
    levels = sorted({column.dropped for column in columns} - {0}, reverse=True)
    # What only stands there where there is room goes first; a column that counts goes last.
    for level in [None, *levels]:
        if level is not None:
            current = [column for column in current if column.dropped != level]
        folded = level is not None and level == min(levels)
        if _total(current, folded=folded) <= width:
            return current, folded
    if _total(current, folded=True) <= width:
        return current, True
    current = [
        column if column.short is None else replace(column, cells=column.short[0], unit=column.short[1])
        for column in current
    ]
    over = _total(current, folded=True) - width
    for column in sorted(current, key=lambda column: -_width(column, folded=True)):
        if over > 0 and column.least is not None:
            now = _width(column, folded=True)
            target = max(now - over, column.least, *map(cell_width, column.heads(folded=True)))
            if target < now:
                make = _wrapped if column.wraps else shorten
                cells = [make(cell, target) for cell in column.cells]
                current[current.index(column)] = replace(column, cells=cells)
                over -= now - target
    return (current, True) if over <= 0 else None


def _width(column: Column, *, folded: bool) -> int:
    lines = (line for cell in column.cells for line in (cell.split("\n") if "\n" in cell else (cell,)))
    return max(map(cell_width, chain(column.heads(folded=folded), lines)))


def _total(columns: Sequence[Column], *, folded: bool) -> int:
    return sum(_width(column, folded=folded) for column in columns) + len(_GAP) * (len(columns) - 1)


def _print_rows(columns: Sequence[Column], *, folded: bool, width: int | None) -> None:
    widths = [_width(column, folded=folded) for column in columns]
    if width is not None and columns and not columns[-1].right:
        widths[-1] = 0  # nothing follows that would have to stand in line
    rights = [column.right for column in columns]
    heads = list(zip(*(column.heads(folded=folded) for column in columns), strict=True))
    print_heading(*(_line(head, widths, rights) for head in heads if any(head)))
    rows = zip(*(column.cells for column in columns), strict=True)
    _write(_line(line, widths, rights) for row in rows for line in _lines_of(row))


def _lines_of(row: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if not any("\n" in cell for cell in row):
        return (row,)
    return zip_longest(*(cell.split("\n") for cell in row), fillvalue="")


def _wrapped(text: str, width: int) -> str:
    """Break a text into lines, after a separator where there is one in the second half of a line."""
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


def _line(cells: Iterable[str], widths: Sequence[int], rights: Sequence[bool]) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, rights, strict=True):
        space = " " * (width - cell_width(cell))
        padded.append(space + cell if right else cell + space)
    return _GAP.join(padded).rstrip()


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
