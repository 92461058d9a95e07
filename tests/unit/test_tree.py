"""All results of a tree loaded, what is missing in it, what is in it, and one by one."""

from __future__ import annotations

import gc
import json
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
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
from llenergymeasure.results.timeseries import Timeseries

Make = Callable[..., ExperimentResult]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "out")


def save(store: ResultStore, *results: ExperimentResult) -> list[Path]:
    return [store.save(result, durable=False) for result in results]


def power(*watts: float) -> Timeseries:
    rows = len(watts)
    return Timeseries(timestamp_s=[float(n) for n in range(rows)], gpu_index=[0] * rows, power_w=watts)


# load_all and iter_results.


def test_all_results_come_back_in_the_order_of_their_paths(make_result: Make, store: ResultStore) -> None:
    results = [make_result(experiment_id=f"{n}", total_energy_j=math.pi * n) for n in range(150)]
    paths = save(store, *results)
    by_path = dict(zip(paths, results, strict=True))
    expected = [by_path[path] for path in sorted(paths)]
    assert store.load_all() == list(store.iter_results()) == expected
    assert ResultStore(store.root.parent).load_all() == expected


def test_a_sidecar_that_a_record_does_not_name_is_filled_in_as_load_does(
    make_result: Make, store: ResultStore
) -> None:
    path = store.save(make_result(), power(250.0, 251.0), durable=False)
    path.write_text(path.read_text().replace('"timeseries.parquet"', "null"))
    assert store.load_all() == [store.load(path)]
    assert store.load_all()[0].timeseries == "timeseries.parquet"


def test_sidecars_that_are_missing_are_warned_of_once(make_result: Make, store: ResultStore) -> None:
    save(store, *(make_result(timeseries="trace.parquet") for _ in range(3)), make_result())
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
def test_what_is_no_result_stops_the_loading_or_is_skipped_and_told(
    make_result: Make, store: ResultStore, change: Callable[[str], str], error: type[Exception]
) -> None:
    paths = save(store, *(make_result(experiment_id=f"{n}") for n in range(3)))
    paths[1].write_text(change(paths[1].read_text()))
    with pytest.raises(error, match=str(paths[1])):
        store.load_all()
    with pytest.warns(UserWarning, match="1 files were skipped; the first"):
        assert [result.experiment_id for result in store.load_all(on_error="skip")] == ["0", "2"]


def test_a_record_that_cannot_be_read_is_named(make_result: Make, store: ResultStore) -> None:
    (path,) = save(store, make_result())
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=str(path)):
        store.load_all()


def test_the_garbage_collector_is_as_it_was_after_loading(make_result: Make, store: ResultStore) -> None:
    (path,) = save(store, make_result())
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


def test_loading_that_is_given_up_stops(make_result: Make, store: ResultStore) -> None:
    save(store, *(make_result() for _ in range(20)))
    results = store.iter_results()
    next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("wrong", [{"on_error": "collect"}, {"missing_sidecar": "no"}])
def test_a_choice_that_is_none_is_refused_at_once(store: ResultStore, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is '"):
        store.iter_results(**wrong)


def test_a_directory_that_is_not_there_is_named(store: ResultStore) -> None:
    with pytest.raises(FileNotFoundError, match=str(store.root)):
        store.load_all()


# completed and missing.


def test_a_sweep_resumes_with_what_is_not_there(make_result: Make, store: ResultStore) -> None:
    configs = [{"model": "gpt2", "batch": n} for n in (1, 2, 4, 8)]
    assert store.completed() == set()
    assert store.missing(configs) == configs
    hashes = [compute_measurement_config_hash(config) for config in configs]
    save(store, *(make_result(measurement_config_hash=value) for value in (hashes[1], hashes[1], hashes[3])))
    assert store.completed() == {hashes[1], hashes[3]}
    assert store.missing(config for config in configs) == [configs[0], configs[2]]
    assert store.missing([]) == []


def test_what_is_no_result_is_not_done(make_result: Make, store: ResultStore) -> None:
    config = {"model": "gpt2"}
    (path,) = save(store, make_result(measurement_config_hash=compute_measurement_config_hash(config)))
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
def test_what_counts_as_done_is_what_a_scan_finds(
    make_result: Make, store: ResultStore, change: Callable[[str], str], *, counts: bool
) -> None:
    (path,) = save(store, make_result(effective_config={"model": {"a": {}}}))
    path.write_text(change(path.read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.completed() == ({"0123456789abcdef"} if counts else set())
    scan = store.scan(["measurement_config_hash"], on_error="collect")
    assert bool(scan.to_pydict()["measurement_config_hash"]) == counts


def test_a_record_that_was_cut_short_anywhere_is_not_done(make_result: Make, store: ResultStore) -> None:
    (path,) = save(store, make_result())
    whole = path.read_bytes()
    for place in range(1, len(whole), 7):
        path.write_bytes(whole[:-place])
        with pytest.warns(UserWarning, match="1 file was skipped"):
            assert store.completed() == set(), place


# One by one.


def test_stored_results_are_found_and_read_when_asked(make_result: Make, store: ResultStore) -> None:
    first = store.save(make_result(experiment_id="a"), power(100.0, 300.0), durable=False)
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


# What a store says at the prompt.


def test_a_store_says_what_is_in_it(make_result: Make, store: ResultStore, tmp_path: Path) -> None:
    assert repr(store) == f"<ResultStore {str(store.root)!r}: no directory yet>"
    tmp_path.joinpath("out").mkdir()
    assert repr(store).endswith(": no results yet>")
    config = {"model": "<b>gpt2</b>"}
    save(store, make_result(effective_config=config, total_energy_j=1500.0))
    assert repr(store).endswith(": 1 result, 1 model, pytorch, 1.5 kJ, 2026-02-18>")
    save(store, make_result(backend="vllm", total_energy_j=math.nan), make_result(total_energy_j=2e6))
    (tmp_path / "out" / "torn").mkdir()
    (tmp_path / "out" / "torn" / "result.json").touch()
    assert repr(store).endswith(": 3 results, 2 models, pytorch, vllm, 2 MJ, 2026-02-18, 1 unreadable>")
    page = store._repr_html_()
    assert "2 MJ" in page
    assert "<b>" not in page


def test_a_store_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in repr(ResultStore(tmp_path / "file"))
    assert "Not a directory" in ResultStore(tmp_path / "file")._repr_html_()


def test_a_directory_whose_name_is_not_utf_8_counts_where_no_path_is_told(
    make_result: Make, store: ResultStore
) -> None:
    (path,) = save(store, make_result(measurement_config_hash="f" * 16))
    try:
        os.rename(path.parent, os.fsencode(store.root) + b"/\xff")  # noqa: PTH104 - no name for pathlib
    except OSError:
        pytest.skip("this file system has UTF-8 names alone")
    assert store.completed() == {"f" * 16}
    assert len(store.load_all()) == 1
    with pytest.raises(PersistenceError, match="not UTF-8"):
        list(store)


# The power traces of a tree.


def test_the_traces_of_a_tree_are_one_table(make_result: Make, store: ResultStore) -> None:
    first = store.save(make_result(experiment_id="a"), power(100.0, 300.0), durable=False)
    store.save(make_result(experiment_id="b"), durable=False)
    last = store.save(make_result(experiment_id="c"), power(50.0), durable=False)
    columns = store.scan_timeseries().to_pydict()
    assert columns["path"] == [first.parent.name] * 2 + [last.parent.name]
    assert columns["experiment_id"] == ["a", "a", "c"]
    assert columns["power_w"] == [100.0, 300.0, 50.0]
    assert columns["temperature_c"] == [None] * 3
    assert list(columns)[2:] == [
        "timestamp_s",
        "gpu_index",
        "power_w",
        "temperature_c",
        "memory_used_mb",
        "memory_total_mb",
        "sm_utilisation_pct",
        "throttle_reasons",
    ]


def test_conditions_hold_of_rows_or_of_results(make_result: Make, store: ResultStore) -> None:
    store.save(make_result(experiment_id="a", backend="a"), power(100.0, 300.0), durable=False)
    store.save(make_result(experiment_id="b", backend="b"), power(50.0, 200.0), durable=False)

    def read(*where: Any) -> list[float]:
        return list(store.scan_timeseries(["power_w"], where=where).to_pydict()["power_w"])

    assert read(("power_w", ">", 150)) == [300.0, 200.0]
    assert read(("backend", "==", "a")) == [100.0, 300.0]
    assert read(("effective_config.model", "==", "gpt2"), ("timestamp_s", "<", 1)) == [100.0, 50.0]
    assert read(("gpu_index", "in", [1, 2])) == []
    assert read(("temperature_c", "==", None), ("power_w", "!=", 50.0)) == [100.0, 300.0, 200.0]
    for wrong in (("power_w", "in", 1), ("power_w", ">", "1"), ("gpu_index", "<", None), ("path", "~", "x")):
        with pytest.raises((TypeError, ValueError), match=rf"{wrong[0]}|~"):
            store.scan_timeseries(where=[wrong])
    with pytest.raises(ValueError, match="no trace has a column watts"):
        read(("watts", ">", 1))


def test_columns_that_are_not_usual_have_the_types_that_hold_all(
    make_result: Make, store: ResultStore
) -> None:
    pa = pytest.importorskip("pyarrow")
    for values in ([1, 2], [0.5]):
        rows = len(values)
        trace = pa.table({"timestamp_s": [0.0] * rows, "power_w": [1.0] * rows, "fan": values})
        store.save(make_result(), trace, durable=False)
    store.save(make_result(), power(7.0), durable=False)
    scan = store.scan_timeseries(["fan", "gpu_index"])
    assert scan.schema.types == ["double", "int32"]
    assert scan.to_pydict() == {"fan": [1.0, 2.0, 0.5, None], "gpu_index": [0, 0, 0, 0]}
    assert store.scan_timeseries(["fan"], where=[("fan", ">=", 1)]).to_pydict() == {"fan": [1.0, 2.0]}
    with pytest.raises(ValueError, match="no trace has a column speed"):
        store.scan_timeseries(["speed"]).to_pydict()
    store.save(make_result(), pa.table({"power_w": [1.0], "fan": ["fast"]}), durable=False)
    with pytest.raises(ValueError, match="the column fan is"):
        store.scan_timeseries(["fan"]).to_pydict()


def test_columns_of_small_and_unsigned_integers_are_integers(make_result: Make, store: ResultStore) -> None:
    pa = pytest.importorskip("pyarrow")
    trace = pa.table({"power_w": [1.0, 2.0], "clock": pa.array([1, 2], pa.uint32())})
    store.save(make_result(), trace, durable=False)
    assert store.scan_timeseries(["power_w"], where=[("clock", "==", 2)]).to_pydict() == {"power_w": [2.0]}
    assert store.scan_timeseries(["clock"]).to_pydict() == {"clock": [1, 2]}


def test_what_no_trace_has_yet_comes_with_its_type(make_result: Make, store: ResultStore) -> None:
    pa = pytest.importorskip("pyarrow")
    store.save(make_result(), durable=False)
    scan = store.scan_timeseries(["label"])
    assert scan.to_pydict() == {"label": []}
    store.save(make_result(), pa.table({"power_w": [1.0], "label": ["a"]}), durable=False)
    assert scan.to_pydict() == {"label": ["a"]}
    other = store.scan_timeseries(["label"], where=[("backend", "==", "none")])
    assert other.to_pydict() == {"label": []}


def test_a_trace_that_breaks_off_gives_no_rows_at_all(make_result: Make, store: ResultStore) -> None:
    pa = pytest.importorskip("pyarrow")
    gpus = pa.array([0] * 60_000 + [2**40], pa.int64())
    store.save(make_result(), pa.table({"power_w": [1.0] * 60_001, "gpu_index": gpus}), durable=False)
    scan = store.scan_timeseries(["gpu_index"], on_error="collect")
    assert scan.to_pydict() == {"gpu_index": []}
    assert len(scan.errors) == 1


def test_a_sidecar_that_is_no_trace_is_an_error_with_its_path(make_result: Make, store: ResultStore) -> None:
    paths = [store.save(make_result(experiment_id=f"{n}"), power(1.0), durable=False) for n in range(3)]
    torn = paths[1].with_name("timeseries.parquet")
    os.truncate(torn, 100)
    with pytest.raises(ResultCorruptError, match=str(torn)):
        store.scan_timeseries().to_pydict()
    scan = store.scan_timeseries(["experiment_id"], on_error="collect")
    assert scan.to_pydict() == {"experiment_id": ["0", "2"]}
    assert list(scan.errors) == [torn]
    with pytest.warns(UserWarning, match="1 file was skipped"):
        store.scan_timeseries(on_error="skip").to_pydict()


def test_a_tree_without_traces_is_a_table_without_rows(make_result: Make, store: ResultStore) -> None:
    save(store, make_result())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.scan_timeseries(["path", "power_w"]).to_pydict() == {"path": [], "power_w": []}
    with pytest.raises(PersistenceError):
        ResultStore(store.root / "none").scan_timeseries().to_pydict()


def test_the_known_energy_of_real_traces_comes_out(data: Path, store: ResultStore) -> None:
    for record in sorted((data / "mlperf").glob("*.json")):
        result = ExperimentResult.model_validate_json(record.read_text())
        store.save(result, record.with_suffix(".parquet"), durable=False)
    columns = store.scan_timeseries(["experiment_id", "power_w"]).to_pydict()
    traces: dict[str, list[float]] = {}
    for experiment, watts in zip(columns["experiment_id"], columns["power_w"], strict=True):
        traces.setdefault(experiment, []).append(watts)
    assert len(traces) == 6
    for result in store.load_all():
        watts = traces[result.experiment_id]
        mean = math.fsum(watts) / len(watts)
        assert mean * result.total_inference_time_sec == pytest.approx(result.total_energy_j, rel=1e-6)
