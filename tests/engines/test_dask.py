"""`integrations.dask`: types, projection and partitions of a Dask DataFrame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.tree import COLUMNS, RESULTS
from llenergymeasure import ResultStore
from support.optional import needs
from support.results import make_results

pytestmark = [needs("dask", "pandas", "pyarrow"), pytest.mark.filterwarnings("default")]  # of Dask itself

Read = Callable[..., Any]


@pytest.fixture(scope="module")
def read() -> Read:
    """Return the function under test."""
    from llenergymeasure.integrations.dask import read_results

    return read_results


def test_read_results_gives_every_partition_the_types_of_the_frame(tree: ResultStore, read: Read) -> None:
    frame = read(tree, npartitions=RESULTS)  # one row each: many columns are all null
    assert frame.npartitions == RESULTS
    for number in range(0, RESULTS, 7):
        part = frame.partitions[number].compute(scheduler="sync")
        assert list(part.dtypes.items()) == list(frame.dtypes.items())
        assert len(part) == 1


def test_read_results_has_types_and_values_of_to_pandas(tree: ResultStore, read: Read) -> None:
    import pandas as pd

    frame = read(tree, list(COLUMNS), npartitions=4)
    expected = tree.scan(list(COLUMNS)).to_pandas()
    computed = frame.compute(scheduler="sync")
    for name, kind in COLUMNS.items():
        values = repr(computed[name].tolist())
        if kind == "lists":
            assert str(frame[name].dtype).startswith("list<item: ")
            values = repr([None if value is pd.NA else value for value in computed[name]])
        else:
            assert str(frame[name].dtype).lower() == str(expected[name].dtype).lower()
        assert values == repr(expected[name].tolist())


def test_read_results_keeps_list_that_dask_would_make_text(tree: ResultStore, read: Read) -> None:
    column = read(tree, ["effective_config.tags"])["effective_config.tags"]
    assert ["a", "é"] in column.compute(scheduler="sync").dropna().tolist()


def test_select_column_reaches_reader_and_count_reads_one(
    tree: ResultStore, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llenergymeasure.results.scan import Scan

    asked: list[tuple[str, ...]] = []
    derived = Scan.derived

    def noted(self: Scan, columns: Any, *more: Any, **named: Any) -> Scan:
        asked.append(tuple(columns))
        return derived(self, columns, *more, **named)

    frame = read(tree, npartitions=2)
    monkeypatch.setattr(Scan, "derived", noted)
    assert frame["total_tokens"].count().compute(scheduler="sync") == RESULTS
    assert set(asked) == {("total_tokens",)}
    asked.clear()
    assert frame[["path", "backend"]].compute(scheduler="sync").shape == (RESULTS, 2)
    assert set(asked) == {("path", "backend")}
    asked.clear()
    assert len(frame[[]].compute(scheduler="sync")) == RESULTS
    assert {len(columns) for columns in asked} == {1}


def test_read_results_applies_where_and_given_types_without_inference(tmp_path: Path, read: Read) -> None:
    store = ResultStore(tmp_path)
    for number, result in enumerate(make_results(6)):
        config = {"batch": number} if number else {"batch": "no number"}
        store.save(
            result.model_copy(update={"total_tokens": number, "effective_config": config}), durable=False
        )
    frame = read(
        tmp_path,
        ["total_tokens", "config.batch"],
        where=[("total_tokens", "<", 5)],
        schema={"config.batch": "int64"},
        on_error="skip",
        npartitions=2,
    )
    assert str(frame["config.batch"].dtype) == "Int64"
    with pytest.warns(UserWarning, match="skipped"):
        assert sorted(frame["config.batch"].compute(scheduler="sync").tolist()) == [1, 2, 3, 4]


def test_read_results_of_empty_store_has_one_empty_partition(tmp_path: Path, read: Read) -> None:
    frame = read(tmp_path, ["path", "total_tokens"])
    assert (frame.npartitions, len(frame)) == (1, 0)


def test_read_results_rejects_collect(tmp_path: Path, read: Read) -> None:
    with pytest.raises(ValueError, match=r"on_error expects 'raise' or 'skip', got 'collect'"):
        read(tmp_path, on_error="collect")
