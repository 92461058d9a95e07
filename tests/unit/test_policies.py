"""A word of a policy has one meaning in every verb; each verb rejects the words that it cannot carry out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultError, ResultStore, load_result
from llenergymeasure._store import SIDECAR
from llenergymeasure.results.timeseries import Timeseries

TRACE = Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[100.0, 200.0])


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path)


@pytest.fixture
def store_without_sidecar(store: ResultStore, result: ExperimentResult) -> ResultStore:
    """A store with one result, whose sidecar was removed."""
    store.save(result, TRACE).with_name(SIDECAR).unlink()
    return store


@pytest.mark.parametrize("word", ["raise", "error"])
def test_load_with_missing_sidecar_raises_by_either_word(
    store_without_sidecar: ResultStore, word: Any
) -> None:
    (stored,) = store_without_sidecar
    loads: list[Callable[[], object]] = [
        lambda: ExperimentResult.from_json(stored.path, missing_sidecar=word),
        lambda: load_result(stored.path, missing_sidecar=word),
        lambda: stored.load(missing_sidecar=word),
        lambda: store_without_sidecar.load(stored.path, missing_sidecar=word),
        lambda: store_without_sidecar.load_all(missing_sidecar=word),
    ]
    for load in loads:
        with pytest.raises(ResultError, match=r"^Timeseries sidecar missing"):
            load()


def test_load_with_missing_sidecar_warns_unless_ignored(store_without_sidecar: ResultStore) -> None:
    (stored,) = store_without_sidecar
    with pytest.warns(UserWarning, match=r"^Timeseries sidecar missing"):
        warned = stored.load()
    assert warned == stored.load(missing_sidecar="ignore")
    assert warned.timeseries == SIDECAR


@pytest.mark.parametrize(
    ("verb", "parameter", "words"),
    [
        ("scan", "on_error", "'raise', 'skip' or 'collect'"),
        ("scan_timeseries", "on_error", "'raise', 'skip' or 'collect'"),
        ("iter_results", "on_error", "'raise' or 'skip'"),
        ("load_all", "on_error", "'raise' or 'skip'"),
        ("load_all", "missing_sidecar", "'warn', 'ignore', 'raise' or 'error'"),
        ("writer", "on_error", "'raise', 'ignore' or a function"),
    ],
)
def test_verb_rejects_unknown_word_and_lists_its_own(
    store: ResultStore, verb: str, parameter: str, words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{parameter} expects {words}, got 'explode'$"):
        getattr(store, verb)(**{parameter: "explode"})
