"""Queries that every engine understands: a projection or groups, and a conjunction of tests.

A test is false where its value is null, in every engine. NaN is greater than all numbers in some engines, and
equal to none in others: a test that could tell the difference stands next to `<= inf`, which is false for NaN
in all of them. `test_differences.py` shows what remains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple, TypeAlias

from hypothesis import strategies as st

from engines.tree import COLUMNS, VALUES

Rows: TypeAlias = Sequence[tuple[Any, ...]]
ORDERS = ("<", "<=", ">", ">=")


class Check(NamedTuple):
    """A test of a column: `==`, `!=`, an order, `in`, `starts with`, `is null` or `is not null`."""

    column: str
    operator: str
    value: Any = None


class Aggregate(NamedTuple):
    """A function of a column over the rows of a group: `count` (not null), `sum`, `min` or `max`."""

    function: str
    column: str


class Query(NamedTuple):
    """The columns of the rows that meet all tests; with aggregates, a row per group of these columns."""

    columns: tuple[str, ...]
    where: tuple[Check, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()

    @property
    def names(self) -> list[str]:
        """The columns that the query needs."""
        tested = [test.column for test in self.where]
        aggregated = [aggregate.column for aggregate in self.aggregates]
        return list(dict.fromkeys([*self.columns, *tested, *aggregated]))


def aggregates(*pairs: str) -> tuple[Aggregate, ...]:
    """Return aggregates from texts such as `sum total_tokens`."""
    return tuple(Aggregate(*pair.split(" ", 1)) for pair in pairs)


INF = math.inf
NOON = datetime(2026, 2, 18, 12)  # noqa: DTZ001 - a local time
NUMBER = Check("total_energy_j", "<=", INF)
FIXED: dict[str, Query] = {
    "all rows of one column": Query(("path",)),
    "every scalar": Query(tuple(name for name, kind in COLUMNS.items() if kind != "lists")),
    "an integer": Query(("path",), (Check("total_tokens", ">=", 40),)),
    "an integer beyond 53 bits": Query(("path",), (Check("total_tokens", "==", 2**53 + 1),)),
    "a float is small": Query(("path", "total_energy_j"), (Check("total_energy_j", "<", 20.5),)),
    "a float is large": Query(("path", "total_energy_j"), (Check("total_energy_j", ">", 20.5), NUMBER)),
    "a float is infinite": Query(("path",), (Check("total_energy_j", "==", INF),)),
    "a float is not": Query(("path",), (Check("total_energy_j", "!=", 3.0), NUMBER)),
    "minus nought": Query(("path",), (Check("effective_config.lr", "==", 0.0),)),
    "unsigned": Query(
        ("path", "effective_config.large"), (Check("effective_config.large", "==", 2**64 - 1),)
    ),
    "unsigned in order": Query(("path",), (Check("effective_config.large", ">", 2**63),)),
    "a text": Query(("path",), (Check("effective_config.model", "==", "é/B"),)),
    "a text begins": Query(("path",), (Check("effective_config.model", "starts with", "m"),)),
    "texts in order": Query(("path",), (Check("effective_config.model", ">", "a"),)),
    "a list of texts": Query(("path",), (Check("effective_config.model", "in", ["m1", "", "no"]),)),
    "a list of integers": Query(("path",), (Check("effective_config.batch", "in", [1, 4]),)),
    "not a text": Query(("path",), (Check("effective_config.model", "!=", "m1"),)),
    "mixed kinds as JSON": Query(
        ("path", "effective_config.mixed"), (Check("effective_config.mixed", "==", '"1"'),)
    ),
    "null": Query(("path",), (Check("effective_config.model", "is null"),)),
    "not null": Query(("path",), (Check("effective_config.batch", "is not null"),)),
    "a boolean": Query(("path",), (Check("effective_config.flag", "==", value=True),)),
    "a local time": Query(("path", "start_time"), (Check("start_time", "<", NOON),)),
    "an instant": Query(
        ("path", "start_time.utc"),
        (Check("start_time.utc", ">=", datetime(2026, 2, 18, 11, 30, tzinfo=timezone.utc)),),
    ),
    "keys that differ in case": Query(
        ("path", "effective_config.tp", "effective_config.TP"), (Check("effective_config.TP", ">", 1),)
    ),
    "a dotted key": Query(
        ("path", 'effective_config."opt.lr"'),
        (Check('effective_config."opt.lr"', ">", 0.25), Check('effective_config."opt.lr"', "<=", INF)),
    ),
    "two columns": Query(
        ("total_tokens",), (Check("effective_config.model", "==", "m1"), Check("total_tokens", "<", 30))
    ),
    "nothing": Query(("path", "effective_config.batch"), (Check("total_tokens", "<", -1),)),
    "counts by text": Query(("effective_config.model",), (), aggregates("count path", "sum total_tokens")),
    "sums by integer": Query(
        ("effective_config.batch",), (NUMBER,), aggregates("sum total_energy_j", "max total_energy_j")
    ),
    "by two keys": Query(
        ("backend", "effective_config.flag"), (), aggregates("min start_time", "max total_tokens")
    ),
    "all in one": Query((), (), aggregates("count effective_config.batch", "min path", "max path")),
    "unsigned extremes": Query(
        (), (), aggregates("min effective_config.large", "max effective_config.large")
    ),
}
"""Queries that are chosen for what engines do differently."""


def _operators(kind: str) -> list[str]:
    common = ["==", "is not null"] if kind == "floats" else ["==", "!=", "is null", "is not null"]
    ordered = [] if kind in ("booleans", "json") else list(ORDERS)
    # A null and NaN are one value in pandas.
    common = ["=="] if kind == "floats" else common
    return (
        common
        + ordered
        + (["in", "starts with"] if kind == "texts" else ["in"] if kind == "integers" else [])
    )


@st.composite
def _tests(draw: st.DrawFn) -> tuple[Check, ...]:
    column = draw(st.sampled_from([name for name, kind in COLUMNS.items() if kind != "lists"]))
    kind = COLUMNS[column]
    name = draw(st.sampled_from(_operators(kind)))
    if name.startswith("is"):
        return (Check(column, name),)
    values = st.sampled_from(VALUES[column])
    test = Check(column, name, draw(st.lists(values, min_size=1, max_size=3) if name == "in" else values))
    return (test, Check(column, "<=", INF)) if kind == "floats" else (test,)


def _aggregates() -> st.SearchStrategy[tuple[Aggregate, ...]]:
    able = {
        "count": [name for name, kind in COLUMNS.items() if kind not in ("floats", "lists")],
        "sum": [name for name, kind in COLUMNS.items() if kind == "integers" and "large" not in name],
        "min": [name for name, kind in COLUMNS.items() if kind in ("integers", "texts", "times", "instants")],
    }
    able["max"] = able["min"]
    one = st.sampled_from([Aggregate(function, name) for function, names in able.items() for name in names])
    return st.lists(one, min_size=1, max_size=3, unique=True).map(tuple)


def queries() -> st.SearchStrategy[Query]:
    """Draw queries."""
    where = st.lists(_tests(), max_size=3).map(lambda tests: tuple(test for some in tests for test in some))
    names = st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=5, unique=True).map(tuple)
    keys = [name for name, kind in COLUMNS.items() if kind in ("texts", "integers", "booleans")]
    groups = st.lists(st.sampled_from(keys), max_size=2, unique=True).map(tuple)
    return st.builds(Query, names, where, st.just(())) | st.builds(Query, groups, where, _aggregates())
