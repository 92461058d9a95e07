"""`llem ls`: list the results of a directory as a table."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Annotated, Any

import typer

from llenergymeasure._format import ABSENT, format_value, plural
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.columns import column_of, find_all, head_of
from llenergymeasure.cli.query.options import Columns, Directory, FollowLinks, Where
from llenergymeasure.cli.query.reading import Reading, given_path
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.numbers import choose_prefix, head_and_unit, number_cells, unit_of
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.cli.terminal.table import Column, print_table, unique_heads
from llenergymeasure.results._columns import find_columns, kind_of

_PATH = "path"
_USUAL = ("model", "backend", "tokens", "energy", "J/token", "tokens/s", "when", "warnings")
_FLEXIBLE = 10
"""The least width of a text."""

Row = tuple[Any, ...]


def ls(
    directory: Directory,
    where: Where = [],
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Sort by a column, or in descending order by -COLUMN; absent values are last.",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Reverse the order.")] = False,
    columns: Columns = [],
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=0, help="Show only the first N.")
    ] = None,
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON array: an object for each result, by full column names and in base units, and "
            "one with path and error for each invalid result file.",
        ),
    ] = False,
) -> int:
    """List the results of a directory, by path unless another order is given.

    A narrow terminal shows fewer columns, and drops the path first. Elsewhere
    the table is complete, and its numbers are plain, in J, s and tokens. An
    invalid result file is reported on standard error.

    Exit status: 0 all read, or none found; 1 some not; 2 wrong usage; 130 interrupted.
    """
    try:
        wanted = find_all(columns) or [*find_all(_USUAL), _PATH]
        by, is_descending = _order(sort, is_reversed=reverse)
    except ValueError as error:
        raise UsageError(str(error)) from None
    instant = f"{by}.utc" if by and kind_of(by) == "time" and kind_of(f"{by}.utc") else None
    read = list(dict.fromkeys([*wanted, _PATH, *filter(None, (by, instant))]))
    reading = Reading(directory, read, where, follow_links=follow_links)
    rows = _Rows(reading, directory)
    taken = rows.take(by, instant, is_descending=is_descending, limit=limit)
    # Other columns were read only to sort, or to name the rows.
    places = {
        name: place
        for asked in wanted
        for place, name in enumerate(rows.names)
        if name == asked or (name.startswith(f"{asked}.") and name != instant)
    }
    table = {name: [row[place] for row in taken] for name, place in places.items()}
    if as_json:
        objects = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
        OUT.write(to_json([*objects, *reading.error_objects]))
    elif taken:
        is_usual = not columns
        print_table(
            unique_heads([_column(name, values, is_usual=is_usual) for name, values in table.items()], table)
        )
    left_out = reading.found - len(taken)
    if left_out:
        ERR.report(f"{len(taken):,} of {plural(reading.found, 'result')} shown, {left_out:,} left out")
    reading.report()
    return reading.status


def _order(sort: str | None, *, is_reversed: bool) -> tuple[str | None, bool]:
    if sort is None:
        return (_PATH, True) if is_reversed else (None, False)
    column = column_of(sort.removeprefix("-"))
    if kind_of(column) == "config" or find_columns([column]) != [column]:
        raise ValueError(f"--sort expects one column, got the object {column}; choose one of its columns")
    return column, sort.startswith("-") != is_reversed


class _Rows:
    """The rows of a reading, in the requested order."""

    def __init__(self, reading: Reading, directory: str) -> None:
        self._reading, self._directory = reading, directory
        self.names: list[str] = []

    def take(
        self, by: str | None, instant: str | None, *, is_descending: bool, limit: int | None
    ) -> list[Row]:
        """Read all rows, and return the first ones; memory holds no more than those.

        Args:
            by: The column that decides the order.
            instant: The column of instants that decides where it is known.
            is_descending: Begin with the greatest.
            limit: The number of rows to return; None is all.
        """
        rows = self._read()
        first = next(rows, None)
        if first is None:
            return []
        rows = chain([first], rows)
        if by is None:
            taken = list(islice(rows, limit))
            for _ in rows:
                pass  # reading counts them, and finds invalid files
            return taken
        places = [self.names.index(name) for name in (instant, by) if name is not None]
        key = _rank(places, is_descending=is_descending)
        if limit is None:
            return sorted(rows, key=key, reverse=is_descending)
        return (heapq.nlargest if is_descending else heapq.nsmallest)(limit, rows, key=key)

    def _read(self) -> Iterator[Row]:
        for batch in self._reading.batches():
            if not self.names:
                self.names = list(batch)
            if _PATH in batch:
                batch[_PATH] = [given_path(self._directory, path) for path in batch[_PATH]]
            yield from zip(*batch.values(), strict=True)


def _rank(places: list[int], *, is_descending: bool) -> Callable[[Row], tuple[int, Any]]:
    """Return the sort key: values, NaN, null in both directions; a list sorts by its length.

    The first of the places with a value decides. A time without a zone counts as UTC.
    """
    sign = -1 if is_descending else 1

    def key(row: Row) -> tuple[int, Any]:
        value = next((row[place] for place in places if row[place] is not None), None)
        if value is None:
            return sign * 2, 0
        if isinstance(value, float) and math.isnan(value):
            return sign, 0
        if isinstance(value, datetime):
            return 0, value.replace(tzinfo=None)
        return 0, len(value) if isinstance(value, list) else value

    return key


def _column(name: str, values: list[Any], *, is_usual: bool) -> Column:
    """Return a column of the table."""
    sample = next((value for value in values if value is not None), None)
    if name == "avg_energy_per_token_j" or (
        isinstance(sample, (int, float)) and not isinstance(sample, bool)
    ):
        return _number_column(name, values)
    if isinstance(sample, datetime):
        return _time_column(name, values)
    if isinstance(sample, list) and name == "measurement_warnings":
        counts = [str(len(value)) if value else ABSENT for value in values]
        return Column("warnings", counts, right=True, folded=("warn-", "ings"))
    cells = [_text(value) for value in values]
    dropped = 1 if is_usual and name == _PATH else 0
    return Column(head_of(name), cells, least=_FLEXIBLE, dropped=dropped)


def _number_column(name: str, values: list[Any]) -> Column:
    bare, unit = unit_of(name)
    if name.startswith("effective_config."):
        return Column(head_of(name), [format_value(value) for value in values], right=True)
    power = choose_prefix(values, unit)
    head, symbol = head_and_unit(head_of(name, bare), power, unit)
    return Column(head, number_cells(values, power), symbol, right=True)


def _time_column(name: str, values: list[datetime | None]) -> Column:
    """Return a column of times: with minutes on a terminal, exact elsewhere."""
    is_seen = OUT.is_terminal
    zone = "UTC" if any(value is not None and value.tzinfo is not None for value in values) else ""
    texts = [
        ABSENT
        if value is None
        else value.replace(tzinfo=None).isoformat(" ", "minutes" if is_seen else "auto")
        for value in values
    ]
    years = {value.year for value in values if value is not None}
    short = None
    if is_seen and len(years) == 1 and not zone:
        short = ([text.partition("-")[2] or text for text in texts], str(years.pop()))
    elif is_seen and not zone:
        short = ([text.partition(" ")[0] for text in texts], "")
    return Column(head_of(name), texts, zone, short=short)


def _text(value: Any) -> str:  # noqa: ANN401 - any value of a column
    return format_value(", ".join(map(str, value)) if isinstance(value, list) else value) or ABSENT
