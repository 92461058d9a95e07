"""`llem ls`: list the results of a directory as a table."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import chain, islice
from typing import Annotated, Any

import typer

from llenergymeasure._format import ABSENT, plural
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.columns import head_of, split_names
from llenergymeasure.cli.query.failures import list_failures
from llenergymeasure.cli.query.options import Columns, Directory, FollowLinks, Where
from llenergymeasure.cli.query.reading import Reading, given_path
from llenergymeasure.cli.query.values import format_setting, format_settings, order_of
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.numbers import choose_prefix, head_and_unit, number_cells, unit_of
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.cli.terminal.table import Column, print_table, unique_heads
from llenergymeasure.results._columns import CONFIG, SHORT_NAMES, find_columns, kind_of

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
    newest: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Read only the N results that were saved last, the newest first.",
        ),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the runs that failed, and not the results.")
    ] = False,
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

    --failed lists the error, the end and the machine of each run that failed;
    conditions are then on these, or on config.KEY. With --newest, conditions and
    --sort apply to the newest results only.

    A narrow terminal shows fewer columns, and drops the path first. Elsewhere
    the table is complete, and its numbers are plain, in J, s and tokens. An
    invalid result file is reported on standard error.

    Exit status: 0 all read, or none found; 1 some not; 2 wrong usage; 130 interrupted.
    """
    if failed:
        if columns or sort is not None:
            raise UsageError("--failed has its own columns and order; leave out --columns and --sort")
        return list_failures(
            directory,
            where,
            newest=newest,
            limit=limit,
            is_reversed=reverse,
            follow_links=follow_links,
            as_json=as_json,
        )
    asked = split_names(columns) or [*_USUAL, _PATH]
    by, is_descending = _order(sort, is_reversed=reverse)
    reading = Reading(
        directory,
        list(dict.fromkeys([*asked, _PATH, *by])),
        where,
        optional=() if columns else ["model"],
        follow_links=follow_links,
        newest=newest,
    )
    wanted = find_columns(asked)
    rows = _Rows(reading, directory)
    sorting = _sorting(by)
    instants = sorting[:-1]
    taken = rows.take(sorting, is_descending=is_descending, limit=limit)
    # Other columns were read only to sort, or to name the rows.
    places = {
        name: place
        for asked in wanted
        for place, name in enumerate(rows.names)
        if name == asked or (name.startswith(f"{asked}.") and name not in instants)
    }
    table = {name: [row[place] for row in taken] for name, place in places.items()}
    if as_json:
        objects = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
        OUT.write(to_json([*objects, *reading.error_objects]))
    elif taken:
        is_usual = not columns
        print_table(
            unique_heads(
                [
                    _setting_column(name, values, is_part=reading.has_other_kinds(name))
                    if name.startswith(f"{CONFIG}.")
                    else _column(name, values, is_usual=is_usual)
                    for name, values in table.items()
                ],
                table,
            )
        )
    left_out = reading.found - len(taken)
    if left_out:
        ERR.report(f"{len(taken):,} of {plural(reading.found, 'result')} shown, {left_out:,} left out")
    reading.report()
    return reading.status


def _order(sort: str | None, *, is_reversed: bool) -> tuple[list[str], bool]:
    """Return the columns to sort by, with the instant of a time, and whether the order is descending."""
    if sort is None:
        return ([_PATH], True) if is_reversed else ([], False)
    name = sort.removeprefix("-").strip()
    names = [f"{SHORT_NAMES.get(name, name)}.utc", name] if kind_of(name) == "time" else [name]
    return names, sort.startswith("-") != is_reversed


def _sorting(by: list[str]) -> list[str]:
    """Return the full names of the columns that a row is sorted by; the last decides where the first is null.

    Raises:
        UsageError: The name stands for several columns.
    """
    names = find_columns(by)
    if by and (len(names) > len(by) or names == [CONFIG]):
        raise UsageError(f"--sort expects one column, got the object {by[-1]}; choose a column of it")
    return names


class _Rows:
    """The rows of a reading, in the requested order."""

    def __init__(self, reading: Reading, directory: str) -> None:
        self._reading, self._directory = reading, directory
        self.names: list[str] = []

    def take(self, by: Sequence[str], *, is_descending: bool, limit: int | None) -> list[Row]:
        """Read all rows, and return the first ones; memory holds no more than those."""
        rows = self._read()
        first = next(rows, None)
        if first is None:
            return []
        rows = chain([first], rows)
        if not by:
            taken = list(islice(rows, limit))
            for _ in rows:
                pass  # reading counts them, and finds invalid files
            return taken
        key = _rank([self.names.index(name) for name in by], is_descending=is_descending)
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


def _rank(places: Sequence[int], *, is_descending: bool) -> Callable[[Row], tuple[int, int, Any]]:
    """Return the sort key: values, NaN, null in both directions.

    A time sorts by its instant where the zone is known, and else as if its zone were UTC.
    """

    def key(row: Row) -> tuple[int, int, Any]:
        value = next((row[place] for place in places if row[place] is not None), None)
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=timezone.utc)
        return order_of(value, is_descending=is_descending)

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
    cells = [format_setting(value, is_mixed=False) for value in values]
    dropped = 1 if is_usual and name == _PATH else 0
    return Column(head_of(name), cells, least=_FLEXIBLE, dropped=dropped)


def _setting_column(name: str, values: list[Any], *, is_part: bool) -> Column:
    """Return a column of the configuration; settings are not rounded."""
    cells = format_settings(values, is_part=is_part)
    kinds = {type(value) for value in values} - {type(None)}
    is_number = bool(kinds) and kinds <= {int, float}
    return Column(head_of(name), cells, right=is_number, least=None if is_number else _FLEXIBLE)


def _number_column(name: str, values: list[Any]) -> Column:
    bare, unit = unit_of(name)
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
