"""Habits that Python programmers expect: `os.fspath`, `open`, and `count`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llenergymeasure import ResultStore, load_result
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.results.stored import StoredResult
from support.results import make_result, make_results


def test_fspath_of_a_store_is_its_root(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    store.save_many(make_results(2), durable=False)
    assert os.fspath(store) == str(store.root)
    names = os.listdir(store)  # noqa: PTH208 - what a user writes
    assert sorted(names) == sorted(path.name for path in store.root.iterdir())
    assert ResultStore(store) == store
    assert make_result().save(store, durable=False).parent.parent == store.root


def test_fspath_of_a_stored_result_is_its_record(tmp_path: Path) -> None:
    path = make_result().save(tmp_path, durable=False)
    (stored,) = ResultStore(tmp_path)
    assert os.fspath(stored) == str(path)
    with open(stored, encoding="utf-8") as file:  # noqa: PTH123 - what a user writes
        assert json.load(file)["experiment_id"] == "experiment-1"
    assert load_result(stored) == make_result()
    assert Path(stored).parent == path.parent


def test_fspath_in_an_object_store_is_a_type_error() -> None:
    store = ResultStore("s3://bucket/runs")
    for thing in (store, StoredResult("s3://bucket/runs/a")):
        with pytest.raises(
            TypeError, match=r"^expected a .* on a file system, got s3://bucket/runs\S*; use "
        ):
            os.fspath(thing)
    with pytest.raises(ValueError, match="store"):
        compute_measurement_config_hash({"store": store})
    with pytest.raises(ValueError, match="store"):
        compute_measurement_config_hash({store: 1})


def test_count_is_the_number_of_results(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    assert store.count() == store.count(where=[("backend", "==", "vllm")]) == 0
    store.save_many(make_results(3), durable=False)
    store.save(make_result(backend="vllm", effective_config={"model": "gpt2"}), durable=False)
    store.save_failure({"model": "gpt2"}, RuntimeError("no"), durable=False)
    assert store.count() == 4
    assert store.count([("backend", "==", "vllm")]) == 1
    assert store.count(where=[("config.model", "==", "gpt2")]) == 4
    with pytest.raises(ValueError, match="nothing"):
        store.count(where=[("nothing", "==", 1)])


def test_count_without_conditions_reads_no_record(tmp_path: Path) -> None:
    path = make_result().save(tmp_path, durable=False)
    path.write_bytes(b"")
    assert ResultStore(tmp_path).count() == 1
