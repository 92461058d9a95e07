"""Columns of a scan: their choice, their types, and values that fit no column."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.errors import LLEMError, ResultCorruptError
from llenergymeasure.results.timeseries import Timeseries

Make = Callable[..., ExperimentResult]
Put = Callable[..., Path]


def test_scan_chosen_columns_keeps_their_order_and_expands_objects(put: Put, tmp_path: Path) -> None:
    put("a", energy_breakdown={"raw_j": 1.5})
    scan = ResultStore(tmp_path).scan(["total_tokens", "energy_breakdown", "path", "total_tokens"])
    assert scan.schema.names == [
        "total_tokens",
        "energy_breakdown.raw_j",
        "energy_breakdown.adjusted_j",
        "energy_breakdown.baseline_power_w",
        "energy_breakdown.baseline_method",
        "energy_breakdown.baseline_timestamp",
        "energy_breakdown.baseline_timestamp.utc",
        "energy_breakdown.baseline_cache_age_sec",
        "path",
    ]
    assert scan.to_pydict()["energy_breakdown.raw_j"] == [1.5]


def test_scan_again_reads_the_tree_again(put: Put, tmp_path: Path) -> None:
    scan = ResultStore(tmp_path / "later").scan(["path"])
    put("later/a")
    assert scan.to_pydict() == {"path": ["a"]}
    put("later/b")
    assert scan.to_pydict() == {"path": ["a", "b"]}


@pytest.mark.parametrize(
    ("asked", "error", "reason"),
    [
        ({"columns": "path"}, TypeError, r"got a string; pass \['path'\]"),
        ({"columns": [1]}, TypeError, "expects strings, got int"),
        ({"columns": ["total_token"]}, ValueError, "'total_token'; there is total_tokens"),
        ({"columns": ["raw_j"]}, ValueError, "energy_breakdown.raw_j"),
        ({"columns": ["effective_config."]}, ValueError, "not the name of a key"),
        ({"columns": ['effective_config."a']}, ValueError, "not the name of a key"),
        ({"columns": ["backend.utc"]}, ValueError, "no column 'backend.utc'"),
        ({"columns": ["process_results", "process_results.gpu_id"]}, ValueError, "first contains the second"),
        ({"batch_size": 0}, ValueError, "at least 1"),
        ({"on_error": "ignore"}, ValueError, "'raise', 'skip' or 'collect'"),
        ({"where": ("backend", "==", "x")}, TypeError, "expects a list of conditions, got one"),
        ({"where": [("backend",)]}, TypeError, "a column, an operator and a value"),
        ({"where": [("backend", "=", "x")]}, ValueError, "expected an operator =="),
        ({"where": [("nope", "==", "x")]}, ValueError, "no column 'nope'"),
        ({"where": [("backend", "==", 1)]}, ValueError, "it holds strings"),
        ({"where": [("backend", "<", None)]}, ValueError, "backend cannot be compared"),
        ({"where": [("backend", "==", object())]}, TypeError, "a value of object"),
        ({"where": [("total_tokens", "==", True)]}, ValueError, "it holds numbers"),
        ({"where": [("process_results", "==", None)]}, ValueError, "lists or JSON"),
        ({"columns": [], "where": [("process_results.gpu_id", "==", 1)]}, ValueError, "lists or JSON"),
        ({"where": [("effective_config", "==", None)]}, ValueError, "lists or JSON"),
        ({"where": [("start_time", "==", 1)]}, TypeError, "start_time expects a datetime"),
        ({"where": [("saved_at", "==", date(2026, 1, 1))]}, ValueError, "expects a time with a zone"),
        ({"where": [("start_time", "==", "noon")]}, ValueError, "expects a time in ISO 8601"),
        ({"where": [("start_time", "==", "2026-01-01T00:00Z")]}, ValueError, r"compare start_time\.utc"),
        ({"where": [("start_time.utc", "==", "2026-01-01")]}, ValueError, "expects a time with a zone"),
    ],
)
def test_scan_rejects_invalid_arguments_before_reading(
    asked: dict[str, Any], error: type[Exception], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=reason):
        ResultStore(tmp_path / "nothing").scan(**asked)


def test_scan_process_results_returns_json_or_lists(tmp_path: Path, make_result: Make) -> None:
    one = {
        "experiment_id": "p",
        "process_index": 0,
        "gpu_id": 3,
        "config_name": "c",
        "model_name": "m",
        "timestamps": {
            "start": "2026-01-01T00:00:00+02:00",
            "end": "2026-01-01T00:01:00",
            "duration_sec": 60,
        },
        "inference_metrics": {
            "total_tokens": 3,
            "input_tokens": 1,
            "output_tokens": 2,
            "inference_time_sec": 1.0,
            "tokens_per_second": "Infinity",
            "latency_per_token_ms": 0.1,
            "latency_measurements": {"a": [1, "x y"]},
        },
        "energy_metrics": {"total_energy_j": 1.25, "duration_sec": 60.0},
        "compute_metrics": {"flops_total": 1.0},
        "per_request_latencies_ms": [1.0, 2.5],
    }
    other = one | {"gpu_id": 4, "energy_breakdown": {"raw_j": 0.5}, "effective_config": {"k": 1}}
    for name, processes in {"a": [one, other], "b": []}.items():
        (tmp_path / name).mkdir()
        result = make_result(process_results=processes)
        (tmp_path / name / "result.json").write_text(result.model_dump_json(indent=2))
    names = [
        "gpu_id",
        "backend",
        "timestamps.start",
        "inference_metrics.tokens_per_second",
        "inference_metrics.latency_measurements",
        "energy_breakdown.raw_j",
        "per_request_latencies_ms",
        "effective_config",
    ]
    read = ResultStore(tmp_path).scan([f"process_results.{name}" for name in names]).to_pydict()
    assert {name.removeprefix("process_results."): lists for name, lists in read.items()} == {
        "gpu_id": [[3, 4], []],
        "backend": [["pytorch", "pytorch"], []],
        "timestamps.start": [[datetime(2026, 1, 1)] * 2, []],  # noqa: DTZ001
        "inference_metrics.tokens_per_second": [[math.inf] * 2, []],
        "inference_metrics.latency_measurements": [['{"a":[1,"x y"]}'] * 2, []],
        "energy_breakdown.raw_j": [[None, 0.5], []],
        "per_request_latencies_ms": [["[1.0,2.5]"] * 2, []],
        "effective_config": [["{}", '{"k":1}'], []],
    }
    names = ResultStore(tmp_path).scan(["process_results.timestamps"]).schema.names
    assert names == [f"process_results.timestamps.{name}" for name in ("start", "end", "duration_sec")]


def test_scan_timeseries_field_names_the_sidecar_on_disk(result: ExperimentResult, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    trace = Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[1.0])
    with_one = store.save(result, trace, durable=False)
    without = store.save(result, durable=False)
    by_hand = store.save(result, durable=False)
    by_hand.with_name("timeseries.parquet").write_bytes(b"by hand")
    lost = store.save(result, trace, durable=False)
    lost.with_name("timeseries.parquet").unlink()
    columns = store.scan(["path", "timeseries", "has_timeseries"]).to_pydict()
    rows = {
        path: (name, there)
        for path, name, there in zip(
            *(columns[name] for name in ("path", "timeseries", "has_timeseries")), strict=True
        )
    }
    for record, there in {with_one: True, without: False, by_hand: True, lost: False}.items():
        loaded = ExperimentResult.from_json(record, missing_sidecar="ignore")
        assert rows[record.parent.name] == (loaded.timeseries, there)


def test_scan_saved_at_returns_the_modification_time(put: Put, tmp_path: Path) -> None:
    # Rounded down to microseconds.
    for name, nanoseconds in {"a": 1_700_000_000_123_456_789, "b": 0, "c": -1_500_000}.items():
        os.utime(put(name), ns=(nanoseconds, nanoseconds))
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    micros = [1_700_000_000_123_456, 0, -1500]
    expected = [epoch + timedelta(microseconds=n) for n in micros]
    assert ResultStore(tmp_path).scan(["saved_at"]).to_pydict() == {"saved_at": expected}


def test_scan_times_returns_clock_time_and_instant(put: Put, raw: Callable[..., str], tmp_path: Path) -> None:
    hours = {
        "2026-02-18T14:30:00": (14, None),
        "2026-02-18T14:30:00Z": (14, 14),
        "2026-02-18T14:30:00+05:30": (14, 9),
        "2026-02-18 14:30:00-00:00": (14, 14),
        "2026-02-18": (0, None),
    }
    for number, text in enumerate(hours):
        put(f"{number}", raw(start_time=text))
    columns = ResultStore(tmp_path).scan(["start_time", "start_time.utc"]).to_pydict()
    assert [time.hour for time in columns["start_time"]] == [hour for hour, _ in hours.values()]
    assert [time and time.hour for time in columns["start_time.utc"]] == [hour for _, hour in hours.values()]
    assert all(time.tzinfo is None for time in columns["start_time"])
    assert all(time.tzinfo is timezone.utc for time in columns["start_time.utc"] if time)


def test_scan_named_keys_ignores_the_other_keys(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"a.b": 1, "deep": {"x": 1, "y": {"z": [1, 2]}}, "n": 1})
    put("b", effective_config={"deep": {"x": 2.5, "y": None}, "n": "x"})
    names = [
        'effective_config."a.b"',
        "effective_config.deep.x",
        "effective_config.deep.y",
        "effective_config.no",
    ]
    scan = ResultStore(tmp_path).scan(names, optional=["config.no"])
    assert scan.schema.names == names
    assert scan.schema.types == ["int64", "double", "string", "string"]
    columns = list(scan.to_pydict().values())
    assert columns == [[1, None], [1.0, 2.5], ['{"z":[1,2]}', None], [None, None]]


def test_scan_again_keeps_the_inferred_columns(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"x": 1})
    scan = ResultStore(tmp_path).scan(["path", "effective_config"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"], "effective_config.x": [1]}
    put("b", effective_config={"x": 2, "new": 1})
    record = put("c", effective_config={"x": 0.5})
    assert scan.to_pydict() == {"path": ["a", "b"], "effective_config.x": [1, 2]}
    assert list(scan.errors) == [record]
    assert "scan again" in str(scan.errors[record])


def test_scan_with_too_many_keys_requires_named_columns(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={f"k{n}": n for n in range(10_001)})
    store = ResultStore(tmp_path)
    with pytest.raises(ValueError, match="more than 10000 different keys; name the columns"):
        store.scan().to_pydict()
    assert store.scan(["effective_config.k10000"]).to_pydict() == {"effective_config.k10000": [10_000]}


def test_scan_tree_larger_than_memory_reads_records_twice(tmp_path: Path, make_result: Make) -> None:
    padding = "é" * 500_000
    for number in range(100):
        place = tmp_path / f"{number % 10}" / f"{number:03}"
        place.mkdir(parents=True)
        config = {"padding": padding, "n": number, "sometimes" if number % 2 else "others": 0.5}
        text = make_result(total_tokens=number, effective_config=config).model_dump_json()
        (place / "result.json").write_text(text)
    store = ResultStore(tmp_path)
    seen: list[int] = []
    scan = store.scan(
        ["path", "total_tokens", "effective_config"], progress=lambda done, _: seen.append(done)
    )
    rows = 0
    narrow = store.scan(
        ["path", "total_tokens", "effective_config.n", "effective_config.sometimes"]
    ).to_pydict()
    wide: dict[str, list[Any]] = defaultdict(list)
    for batch in scan:
        rows += len(batch)
        columns = batch.to_pydict()
        assert set(columns.pop("effective_config.padding")) == {padding}
        for name, values in columns.items():
            wide[name] += values
    assert rows == 100
    assert seen == sorted(seen)
    assert seen[-1] == 100
    others = wide.pop("effective_config.others")
    assert [value is None for value in others] == [
        value is not None for value in wide["effective_config.sometimes"]
    ]
    assert wide == narrow


def test_scan_rejects_column_inside_another_column(tmp_path: Path) -> None:
    names = ["process_results", "process_results.energy_metrics.total_energy_j"]
    with pytest.raises(ValueError, match="the first contains the second"):
        ResultStore(tmp_path).scan(names)


@pytest.mark.parametrize("config", [{"x": "MARK"}, {"x": ["MARK"]}])
def test_scan_lone_surrogate_reports_the_record(
    put: Put, raw: Callable[..., str], tmp_path: Path, config: dict[str, Any]
) -> None:
    record = put("a", raw(effective_config=config).replace("MARK", "\\ud800"))
    with pytest.raises(ResultCorruptError):
        ExperimentResult.from_json(record)
    with pytest.raises(LLEMError):
        ResultStore(tmp_path).scan(["effective_config"]).to_pydict()


def test_scan_time_truncates_below_microseconds_like_load(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    record = put("a", raw(start_time="2026-02-18T14:30:00.123456789"))
    loaded = ExperimentResult.from_json(record).start_time
    assert ResultStore(tmp_path).scan(["start_time"]).to_pydict() == {"start_time": [loaded]}


def test_scan_year_zero_reports_the_record(put: Put, raw: Callable[..., str], tmp_path: Path) -> None:
    record = put("a", raw(start_time="0000-01-01T00:00:00"))
    scan = ResultStore(tmp_path).scan(["start_time"], on_error="collect")
    assert scan.to_pydict() == {"start_time": []}
    assert list(scan.errors) == [record]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00"])
def test_scan_instant_beyond_datetime_continues(
    put: Put, raw: Callable[..., str], tmp_path: Path, text: str
) -> None:
    ExperimentResult.from_json(put("a", raw(start_time=text)))
    put("b")
    scan = ResultStore(tmp_path).scan(["path", "start_time", "start_time.utc"], on_error="collect")
    rows = scan.to_pydict()
    assert (rows["path"], rows["start_time.utc"], scan.errors) == (["a", "b"], [None, None], {})


def test_scan_record_from_the_far_future_continues(put: Put, tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("no file system that holds such times")
    with tempfile.TemporaryDirectory(dir=shared) as root:
        put("a").parent.rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", Path(root) / "a")
        os.utime(Path(root) / "a" / "result.json", (3e11, 3e11))
        if (Path(root) / "a" / "result.json").stat().st_mtime != 3e11:
            pytest.skip("the file system does not hold such times")
        scan = ResultStore(root).scan(["path", "saved_at"], on_error="collect")
        assert scan.to_pydict()["path"] == ["a"] or scan.errors


def test_scan_symlinked_sidecar_matches_load(put: Put, tmp_path: Path) -> None:
    record = put("a")
    (tmp_path / "trace").write_bytes(b"trace")
    record.with_name("timeseries.parquet").symlink_to("../trace")
    loaded = ExperimentResult.from_json(record).timeseries
    assert ResultStore(tmp_path).scan(["timeseries"]).to_pydict() == {"timeseries": [loaded]}


def test_scan_number_beyond_float_range_reports_the_record(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    put("a", raw(total_energy_j=0.5).replace('"total_energy_j": 0.5', '"total_energy_j": 1e400'))
    with pytest.raises(ResultError, match="1e400, which no 64-bit float holds"):
        ResultStore(tmp_path).scan(["total_energy_j"]).to_pydict()


@pytest.mark.parametrize("where", [None, [("backend", "==", "pytorch")]])
def test_scan_infers_columns_from_selected_rows_only(
    put: Put, raw: Callable[..., str], tmp_path: Path, where: Any
) -> None:
    put("a", effective_config={"x": 1})
    if where is None:
        put("b", raw(effective_config={"y": 1}).replace('"y": 1', '"y": 1, "z": 1, "y": 2'))
    else:
        put("b", backend="vllm", effective_config={"y": 1})
    scan = ResultStore(tmp_path).scan(["effective_config"], where=where, on_error="collect")
    assert scan.schema.names == ["effective_config.x"]


def test_scan_value_that_fits_no_column_is_never_null(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"x": 1})
    late = [put(f"z/{number:03}", effective_config={"x": 2}) for number in range(100)]
    nested: list[bool] = []

    def change_the_tree(_: int, __: int | None) -> None:
        # Another reader of the scan infers the columns; then an unsuitable record appears.
        if not nested:
            nested.append(True)
            assert scan.schema.types == ["string", "int64"]
            put("z/050", effective_config={"x": "text"})

    scan = ResultStore(tmp_path).scan(
        ["path", "effective_config.x"], on_error="collect", progress=change_the_tree
    )
    values = dict(zip(*scan.to_pydict().values(), strict=True))
    assert late[50] in scan.errors or values["z/050"] == "text"


@pytest.mark.parametrize("how", ["all", "stream"])
def test_scan_reports_progress_up_to_all(put: Put, tmp_path: Path, how: str) -> None:
    for number in range(200):
        put(f"{number:03}")
    seen: list[int] = []
    totals: set[int | None] = set()

    def note(done: int, total: int | None) -> None:
        seen.append(done)
        totals.add(total)

    scan = ResultStore(tmp_path).scan(None if how == "all" else ["path"], progress=note)
    if how == "all":
        scan.to_pydict()
    else:
        pa = pytest.importorskip("pyarrow")
        assert pa.table(scan).num_rows == 200
    assert seen
    assert seen == sorted(seen)
    assert seen[-1] == 200
    assert totals == {200}


def test_scan_unknown_column_suggests_each_name_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no column") as caught:
        ResultStore(tmp_path).scan(["token"])
    hints = str(caught.value).rpartition("there is ")[2].split(", ")
    assert len(hints) == len(set(hints))


def test_scan_with_too_many_keys_fails_for_any_distribution(put: Put, tmp_path: Path) -> None:
    for number in range(60):
        put(f"{number:02}", effective_config={f"k{number}-{key}": 1 for key in range(200)})
    put("z", effective_config={"x": 1})
    with pytest.raises(ValueError, match="more than 10000 different keys"):
        ResultStore(tmp_path).scan(["effective_config"]).to_pydict()
    few = ResultStore(tmp_path).scan(["effective_config"], where=[("path", "==", "z")])
    assert few.to_pydict() == {"effective_config.x": [1]}
