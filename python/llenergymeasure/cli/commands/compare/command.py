"""`llem compare`: print results, or groups of results, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from llenergymeasure._format import plural, printable
from llenergymeasure.cli.commands.compare.operands import METRICS, Operand, ratio
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.columns import head_of, head_of_key
from llenergymeasure.cli.query.options import FollowLinks, given
from llenergymeasure.cli.query.settings import differing
from llenergymeasure.cli.query.statistics import Statistic
from llenergymeasure.cli.query.values import format_setting, is_mixed
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.numbers import (
    choose_prefix,
    count_cell,
    head_and_unit,
    number_cell,
    unit_of,
)
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.cli.terminal.table import Column, print_heading, print_table

_FEWEST = 2
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RATIO_DIGITS, _SPREAD_DIGITS = 3, 2
_NARROW_PATH, _NARROW_NAME, _NARROW_VALUE = 16, 20, 8
_MANY_VALUES = 3


def compare(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            callback=given,
            show_default=False,
            help="Two or more: each a result's directory or result.json, or a directory of results, which is "
            "compared by its means.",
        ),
    ],
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object: operands, each with path, n, metrics (n, mean, sd) and ratios to "
            "the first (ratio, sd); differing, the values of each key that differs, by operand; equal, the "
            "number of the other keys; and errors.",
        ),
    ] = False,
) -> int:
    """Compare results, or groups of results, with the first one.

    The tables show the ratio of each metric to that of the first, and the
    configuration keys that differ. One standard deviation follows ±: of the
    results of a group (n - 1), and of the ratio by propagation. Elsewhere than on a
    terminal the numbers are plain, in J, s and tokens.

    Exit status: 0 compared; 1 no result, or an invalid result file; 2 wrong
    usage; 130 interrupted.
    """
    if len(paths) < _FEWEST:
        raise UsageError("expected two or more PATHs, got one")
    operands = [
        Operand.at(path, _label(place), follow_links=follow_links) for place, path in enumerate(paths)
    ]
    for operand in operands:
        operand.read()
    if all(operand.count for operand in operands):
        if as_json:
            OUT.write(to_json(_document(operands)))
        else:
            _print(operands)
    for operand in operands:
        operand.reading.report()
    return 1 if any(operand.reading.status or not operand.count for operand in operands) else 0


def _label(place: int) -> str:
    return _LETTERS[place] if place < len(_LETTERS) else str(place + 1)


def _document(operands: Sequence[Operand]) -> dict[str, Any]:
    different, equal = differing([operand.settings for operand in operands])
    reference = operands[0]

    def ratios(operand: Operand) -> dict[str, dict[str, float | None]]:
        pairs = {name: ratio(operand.statistics[name], reference.statistics[name]) for name in METRICS}
        return {name: {"ratio": quotient, "sd": spread} for name, (quotient, spread) in pairs.items()}

    return {
        "operands": [
            {
                "path": operand.path,
                "n": operand.count,
                "metrics": {name: one.as_json for name, one in operand.statistics.items()},
                "ratios": ratios(operand),
            }
            for operand in operands
        ],
        "differing": {key: [operand.settings.values(key) for operand in operands] for key in different},
        "equal": equal,
        "errors": [error for operand in operands for error in operand.reading.error_objects],
    }


def _print(operands: Sequence[Operand]) -> None:
    print_table(
        [
            Column("", [operand.label for operand in operands]),
            Column("n", [count_cell(operand.count) for operand in operands], right=True),
            _setting_column("model", "effective_config.model", operands),
            _setting_column("backend", "backend", operands),
            Column("path", [printable(operand.path) for operand in operands], least=_NARROW_PATH, wraps=True),
        ]
    )
    OUT.write("\n")
    print_table(_metrics(operands))
    different, equal = differing([operand.settings for operand in operands])
    verb = "differs" if len(different) == 1 else "differ"
    OUT.write("\n")
    print_heading(f"{plural(len(different), 'setting')} {verb}, {equal:,} are equal")
    if different:
        heads = [printable(head_of_key(key)) for key in different]
        rows = [_cells(key, operands) for key in different]
        columns = [
            Column(operand.label, list(cells), least=_NARROW_VALUE, wraps=True)
            for operand, cells in zip(operands, zip(*rows, strict=True), strict=True)
        ]
        print_table([Column("", heads, least=_NARROW_NAME, wraps=True), *columns])


def _setting_column(head: str, key: str, operands: Sequence[Operand]) -> Column:
    return Column(head, _cells(key, operands, most=1), least=_NARROW_NAME, wraps=True)


def _cells(key: str, operands: Sequence[Operand], most: int = _MANY_VALUES) -> list[str]:
    """Return the first values of a setting in each group, on one line, and their number."""
    groups = [operand.settings.values(key) for operand in operands]
    mixed = is_mixed(itertools.chain.from_iterable(groups))
    return [_text(values, most, partial(format_setting, is_mixed=mixed)) for values in groups]


def _text(values: list[Any], most: int, form: Callable[[Any], str]) -> str:
    texts = [
        f"[{_text(value, _MANY_VALUES, form)}]"
        if isinstance(value, list) and len(value) > _MANY_VALUES
        else form(value)
        for value in values[:most]
    ]
    if len(values) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts)}, ... ({len(values):,})"


def _metrics(operands: Sequence[Operand]) -> list[Column]:
    reference = operands[0]
    names = [name for name in METRICS if any(operand.statistics[name].count for operand in operands)]
    heads, powers = [], {}
    for name in names:
        bare, unit = unit_of(name)
        powers[name] = choose_prefix([operand.statistics[name].mean for operand in operands], unit)
        head, symbol = head_and_unit(head_of(name, bare), powers[name], unit)
        heads.append(f"{head} [{symbol}]" if symbol else head)
    columns = [Column("", heads)]
    for operand in operands:
        means = [_mean(operand.statistics[name], powers[name]) for name in names]
        columns.append(Column(operand.label, means, right=True))
        if operand is not reference:
            cells = [_ratio(operand.statistics[name], reference.statistics[name]) for name in names]
            columns.append(Column(f"{operand.label}/{reference.label}", cells, right=True))
    return columns


def _mean(statistic: Statistic, power: int) -> str:
    return number_cell(statistic.mean, power) + _spread(statistic.deviation, power)


def _ratio(one: Statistic, reference: Statistic) -> str:
    quotient, spread = ratio(one, reference)
    return number_cell(quotient, digits=_RATIO_DIGITS) + _spread(spread)


def _spread(deviation: float | None, power: int = 0) -> str:
    return "" if deviation is None else f" ±{number_cell(deviation, power, _SPREAD_DIGITS)}"
