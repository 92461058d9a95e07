"""Scans of the power traces below a root."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    ExperimentResult,
    PersistenceError,
    ResultCorruptError,
    ResultStore,
)
from support.results import make_power_trace
from support.stores import save_each

Make = Callable[..., ExperimentResult]


def test_scan_timeseries_returns_all_traces_as_one_table(make_result: Make, store: ResultStore) -> None:
    first = store.save(make_result(experiment_id="a"), make_power_trace(100.0, 300.0), durable=False)
    store.save(make_result(experiment_id="b"), durable=False)
    last = store.save(make_result(experiment_id="c"), make_power_trace(50.0), durable=False)
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


def test_scan_timeseries_where_filters_samples_or_results(make_result: Make, store: ResultStore) -> None:
    store.save(make_result(experiment_id="a", backend="a"), make_power_trace(100.0, 300.0), durable=False)
    store.save(make_result(experiment_id="b", backend="b"), make_power_trace(50.0, 200.0), durable=False)

    def read(*where: Any) -> list[float]:
        return list(store.scan_timeseries(["power_w"], where=where).to_pydict()["power_w"])

    assert read(("power_w", ">", 150)) == [300.0, 200.0]
    assert read(("backend", "==", "a")) == [100.0, 300.0]
    assert read(("effective_config.model", "==", "gpt2"), ("timestamp_s", "<", 1)) == [100.0, 50.0]
    assert read(("gpu_index", "in", [1, 2])) == []
    assert read(("temperature_c", "==", None), ("power_w", "!=", 50.0)) == [100.0, 300.0, 200.0]
    for wrong in (
        ("power_w", "in", 1),
        ("power_w", ">", "1"),
        ("gpu_index", "<", None),
        ("path", "like", "x"),
    ):
        with pytest.raises((TypeError, ValueError), match=rf"{wrong[0]}|like"):
            store.scan_timeseries(where=[wrong])
    with pytest.raises(ValueError, match="no trace has a column watts"):
        read(("watts", ">", 1))


def test_scan_timeseries_other_columns_widens_their_types(make_result: Make, store: ResultStore) -> None:
    pa = pytest.importorskip("pyarrow")
    for values in ([1, 2], [0.5]):
        rows = len(values)
        trace = pa.table({"timestamp_s": [0.0] * rows, "power_w": [1.0] * rows, "fan": values})
        store.save(make_result(), trace, durable=False)
    store.save(make_result(), make_power_trace(7.0), durable=False)
    scan = store.scan_timeseries(["fan", "gpu_index"])
    assert scan.schema.types == ["double", "int32"]
    assert scan.to_pydict() == {"fan": [1.0, 2.0, 0.5, None], "gpu_index": [0, 0, 0, 0]}
    assert store.scan_timeseries(["fan"], where=[("fan", ">=", 1)]).to_pydict() == {"fan": [1.0, 2.0]}
    with pytest.raises(ValueError, match="no trace has a column speed"):
        store.scan_timeseries(["speed"]).to_pydict()
    store.save(
        make_result(), pa.table({"timestamp_s": [0.0], "power_w": [1.0], "fan": ["fast"]}), durable=False
    )
    with pytest.raises(ValueError, match="the column fan is"):
        store.scan_timeseries(["fan"]).to_pydict()


def test_scan_timeseries_small_integers_returns_integers(make_result: Make, store: ResultStore) -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {"timestamp_s": [0.0, 1.0], "power_w": [1.0, 2.0]}
    trace = pa.table(columns | {"clock": pa.array([1, 2], pa.uint32())})
    store.save(make_result(), trace, durable=False)
    assert store.scan_timeseries(["power_w"], where=[("clock", "==", 2)]).to_pydict() == {"power_w": [2.0]}
    assert store.scan_timeseries(["clock"]).to_pydict() == {"clock": [1, 2]}


def test_scan_timeseries_again_takes_the_type_of_a_new_column(make_result: Make, store: ResultStore) -> None:
    pa = pytest.importorskip("pyarrow")
    store.save(make_result(), durable=False)
    scan = store.scan_timeseries(["label"])
    assert scan.to_pydict() == {"label": []}
    store.save(
        make_result(), pa.table({"timestamp_s": [0.0], "power_w": [1.0], "label": ["a"]}), durable=False
    )
    assert scan.to_pydict() == {"label": ["a"]}
    other = store.scan_timeseries(["label"], where=[("backend", "==", "none")])
    assert other.to_pydict() == {"label": []}


def test_scan_timeseries_with_faulty_value_drops_the_whole_trace(
    make_result: Make, store: ResultStore
) -> None:
    pa = pytest.importorskip("pyarrow")
    gpus = pa.array([0] * 60_000 + [2**40], pa.int64())
    ones = [1.0] * 60_001
    trace = pa.table({"timestamp_s": ones, "power_w": ones, "gpu_index": gpus})
    store.save(make_result(), trace, durable=False)
    scan = store.scan_timeseries(["gpu_index"], on_error="collect")
    assert scan.to_pydict() == {"gpu_index": []}
    assert len(scan.errors) == 1


def test_scan_timeseries_with_damaged_sidecar_reports_its_path(make_result: Make, store: ResultStore) -> None:
    paths = [
        store.save(make_result(experiment_id=f"{n}"), make_power_trace(1.0), durable=False) for n in range(3)
    ]
    torn = paths[1].with_name("timeseries.parquet")
    os.truncate(torn, 100)
    with pytest.raises(ResultCorruptError, match=str(torn)):
        store.scan_timeseries().to_pydict()
    scan = store.scan_timeseries(["experiment_id"], on_error="collect")
    assert scan.to_pydict() == {"experiment_id": ["0", "2"]}
    assert list(scan.errors) == [torn]
    with pytest.warns(UserWarning, match="1 file was skipped"):
        store.scan_timeseries(on_error="skip").to_pydict()


def test_scan_timeseries_without_traces_returns_no_rows(make_result: Make, store: ResultStore) -> None:
    save_each(store, make_result())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.scan_timeseries(["path", "power_w"]).to_pydict() == {"path": [], "power_w": []}
    with pytest.raises(PersistenceError):
        ResultStore(store.root / "none").scan_timeseries().to_pydict()


def test_scan_timeseries_real_traces_gives_their_known_energy(data: Path, store: ResultStore) -> None:
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
