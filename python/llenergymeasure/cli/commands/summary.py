"""`llem summary`: print mean and standard deviation over repeats."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from llenergymeasure._format import ABSENT, best_prefix, format_number, format_value, plural
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.columns import COLUMN_HELP, find_all, head_of
from llenergymeasure.cli.query.options import Directory, FollowLinks, Where
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.query.statistics import Statistic
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.numbers import align, head_and_unit, unit_of
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.cli.terminal.table import Column, print_table

_METRICS = ("energy", "J/token", "tokens/s", "time")
_DROPPED = "time"
"""The metric that a narrow terminal drops first."""
_FLEXIBLE = 14
_SD_DIGITS = 2

Key = tuple[Any, ...]


def summary(
    directory: Directory,
    by: Annotated[
        list[str],
        typer.Option(
            "--by",
            "-b",
            metavar="COLUMN,...",
            help=f"The columns that repeats have in common. {COLUMN_HELP}",
        ),
    ] = ["model", "backend"],
    where: Where = [],
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object: groups, each with its columns by full name, n, and for each metric "
            "n, mean and sd, in base units; and errors, each with path and error.",
        ),
    ] = False,
) -> int:
    """Print mean and standard deviation over repeats.

    The deviation is that of a sample (n - 1); it is - for a single result. Mean
    and deviation leave out values that are NaN, infinite or null, and standard
    error reports their number; n counts all results of the group.

    Exit status: 0 all read, or none found; 1 some not; 2 wrong usage; 130 interrupted.
    """
    try:
        keys, metrics = find_all(by), find_all(_METRICS)
    except ValueError as error:
        raise UsageError(str(error)) from None
    reading = Reading(directory, list(dict.fromkeys([*keys, *metrics])), where, follow_links=follow_links)
    groups = _Groups(keys, metrics)
    for batch in reading.batches():
        groups.add(batch)
    ordered = groups.ordered()
    if as_json:
        document = [groups.as_json(key) for key in ordered]
        OUT.write(to_json({"groups": document, "errors": reading.error_objects}))
    elif ordered:
        print_table(groups.columns(ordered))
    left_out = groups.left_out
    if left_out:
        ERR.report(f"{plural(left_out, 'value')} left out: null, NaN or infinite")
    reading.report()
    return reading.status


class _Groups:
    """Groups of results with equal keys, and the statistics of each group."""

    def __init__(self, keys: Sequence[str], metrics: Sequence[str]) -> None:
        self._asked, self._metrics = keys, metrics
        self._names: list[str] = []
        self._counts: dict[Key, int] = {}
        self._statistics: dict[Key, list[Statistic]] = {}

    @property
    def left_out(self) -> int:
        return sum(statistic.left_out for group in self._statistics.values() for statistic in group)

    def add(self, batch: dict[str, list[Any]]) -> None:
        """Add rows."""
        # The name of an object stands for all of its columns.
        self._names = [name for name in batch if self._is_key(name)]
        values = zip(*(batch[name] for name in self._names), strict=True)
        metrics = zip(*(batch[name] for name in self._metrics), strict=True)
        for raw, row in zip(values, metrics, strict=True):
            key = tuple(map(_hashable, raw))
            group = self._statistics.get(key)
            if group is None:
                group = self._statistics[key] = [Statistic() for _ in self._metrics]
                self._counts[key] = 0
            self._counts[key] += 1
            for statistic, value in zip(group, row, strict=True):
                statistic.add(value)

    def _is_key(self, name: str) -> bool:
        return any(name == asked or name.startswith(f"{asked}.") for asked in self._asked)

    def ordered(self) -> list[Key]:
        """Return the keys of the groups in order; absent values are last."""
        return sorted(
            self._counts, key=lambda key: tuple((value is None, _comparable(value)) for value in key)
        )

    def as_json(self, key: Key) -> dict[str, Any]:
        return {
            **dict(zip(self._names, key, strict=True)),
            "n": self._counts[key],
            **{name: one.as_json for name, one in zip(self._metrics, self._statistics[key], strict=True)},
        }

    def columns(self, ordered: Sequence[Key]) -> list[Column]:
        """Return the columns of the table."""
        columns = []
        for place, name in enumerate(self._names):
            cells = [format_value(key[place]) or ABSENT for key in ordered]
            is_number = all(isinstance(key[place], (int, float, type(None))) for key in ordered)
            least = None if is_number else _FLEXIBLE
            columns.append(Column(head_of(name), cells, right=is_number, least=least, wraps=True))
        columns.append(Column("n", [f"{self._counts[key]:,}" for key in ordered], right=True))
        for place, name in enumerate(self._metrics):
            columns.extend(_metric(name, [self._statistics[key][place] for key in ordered]))
        return columns


def _hashable(value: Any) -> Any:  # noqa: ANN401 - any value of a column
    if isinstance(value, list):
        return json.dumps(value)
    # NaN equals nothing: each would make its own group.
    return math.nan if isinstance(value, float) and math.isnan(value) else value


def _comparable(value: Any) -> Any:  # noqa: ANN401
    if value is None:
        return 0
    is_nan = isinstance(value, float) and math.isnan(value)
    return (is_nan, 0 if is_nan else value)


def _metric(name: str, statistics: Sequence[Statistic]) -> list[Column]:
    """Return the columns of means and deviations, with the same prefix."""
    _, unit = unit_of(name)
    means = [statistic.mean for statistic in statistics]
    power = best_prefix(means, unit)
    head, symbol = head_and_unit(head_of(name), power, unit)
    dropped = 1 if head == _DROPPED else 0
    deviations = [format_number(statistic.deviation, power, _SD_DIGITS) for statistic in statistics]
    return [
        Column(
            head, align([format_number(mean, power) for mean in means]), symbol, right=True, dropped=dropped
        ),
        Column("sd", align(deviations), symbol, right=True, dropped=dropped),
    ]
