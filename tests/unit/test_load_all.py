"""Loads of all results below a root, the completed configurations, and results one by one."""

from __future__ import annotations

import gc
import json
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from llenergymeasure import (
    ExperimentResult,
    PersistenceError,
    ResultCorruptError,
    ResultError,
    ResultStore,
)
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.results.store import StoredResult
from support.results import make_power_trace
from support.stores import save_each

Make = Callable[..., ExperimentResult]


def test_load_all_sorts_results_by_path(make_result: Make, store: ResultStore) -> None:
    results = [make_result(experiment_id=f"{n}", total_energy_j=math.pi * n) for n in range(150)]
    paths = save_each(store, *results)
    by_path = dict(zip(paths, results, strict=True))
    expected = [by_path[path] for path in sorted(paths)]
    assert store.load_all() == list(store.iter_results()) == expected
    assert ResultStore(store.root.parent).load_all() == expected


def test_load_all_with_unnamed_sidecar_fills_in_its_name(make_result: Make, store: ResultStore) -> None:
    path = store.save(make_result(), make_power_trace(250.0, 251.0), durable=False)
    path.write_text(path.read_text().replace('"timeseries.parquet"', "null"))
    assert store.load_all() == [store.load(path)]
    assert store.load_all()[0].timeseries == "timeseries.parquet"


def test_load_all_with_missing_sidecars_warns_once(make_result: Make, store: ResultStore) -> None:
    save_each(store, *(make_result(timeseries="trace.parquet") for _ in range(3)), make_result())
    with pytest.warns(UserWarning, match="3 sidecars are missing; the first: Timeseries sidecar") as caught:
        assert len(store.load_all()) == 4
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(store.load_all(missing_sidecar="ignore")) == 4
    with pytest.raises(ResultError, match="Timeseries sidecar missing"):
        store.load_all(missing_sidecar="error")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda _: "", ResultCorruptError),
        (lambda text: text[:200], ResultCorruptError),
        (lambda text: text.replace('"total_tokens": 1000', '"total_tokens": "many"'), ValidationError),
        (lambda _: "[]", ResultError),
    ],
)
def test_load_all_with_invalid_record_raises_or_skips_it(
    make_result: Make, store: ResultStore, change: Callable[[str], str], error: type[Exception]
) -> None:
    paths = save_each(store, *(make_result(experiment_id=f"{n}") for n in range(3)))
    paths[1].write_text(change(paths[1].read_text()))
    with pytest.raises(error, match=str(paths[1])):
        store.load_all()
    with pytest.warns(UserWarning, match="1 files were skipped; the first"):
        assert [result.experiment_id for result in store.load_all(on_error="skip")] == ["0", "2"]


def test_load_all_with_unreadable_record_names_it(make_result: Make, store: ResultStore) -> None:
    (path,) = save_each(store, make_result())
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=str(path)):
        store.load_all()


def test_load_all_restores_the_garbage_collector(make_result: Make, store: ResultStore) -> None:
    (path,) = save_each(store, make_result())
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            store.load_all()
            assert gc.isenabled() == enabled
        finally:
            gc.enable()
    path.write_text("")
    with pytest.raises(ResultCorruptError):
        store.load_all()
    assert gc.isenabled()


def test_close_iter_results_early_ends_it(make_result: Make, store: ResultStore) -> None:
    save_each(store, *(make_result() for _ in range(20)))
    results = store.iter_results()
    next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("wrong", [{"on_error": "collect"}, {"missing_sidecar": "no"}])
def test_iter_results_rejects_unknown_choices_at_once(store: ResultStore, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} expects '"):
        store.iter_results(**wrong)


def test_load_all_without_directory_names_it(store: ResultStore) -> None:
    with pytest.raises(FileNotFoundError, match=str(store.root)):
        store.load_all()


def test_missing_returns_configurations_without_results(make_result: Make, store: ResultStore) -> None:
    configs = [{"model": "gpt2", "batch": n} for n in (1, 2, 4, 8)]
    assert store.completed() == set()
    assert store.missing(configs) == configs
    hashes = [compute_measurement_config_hash(config) for config in configs]
    save_each(
        store, *(make_result(measurement_config_hash=value) for value in (hashes[1], hashes[1], hashes[3]))
    )
    assert store.completed() == {hashes[1], hashes[3]}
    assert store.missing(config for config in configs) == [configs[0], configs[2]]
    assert store.missing([]) == []


def test_missing_with_truncated_record_returns_its_configuration(
    make_result: Make, store: ResultStore
) -> None:
    config = {"model": "gpt2"}
    (path,) = save_each(store, make_result(measurement_config_hash=compute_measurement_config_hash(config)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="1 file was skipped"):
        assert store.missing([config]) == [config]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda text: text, True),
        (lambda text: json.dumps(json.loads(text)), True),
        (lambda text: text + "\n", True),
        (lambda text: json.dumps(dict(reversed(json.loads(text).items())), indent=2), True),
        (lambda text: text.replace('  "schema_version": "2.0",\n', ""), True),
        (lambda text: text.replace('"2.0"', '"3.0"', 1), False),
        (lambda text: text.replace("experiment-1", "experiment\0"), False),
        (lambda text: text.replace("measurement_config_hash", "hash"), False),
        (lambda text: text.replace('"0123456789abcdef"', "1"), False),
        (lambda text: text[:-2], False),
        (lambda text: text[: text.rindex("}", 0, -1) + 1], False),
        (lambda _: "", False),
        (lambda _: '{\n  "a": 1\n}', False),
    ],
)
def test_completed_counts_the_records_that_a_scan_accepts(
    make_result: Make, store: ResultStore, change: Callable[[str], str], *, counts: bool
) -> None:
    (path,) = save_each(store, make_result(effective_config={"model": {"a": {}}}))
    path.write_text(change(path.read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.completed() == ({"0123456789abcdef"} if counts else set())
    scan = store.scan(["measurement_config_hash"], on_error="collect")
    assert bool(scan.to_pydict()["measurement_config_hash"]) == counts


def test_completed_ignores_records_truncated_anywhere(make_result: Make, store: ResultStore) -> None:
    (path,) = save_each(store, make_result())
    complete = path.read_bytes()
    for place in range(1, len(complete), 7):
        path.write_bytes(complete[:-place])
        with pytest.warns(UserWarning, match="1 file was skipped"):
            assert store.completed() == set(), place


def test_iterate_store_yields_stored_results_that_load_on_demand(
    make_result: Make, store: ResultStore
) -> None:
    first = store.save(make_result(experiment_id="a"), make_power_trace(100.0, 300.0), durable=False)
    second = store.save(make_result(experiment_id="b"), durable=False)
    stored = list(store)
    assert [one.path for one in stored] == [first, second]
    assert [one.load().experiment_id for one in stored] == ["a", "b"]
    assert stored[0].timeseries().energy_j == 200.0
    with pytest.raises(FileNotFoundError):
        stored[1].timeseries()
    assert store[first.parent.name] == store[first] == StoredResult(first.parent) != stored[1]
    assert repr(stored[0]) == f"StoredResult({str(first.parent)!r})"
    assert len({*stored, *store}) == 2


def test_load_all_with_directory_name_that_is_not_utf8_works_without_paths(
    make_result: Make, store: ResultStore
) -> None:
    (path,) = save_each(store, make_result(measurement_config_hash="f" * 16))
    try:
        os.rename(path.parent, os.fsencode(store.root) + b"/\xff")  # noqa: PTH104 - no name for pathlib
    except OSError:
        pytest.skip("this file system has UTF-8 names alone")
    assert store.completed() == {"f" * 16}
    assert len(store.load_all()) == 1
    with pytest.raises(PersistenceError, match="not UTF-8"):
        list(store)
