"""The operands that conditions take: values by protocol, times, and errors for the rest."""

from __future__ import annotations

from argparse import Namespace
from collections import UserList
from collections.abc import Callable
from datetime import date, datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.cli.query.where import conditions

pytestmark = pytest.mark.published

Put = Callable[..., Path]


class Kind(Enum):
    """An enumeration."""

    LIST = (97, 98)


def paths(store: ResultStore, *condition: Any) -> str:
    """Return the directories that a condition selects."""
    return "".join(store.scan(["path"], where=[condition]).to_pydict()["path"])


def typed(store: ResultStore, expression: str) -> str:
    """Return the directories that `--where` selects."""
    where = conditions(str(store.root), [expression])
    return "".join(store.scan(["path"], where=where).to_pydict()["path"])


@pytest.fixture
def store(put: Put, tmp_path: Path) -> ResultStore:
    """Return a store of a list, an object and a text."""
    put("a", effective_config={"model": "m", "k": [97, 98]}, start_time="2026-02-28T23:59:59.5")
    put("b", effective_config={"model": "m", "k": {"1": [2]}}, start_time="2026-03-01T01:00:00+02:00")
    put("c", effective_config={"model": "m", "k": "ab"}, start_time="2027-01-01T00:00:00")
    return ResultStore(tmp_path)


@pytest.mark.parametrize("value", [b"ab", bytearray(b"ab"), memoryview(b"ab"), [b"ab"], {"a": b"ab"}])
@pytest.mark.parametrize("operator", ["==", "!=", "<", "in", "~"])
def test_scan_where_rejects_bytes(store: ResultStore, operator: str, value: Any) -> None:
    kind = "bytes" if isinstance(value, (list, dict)) else type(value).__name__
    with pytest.raises(TypeError, match=f"config.k cannot be compared with a value of {kind}"):
        paths(store, "config.k", operator, value)


@pytest.mark.parametrize("value", [(97, 98), range(97, 99), UserList([97.0, 98]), Kind.LIST])
def test_scan_where_takes_sequences_by_protocol(store: ResultStore, value: Any) -> None:
    assert paths(store, "config.k", "==", value) == "a"
    assert paths(store, "config.k", "in", [value]) == "a"


def test_scan_where_takes_mappings_by_protocol(store: ResultStore) -> None:
    assert paths(store, "config.k", "==", {1: (2,)}) == paths(store, "config.k", "==", {"1": [2]}) == "b"
    assert paths(store, "config.k", "!=", Namespace(x=1)) == "abc"


@pytest.mark.parametrize("make", [set, frozenset, iter, tuple, dict.fromkeys])
def test_scan_where_in_takes_any_items_but_those_of_an_object(store: ResultStore, make: Any) -> None:
    items = make(["ab", "x"])
    if isinstance(items, dict):
        with pytest.raises(ValueError, match="by 'in' except with a list"):
            paths(store, "config.k", "in", items)
        items = items.keys()
    assert paths(store, "config.k", "in", items) == "c"


def test_scan_where_rejects_a_set_as_a_value(store: ResultStore) -> None:
    with pytest.raises(TypeError, match=r"config\.k cannot be compared with a value of set"):
        paths(store, "config.k", "==", {97, 98})


@pytest.mark.parametrize("where", ["tp=1", {"tp": 1}, b"tp=1", 5])
def test_scan_where_rejects_an_argument_that_is_not_a_list(store: ResultStore, where: Any) -> None:
    reason = r"where expects a list of conditions, got (a text|dict|bytes|int); do where=\[\("
    with pytest.raises(TypeError, match=reason):
        store.scan(where=where)
    with pytest.raises(TypeError, match=reason):
        ResultStore(store.root / "copy").copy_from(store, where=where)


@pytest.mark.parametrize(
    ("operator", "text", "names"),
    [
        ("==", "2026-02", "a"),
        ("==", "2026-03", "b"),
        ("==", "2026", "ab"),
        ("!=", "2026", "c"),
        (">", "2026-02", "bc"),
        ("<=", "2026", "ab"),
        ("==", "2026-02-28", "a"),
        ("==", "2026-12", ""),
    ],
)
def test_scan_where_month_and_year_are_intervals(
    store: ResultStore, operator: str, text: str, names: str
) -> None:
    assert paths(store, "when", operator, text) == typed(store, f"when{operator}{text}") == names


@pytest.mark.parametrize("text", ["2026-13", "26", "202603", "2026-3", "10000"])
def test_scan_where_rejects_other_times(store: ResultStore, text: str) -> None:
    with pytest.raises(ValueError, match="start_time expects a time in ISO 8601"):
        paths(store, "when", "==", text)


def test_scan_where_date_is_the_interval_of_its_day(store: ResultStore) -> None:
    day = date(2026, 2, 28)
    assert paths(store, "when", "==", day) == paths(store, "when", "in", [day]) == "a"
    assert paths(store, "when", ">", day) == "bc"
    with pytest.raises(ValueError, match="saved_at expects a time with a zone, got '2026-02-28'"):
        paths(store, "saved_at", ">", day)


def test_scan_when_utc_is_the_short_name_of_the_instant(store: ResultStore) -> None:
    instant = datetime(2026, 2, 28, 23, tzinfo=timezone.utc)
    assert paths(store, "when.utc", "==", instant) == typed(store, "when.utc=2026-02-28 23:00") == "b"
    assert list(store.scan(["when.utc"]).to_pydict()["when.utc"]) == [None, instant, None]
    with pytest.raises(ValueError, match=r"compare when\.utc with it"):
        paths(store, "when", "==", instant)
