"""Any valid record with one value changed: all readers agree whether it is a result, and on its values."""

from __future__ import annotations

import contextlib
import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llenergymeasure import LLEMError, ResultStore
from support.odd_records import good_result

pytestmark = pytest.mark.published

GOOD = json.loads(good_result().model_dump_json())
ODD_TEXTS = [
    *(
        "1",
        "-0",
        "1.0",
        "1e3",
        "1.5",
        "1e400",
        "-1e400",
        "1" + "0" * 30,
        str(2**63),
        "true",
        "null",
        "NaN",
        "[]",
    ),
    *(
        "{}",
        "[1]",
        "[null]",
        '["a"]',
        '{"a":1}',
        '{"a":1,"a":1}',
        '""',
        '"1"',
        '"NaN"',
        '"nan"',
        '"Infinity"',
    ),
    *('"true"', '"2026-02-18"', '"2026-02-18T12:00:00+01:00"', '"1700000000"', '"0000-01-01"', '"\\ud800"'),
    *('"total"', '"2.0"', "01", "1.", "'a'", '"a\n"', "[" * 130 + "]" * 130, "9" * 4300, "[0.5,1.5]"),
]


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a JSON value, but of the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from places(below, (*above, key))


PLACES = sorted(places(GOOD), key=str)


def changed(place: tuple[Any, ...], how: str, text: str) -> str:
    """Replace the value at a place by a JSON text, remove it, or add a value next to it."""
    record = json.loads(json.dumps(GOOD))
    holder = record
    for step in place[:-1]:
        holder = holder[step]
    if how == "remove":
        del holder[place[-1]]
        return json.dumps(record, indent=2)
    mark = "a mark that no value holds"
    if how == "replace" or isinstance(holder, list):
        holder[place[-1]] = mark
        return json.dumps(record, indent=2).replace(json.dumps(mark), text, 1)
    holder[mark] = mark
    key = json.dumps(place[-1] if how == "repeat" else "zz")
    return json.dumps(record, indent=2).replace(
        f"{json.dumps(mark)}: {json.dumps(mark)}", f"{key}: {text}", 1
    )


@pytest.mark.slow
def test_read_any_changed_record_all_readers_agree(tmp_path: Path) -> None:
    numbers = itertools.count()

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        place=st.sampled_from(PLACES),
        how=st.sampled_from(["replace", "replace", "replace", "remove", "add", "repeat"]),
        text=st.sampled_from(ODD_TEXTS) | st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    )
    def agree(place: tuple[Any, ...], how: str, text: str) -> None:
        root = tmp_path / str(next(numbers))
        (root / "a").mkdir(parents=True)
        (root / "a" / "result.json").write_text(changed(place, how, text))
        store = ResultStore(root)
        result = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(LLEMError, ValidationError):
                result = store.load("a")
            rows = [store.scan(columns, on_error="skip").to_pydict() for columns in (["path"], None)]
            hashes = store.completed()
        count = int(result is not None)
        assert [len(row["path"]) for row in rows] == [count, count]
        assert len(hashes) == count
        for deep in (False, True):
            found = store.verify(deep=deep)
            assert (found.complete + len(found.missing_sidecars), len(found.damaged)) == (count, 1 - count)
        if result is not None:
            for name in (
                "total_tokens",
                "total_energy_j",
                "start_time",
                "experiment_id",
                "timeseries",
                "backend",
            ):
                value, shown = getattr(result, name), rows[1][name][0]
                if name == "total_tokens" and not -(2**63) <= value < 2**63:
                    assert shown is None
                elif name == "start_time":
                    assert shown == value.replace(tzinfo=None)
                else:
                    assert shown == value or value != value  # noqa: PLR0124 - NaN

    agree()
