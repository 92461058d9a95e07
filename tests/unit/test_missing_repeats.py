"""`ResultStore.missing` with repeats, shards and failures, against a model."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure import ResultStore
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from support.results import make_result

SIZES = st.integers(0, 7)
"""A configuration is `{"batch_size": size}`."""


def config(size: int) -> dict[str, Any]:
    return {"batch_size": size}


def save(store: ResultStore, size: int, *, failed: bool) -> None:
    """Save a run, in a spelling that has the same meaning."""
    if failed:
        store.save_failure(config(size), ValueError("x"), durable=False)
        return
    digest = compute_measurement_config_hash({"batch_size": float(size)})
    store.save(
        make_result(effective_config={"batch_size": float(size)}, measurement_config_hash=digest),
        durable=False,
    )


def modelled(asked: list[int], runs: list[tuple[int, bool]], repeats: int, *, retry_failed: bool) -> Any:
    """Return how often each configuration is missing."""
    done = Counter(size for size, failed in runs if not (failed and retry_failed))
    return Counter({size: repeats - done[size] for size in asked if done[size] < repeats})


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(SIZES, max_size=10),
    runs=st.lists(st.tuples(SIZES, st.booleans()), max_size=12),
    repeats=st.integers(1, 5),
    shards=st.integers(1, 9),
    retry_failed=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_missing_of_all_shards_is_what_the_model_says(
    asked: list[int],
    runs: list[tuple[int, bool]],
    repeats: int,
    shards: int,
    *,
    retry_failed: bool,
    order: Any,
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = ResultStore(Path(directory) / "results")
        for size, failed in runs:
            save(store, size, failed=failed)
        expected = modelled(asked, runs, repeats, retry_failed=retry_failed)

        def missing(sizes: list[int], shard: tuple[int, int] | None = None) -> list[int]:
            configs = map(config, sizes)
            found = store.missing(configs, repeats, shard, retry_failed=retry_failed)
            return [one["batch_size"] for one in found]

        assert Counter(missing(asked)) == expected
        other = asked.copy()
        order.shuffle(other)
        parts = [missing(asked, (number, shards)) for number in range(shards)]
        assert sum(map(Counter, parts), Counter()) == expected
        assert [Counter(missing(other, (number, shards))) for number in range(shards)] == [
            *map(Counter, parts)
        ]


@pytest.mark.parametrize(("configs", "repeats", "shards"), [(1, 50, 8), (3, 5, 4), (40, 1, 16), (5, 7, 64)])
def test_shards_of_a_new_sweep_differ_by_one_run(
    tmp_path: Path, configs: int, repeats: int, shards: int
) -> None:
    store = ResultStore(tmp_path / "results")
    asked = [{"batch_size": size} for size in range(configs)]
    sizes = [len(store.missing(asked, repeats, (number, shards))) for number in range(shards)]
    assert sum(sizes) == configs * repeats
    assert max(sizes) - min(sizes) <= 1


def test_missing_comes_in_rounds_in_the_order_of_the_configurations(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    asked = [config(size) for size in (5, 1, 3)]
    save(store, 1, failed=False)
    assert [one["batch_size"] for one in store.missing(asked, 3)] == [5, 3, 5, 1, 3, 5, 1, 3]


def test_missing_takes_equal_configurations_for_one(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    assert store.missing([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], 2) == [{"a": 1, "b": 2}] * 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"repeats": 0}, ValueError, "repeats expects at least 1"),
        ({"repeats": 1.5}, TypeError, "repeats expects an integer"),
        ({"shard": 3}, TypeError, "shard expects a pair"),
        ({"shard": (4, 4)}, ValueError, "from 0 to 3 of 4 shards, got 4"),
        ({"shard": (-1, 4)}, ValueError, "at least 0"),
        ({"shard": (0, 0)}, ValueError, "at least 1"),
    ],
)
def test_missing_rejects_wrong_repeats_and_shards(
    tmp_path: Path, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ResultStore(tmp_path / "results").missing([{"a": 1}], **arguments)
