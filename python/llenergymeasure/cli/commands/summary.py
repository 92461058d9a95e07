"""`llem summary`: print mean and standard deviation over repeats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from llenergymeasure._format import ABSENT, plural, prefixed
from llenergymeasure.cli.query.columns import COLUMN_HELP, head_of, head_of_key, split_names
from llenergymeasure.cli.query.failures import report_failures
from llenergymeasure.cli.query.options import Directory, FollowLinks, Where
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.query.settings import SETTINGS, Settings, canonical, flattened
from llenergymeasure.cli.query.statistics import RatioOfSums, Statistic
from llenergymeasure.cli.query.values import format_settings, order_of, value_of
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.numbers import (
    align,
    choose_prefix,
    count_cell,
    head_and_unit,
    number_cell,
    unit_of,
)
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.cli.terminal.table import Column, print_table, unique_heads
from llenergymeasure.results._columns import CONFIG, find_columns
from llenergymeasure.results._paths import located
from llenergymeasure.results.failures import count_failures

_BY = ["model", "backend"]
_ENERGY, _TOKENS, _RATIO = "total_energy_j", "total_tokens", "avg_energy_per_token_j"
_METRICS = (_ENERGY, _RATIO, "avg_tokens_per_second", "total_inference_time_sec")
_DROPPED = {"total_inference_time_sec": 1}
"""The metric that a narrow terminal drops first, after the counts that tell nothing."""
_DROPPED_COUNT = 2
_MODEL = f"{CONFIG}.model"
_FLEXIBLE = 14
_SD_DIGITS = 2

Key = tuple[str, ...]
"""The canonical texts of the values that the results of a group have in common."""


def summary(
    directory: Directory,
    by: Annotated[
        list[str],
        typer.Option(
            "--by",
            "-b",
            metavar="COLUMN,...",
            help=f"The columns that repeats have in common; config is every setting. {COLUMN_HELP}",
        ),
    ] = _BY,
    where: Where = [],
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object: groups, each with its columns by full name; n; for each metric n, "
            "mean and sd, in base units; energy_per_token_of_sums: n, j_per_token, energy_j, tokens; and "
            "differing, the settings that differ within the group; failed, the number of runs that failed; "
            "and errors, each with path and error.",
        ),
    ] = False,
) -> int:
    """Print mean and standard deviation over repeats.

    The deviation is that of a sample (n - 1); it is - for a single result. Mean
    and deviation leave out values that are NaN, infinite or null: the n after
    each number counts its values, the first n all results of the group, and
    standard error reports how many were left out. "mean J/token" is the mean of
    the ratios of the results, in which each result counts the same;
    "Σenergy/Σtokens" is the ratio of the sums, in which each token does. "differ"
    lists the settings that are not the same in all results of the group. Standard
    error reports how many runs failed in the directory.

    Elsewhere than on a terminal the numbers are plain, in J, s and tokens.

    Exit status: 0 all read, or none found; 1 some not; 2 wrong usage; 130 interrupted.
    """
    asked = split_names(by)
    reading = Reading(
        directory,
        list(dict.fromkeys([*asked, *_METRICS, _TOKENS, *SETTINGS])),
        where,
        config="json",
        optional=["model"] if by == _BY else [],
        follow_links=follow_links,
    )
    groups = _Groups(find_columns(asked))
    for batch in reading.batches():
        groups.add(batch)
    ordered = groups.ordered()
    if as_json:
        document = [groups.as_json(key) for key in ordered]
        failed = count_failures(located(directory), follow_links=follow_links)
        OUT.write(to_json({"groups": document, "failed": failed, "errors": reading.error_objects}))
    elif ordered:
        print_table(groups.columns(ordered, reading.has_other_kinds))
    left_out = groups.left_out
    if left_out:
        ERR.report(f"{plural(left_out, 'value')} left out: null, NaN or infinite")
    reading.report()
    if not as_json:
        report_failures(directory, follow_links=follow_links)
    return reading.status


class _Group:
    """The statistics of the results with equal keys, and their settings.

    Attributes:
        values: The values of the first result in the columns of the key.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values
        self.statistics = {name: Statistic() for name in _METRICS}
        self.ratio = RatioOfSums()
        self.settings = Settings()

    def add(self, row: dict[str, Any]) -> None:
        for name, statistic in self.statistics.items():
            statistic.add(row[name])
        self.ratio.add(row[_ENERGY], row[_TOKENS])
        self.settings.add(row)

    @property
    def count(self) -> int:
        return self.settings.count


class _Groups:
    """Groups of results with equal keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._asked = keys
        self._names: list[str] = []
        self._groups: dict[Key, _Group] = {}

    @property
    def left_out(self) -> int:
        return sum(one.left_out for group in self._groups.values() for one in group.statistics.values())

    def add(self, batch: dict[str, list[Any]]) -> None:
        """Add rows."""
        # The name of an object stands for all of its columns.
        self._names = [name for name in batch if self._is_key(name)]
        for values in zip(*batch.values(), strict=True):
            row = dict(zip(batch, values, strict=True))
            of_key = [row[name] for name in self._names]
            key = tuple(map(_identity, self._names, of_key))
            if key not in self._groups:
                self._groups[key] = _Group(of_key)
            self._groups[key].add(row)

    def _is_key(self, name: str) -> bool:
        return any(name == asked or name.startswith(f"{asked}.") for asked in self._asked)

    def ordered(self) -> list[Key]:
        """Return the keys of the groups in order; absent values are last."""
        settings = [name for name in self._names if name == CONFIG] and self._shown_settings()
        return sorted(self._groups, key=lambda key: [*map(order_of, self._values(key, settings))])

    def _values(self, key: Key, settings: Sequence[str]) -> list[Any]:
        """Return the values of a key, with those of settings in place of the configuration."""
        values: list[Any] = []
        for name, value in zip(self._names, self._groups[key].values, strict=True):
            if name == CONFIG:
                config = flattened(value)
                values.extend(value_of(config[one]) if one in config else None for one in settings)
            else:
                values.append(value)
        return values

    def _shown_settings(self) -> list[str]:
        """Return the settings of the configuration that distinguish groups, and the model."""
        place = self._names.index(CONFIG)
        configs = [flattened(group.values[place]) for group in self._groups.values()]
        names = dict.fromkeys(name for config in configs for name in (_MODEL, *config))
        first = configs[0]
        return [
            name
            for name in names
            if name == _MODEL or any(config.get(name) != first.get(name) for config in configs)
        ]

    def as_json(self, key: Key) -> dict[str, Any]:
        group = self._groups[key]
        columns: dict[str, Any] = {}
        for name, value in zip(self._names, group.values, strict=True):
            settings = (
                {one: value_of(text) for one, text in flattened(value).items()} if name == CONFIG else {}
            )
            columns |= settings if name == CONFIG else {name: value}
        return {
            **columns,
            "n": group.count,
            **{name: statistic.as_json for name, statistic in group.statistics.items()},
            "energy_per_token_of_sums": group.ratio.as_json,
            "differing": group.settings.differing,
        }

    def columns(self, ordered: Sequence[Key], has_other_kinds: Callable[[str], bool]) -> list[Column]:
        """Return the columns of the table; the function is `Reading.has_other_kinds`."""
        settings = self._shown_settings() if CONFIG in self._names else []
        names = [one for name in self._names for one in (settings if name == CONFIG else [name])]
        rows = [self._values(key, settings) for key in ordered]
        groups = [self._groups[key] for key in ordered]
        keys = [
            _key_column(name, [row[place] for row in rows], is_part=has_other_kinds(name))
            for place, name in enumerate(names)
        ]
        counts = [group.count for group in groups]
        columns = [*keys, Column("n", list(map(count_cell, counts)), right=True)]
        columns = unique_heads(columns, [*names, "n"])
        for name in _METRICS:
            columns += _metric(name, [group.statistics[name] for group in groups], counts)
            if name == _RATIO:
                columns += _ratio([group.ratio for group in groups], counts)
        differing = [", ".join(map(_label, group.settings.differing)) for group in groups]
        if any(differing):
            cells = [text or ABSENT for text in differing]
            columns.append(Column("differ", cells, least=_FLEXIBLE, wraps=True))
        return columns


def _identity(name: str, value: Any) -> str:  # noqa: ANN401 - any value of a column
    return canonical(value_of(value) if name == CONFIG else value)


def _label(setting: str) -> str:
    return head_of_key(setting) if setting.startswith(f"{CONFIG}.") else head_of(setting)


def _key_column(name: str, values: Sequence[Any], *, is_part: bool) -> Column:
    is_number = all(isinstance(value, (int, float, type(None))) for value in values)
    least = None if is_number else _FLEXIBLE
    return Column(
        head_of(name), format_settings(values, is_part=is_part), right=is_number, least=least, wraps=True
    )


def _metric(name: str, statistics: Sequence[Statistic], counts: Sequence[int]) -> list[Column]:
    """Return the columns of means, deviations and counts; the first two have the same prefix."""
    _, unit = unit_of(name)
    means = [statistic.mean for statistic in statistics]
    power = choose_prefix(means, unit)
    head, symbol = head_and_unit(head_of(name), power, unit)
    dropped = _DROPPED.get(name, 0)
    deviations = [number_cell(statistic.deviation, power, _SD_DIGITS) for statistic in statistics]
    if name == _RATIO:
        head = f"mean {head}"
    return [
        Column(
            head, align([number_cell(mean, power) for mean in means]), symbol, right=True, dropped=dropped
        ),
        Column("sd", align(deviations), symbol, right=True, dropped=dropped),
        _counts([statistic.count for statistic in statistics], counts, dropped),
    ]


def _ratio(ratios: Sequence[RatioOfSums], counts: Sequence[int]) -> list[Column]:
    """Return the columns of the ratio of sums, and its counts."""
    _, unit = unit_of(_RATIO)
    values = [ratio.value for ratio in ratios]
    power = choose_prefix(values, unit)
    cells = align([number_cell(value, power) for value in values])
    symbol = prefixed(power, unit)
    column = Column("Σenergy/Σtokens", cells, symbol, right=True, folded=("ΣJ/Σtokens", f"[{symbol}]"))
    return [column, _counts([ratio.count for ratio in ratios], counts, 0)]


def _counts(of_number: Sequence[int], of_group: Sequence[int], dropped: int) -> Column:
    """Return the numbers of values; a narrow terminal drops them where they are those of the group."""
    if list(of_number) == list(of_group):
        dropped = _DROPPED_COUNT
    return Column("n", list(map(count_cell, of_number)), right=True, dropped=dropped)
