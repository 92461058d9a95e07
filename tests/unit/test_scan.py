"""What a scan says is what is in the files: compared with a plain reading in Python, to the last bit."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import tempfile
import types
import typing
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.errors import LLEMError, ResultCorruptError
from llenergymeasure.results.timeseries import Timeseries

Make = Callable[..., ExperimentResult]
Put = Callable[..., Path]
Models = Callable[[type[BaseModel]], st.SearchStrategy[Any]]

slow = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=60
)
I64, U64 = range(-(2**63), 2**63), range(2**64)


@pytest.fixture
def put(tmp_path: Path, make_result: Make) -> Put:
    """Write a record into a directory of its own: fields that a test changes, or the text it gives."""

    def put(name: str, text: str | None = None, **changes: Any) -> Path:
        place = tmp_path / name
        place.mkdir(parents=True, exist_ok=True)
        record = place / "result.json"
        record.write_text(make_result(**changes).model_dump_json() if text is None else text)
        return record

    return put


@pytest.fixture
def raw(make_result: Make) -> Callable[..., str]:
    """Make the text of a record, with fields changed that the schema need not admit."""

    def raw(**changes: Any) -> str:
        fields = json.loads(make_result().model_dump_json())
        return json.dumps({key: value for key, value in (fields | changes).items() if value is not ...})

    return raw


# The plain reading.


def bits(value: Any) -> Any:
    """Make of a value one that equals only itself: NaN and the sign of zero count."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack("d", value)
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    return type(value).__name__, value


def inner(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return inner(next(one for one in typing.get_args(annotation) if one is not type(None)))
    return typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def plain_row(model: type[BaseModel], values: dict[str, Any] | None, above: str = "") -> dict[str, Any]:
    """Read a dumped model into columns: JSON columns are left as they are in the dump."""
    row: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind, value = inner(field.annotation), None if values is None else values[name]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            row |= plain_row(kind, value, f"{above}{name}.")
        elif above + name == "effective_config":
            continue
        elif kind is datetime:
            row[above + name] = value and value.replace(tzinfo=None)
            row[f"{above}{name}.utc"] = value.astimezone(timezone.utc) if value and value.tzinfo else None
        else:
            row[above + name] = list(value) if isinstance(value, tuple) else value
    return row


def quoted(key: str) -> str:
    return json.dumps(key, ensure_ascii=False) if not key or "." in key or '"' in key else key


def plain_keys(config: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in config.items():
        found |= plain_keys(value, (*above, key)) if isinstance(value, dict) and value else {}
        if not isinstance(value, dict) or not value:
            place = (*above, key)
            found[place] = value
    return found


def plain_kind(values: list[Any]) -> Any:
    """Say which type holds all values: bool, int, float, str, or None for JSON."""
    kinds = {type(value) for value in values}
    if not kinds or kinds - {bool, int, float, str}:
        return None
    if len(kinds) == 1 and kinds <= {bool, str}:
        return kinds.pop()
    if kinds == {int} and (all(v in I64 for v in values) or all(v in U64 for v in values)):
        return int
    numbers = [value for value in values if not isinstance(value, str)]
    named = {value for value in values if isinstance(value, str)}
    exact = all(type(n) is float or ((n in I64 or n in U64) and int(float(n)) == n) for n in numbers)
    if bool not in kinds and exact and named <= {"NaN", "Infinity", "-Infinity"}:
        return float
    return None


def plain_config(configs: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Infer the columns of configurations; a JSON column's values are wrapped in a tuple."""
    rows = [plain_keys(config) for config in configs]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    parents = {key[:length] for key in keys for length in range(1, len(key))}
    columns: dict[str, list[Any]] = {}
    for key in keys:
        values = [row.get(key) for row in rows]
        there = [value for value in values if value is not None]
        if not there and key in parents:
            continue
        if there and all(isinstance(value, list) for value in there):
            items = [item for value in there for item in value if item is not None]
            kind = plain_kind(items)
            is_list = kind in (int, float, str) and (kind is not int or all(item in I64 for item in items))
            as_kind: Any = (
                (lambda value, kind=kind: [None if i is None else kind(i) for i in value])
                if is_list
                else None
            )
        else:
            as_kind = plain_kind(there)
        name = ".".join(["effective_config", *map(quoted, key)])
        columns[name] = [
            None if value is None else (value,) if as_kind is None else as_kind(value) for value in values
        ]
    return columns


def assert_reads_as_plainly(store: ResultStore, places: list[Path], columns: dict[str, list[Any]]) -> None:
    """Compare every column with that of the plain reading."""
    loaded = [ExperimentResult.from_json(place, missing_sidecar="ignore") for place in places]
    rows = [plain_row(ExperimentResult, result.model_dump()) for result in loaded]
    configs = plain_config([result.effective_config for result in loaded])
    own = {"path", "has_timeseries", "saved_at"}
    assert set(columns) == set(rows[0]) | set(configs) | own
    assert columns["path"] == [str(place.parent.relative_to(store.root)) for place in places]
    for name in rows[0]:
        expected = [row[name] for row in rows]
        if name == "process_results":
            dumped = [result.model_dump_json() for result in loaded]
            assert [json.loads(text) for text in columns[name]] == [json.loads(text)[name] for text in dumped]
        else:
            assert bits(columns[name]) == bits(expected), name
    for name, expected in configs.items():
        read = [
            (json.loads(cell),) if isinstance(value, tuple) else cell
            for cell, value in zip(columns[name], expected, strict=True)
        ]
        assert repr(bits(read)) == repr(bits(expected)), name


def fits(result: ExperimentResult) -> bool:
    row = plain_row(ExperimentResult, result.model_dump())
    return all(value in I64 for value in row.values() if type(value) is int)


def test_any_results_read_as_they_load(models: Models, tmp_path_factory: pytest.TempPathFactory) -> None:
    @slow
    @given(results=st.lists(models(ExperimentResult), min_size=1, max_size=3))
    def read_as_they_load(results: list[ExperimentResult]) -> None:
        root = tmp_path_factory.mktemp("results")
        store = ResultStore(root)
        good = []
        for number, result in enumerate(results):
            place = root / f"{number}" / "result.json"
            place.parent.mkdir()
            place.write_text(result.model_dump_json(indent=2 if number else None))
            if fits(result):
                good.append(place)
        scan = store.scan(on_error="collect", batch_size=2)
        for _ in range(2):
            columns = scan.to_pydict()
            assert list(scan.errors) == [
                root / f"{number}" / "result.json"
                for number, result in enumerate(results)
                if not fits(result)
            ]
            if good:
                assert_reads_as_plainly(store, good, columns)

    read_as_they_load()


def test_any_configurations_become_the_columns_that_a_plain_inference_finds(
    make_result: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([0, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 10**30]),
        st.sampled_from([0.5, -0.0, math.nan, math.inf, 1e300, 5e-324]),
        st.sampled_from(["", "x", "NaN", "null", 'é\n"\\', "\U0001f600", " { } "]),
    )
    keys = st.sampled_from(["a", "b", "a.b", "", '"', "é", "effective_config"])
    values = st.recursive(
        leaves | st.lists(leaves, max_size=3), lambda below: st.dictionaries(keys, below, max_size=3)
    )

    @settings(slow, max_examples=150)
    @given(configs=st.lists(st.dictionaries(keys, values, max_size=3), min_size=1, max_size=4))
    def become_columns(configs: list[dict[str, Any]]) -> None:
        root = tmp_path_factory.mktemp("results")
        places = []
        for number, config in enumerate(configs):
            places.append(root / f"{number}" / "result.json")
            places[-1].parent.mkdir()
            result = make_result(effective_config=config)
            places[-1].write_text(result.model_dump_json(indent=number or None))
        assert_reads_as_plainly(ResultStore(root), places, ResultStore(root).scan().to_pydict())

    become_columns()


# Real measurements.


def test_the_sums_of_real_measurements_are_those_of_a_plain_reading(data: Path, tmp_path: Path) -> None:
    lines = (data / "mlenergy_llm_results.jsonl").read_text().splitlines()
    results = [ExperimentResult.model_validate_json(line) for line in lines]
    results.append(ExperimentResult.model_validate_json((data / "gpt2_a100_result.json").read_text()))
    store = ResultStore(tmp_path)
    places = store.save_many(results, durable=False)
    scan = store.scan(["path", "effective_config.model", "total_energy_j", "total_tokens", "latency_stats"])
    columns = scan.to_pydict()
    by_path = dict(zip((str(place.parent.name) for place in places), results, strict=True))
    energy: dict[str, list[float]] = defaultdict(list)
    tokens: dict[str, int] = defaultdict(int)
    for path in sorted(by_path):
        model = by_path[path].effective_config["model"]
        energy[model].append(by_path[path].total_energy_j)
        tokens[model] += by_path[path].total_tokens
    read: dict[str, list[float]] = defaultdict(list)
    counted: dict[str, int] = defaultdict(int)
    for model, joules, count in zip(
        columns["effective_config.model"], columns["total_energy_j"], columns["total_tokens"], strict=True
    ):
        read[model].append(joules)
        counted[model] += count
    assert {model: sum(joules) for model, joules in read.items()} == {
        model: sum(joules) for model, joules in energy.items()
    }
    assert counted == tokens
    assert len(tokens) > 1
    assert_reads_as_plainly(store, sorted(places), store.scan().to_pydict())


# Columns.


def test_columns_come_in_the_order_asked_for_and_an_object_stands_for_its_fields(
    put: Put, tmp_path: Path
) -> None:
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


def test_a_scan_is_lazy_and_reads_anew_each_time(put: Put, tmp_path: Path) -> None:
    scan = ResultStore(tmp_path / "later").scan(["path"])
    put("later/a")
    assert scan.to_pydict() == {"path": ["a"]}
    put("later/b")
    assert scan.to_pydict() == {"path": ["a", "b"]}


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"columns": "path"}, TypeError, r"to read one, say \['path'\]"),
        ({"columns": [1]}, TypeError, "is a string, not int"),
        ({"columns": ["total_token"]}, ValueError, "'total_token'; there is total_tokens"),
        ({"columns": ["raw_j"]}, ValueError, "energy_breakdown.raw_j"),
        ({"columns": ["effective_config."]}, ValueError, "not the name of a key"),
        ({"columns": ['effective_config."a']}, ValueError, "not the name of a key"),
        ({"columns": ["backend.utc"]}, ValueError, "no column 'backend.utc'"),
        ({"columns": ["process_results", "process_results.gpu_id"]}, ValueError, "within the first"),
        ({"batch_size": 0}, ValueError, "at least 1"),
        ({"on_error": "ignore"}, ValueError, "'raise', 'skip' or 'collect'"),
        ({"where": ("backend", "==", "x")}, TypeError, "one alone is"),
        ({"where": [("backend",)]}, TypeError, "a column, an operator and a value"),
        ({"where": [("backend", "=", "x")]}, ValueError, "is none of =="),
        ({"where": [("nope", "==", "x")]}, ValueError, "no column 'nope'"),
        ({"where": [("backend", "==", 1)]}, ValueError, "it holds strings"),
        ({"where": [("backend", "<", None)]}, ValueError, "backend cannot be compared"),
        ({"where": [("backend", "==", object())]}, TypeError, "a value of object"),
        ({"where": [("total_tokens", "==", True)]}, ValueError, "it holds numbers"),
        ({"where": [("process_results", "==", None)]}, ValueError, "lists or JSON"),
        ({"columns": [], "where": [("process_results.gpu_id", "==", 1)]}, ValueError, "lists or JSON"),
        ({"where": [("effective_config", "==", None)]}, ValueError, "lists or JSON"),
        ({"where": [("start_time", "==", 1)]}, TypeError, "compared with a datetime"),
        ({"where": [("start_time", "==", date(2026, 1, 1))]}, TypeError, "compared with a datetime"),
        ({"where": [("start_time", "==", "noon")]}, ValueError, "not one in ISO 8601"),
        ({"where": [("start_time", "==", "2026-01-01T00:00Z")]}, ValueError, r"compare start_time\.utc"),
        ({"where": [("start_time.utc", "==", "2026-01-01")]}, ValueError, "does not tell its zone"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    asked: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        ResultStore(tmp_path / "nothing").scan(**asked)


def test_process_results_are_json_or_lists_with_an_item_for_each(tmp_path: Path, make_result: Make) -> None:
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


def test_absent_fields_have_their_defaults_and_null_objects_null_columns(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    optional = [name for name, field in ExperimentResult.model_fields.items() if not field.is_required()]
    record = put("a", raw(**dict.fromkeys(optional, ...)))
    thermal = {
        "thermal": {},
        "gpu": {"name": "g", "vram_total_mb": 1},
        "cuda": {"version": "1", "driver_version": "2"},
    }
    hardware = thermal | {"cpu": {"platform": "x"}, "collected_at": "2026-01-01T00:00:00Z"}
    snapshot = {"hardware": hardware, "python_version": "3", "installed_packages": [], "tool_version": "1"}
    nulls = dict.fromkeys(["extended_metrics", "thermal_throttle", "multi_gpu", "latency_stats"])
    other = put("b", raw(environment_snapshot=snapshot, extended_metrics={"memory": {}}, thermal_throttle={}))
    third = put("c", raw(**nulls))
    store = ResultStore(tmp_path)
    assert_reads_as_plainly(store, [record, other, third], store.scan().to_pydict())


def test_the_sidecar_that_is_there_is_named_as_loading_names_it(
    result: ExperimentResult, tmp_path: Path
) -> None:
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


def test_saved_at_is_when_the_record_was_written_also_before_1970(put: Put, tmp_path: Path) -> None:
    # Microseconds, cut off at the one before.
    for name, nanoseconds in {"a": 1_700_000_000_123_456_789, "b": 0, "c": -1_500_000}.items():
        os.utime(put(name), ns=(nanoseconds, nanoseconds))
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    micros = [1_700_000_000_123_456, 0, -1500]
    expected = [epoch + timedelta(microseconds=n) for n in micros]
    assert ResultStore(tmp_path).scan(["saved_at"]).to_pydict() == {"saved_at": expected}


def test_times_are_what_the_clock_said_and_the_instant_where_the_zone_is_told(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    told = {
        "2026-02-18T14:30:00": (14, None),
        "2026-02-18T14:30:00Z": (14, 14),
        "2026-02-18T14:30:00+05:30": (14, 9),
        "2026-02-18 14:30:00-00:00": (14, 14),
        "2026-02-18": (0, None),
    }
    for number, text in enumerate(told):
        put(f"{number}", raw(start_time=text))
    columns = ResultStore(tmp_path).scan(["start_time", "start_time.utc"]).to_pydict()
    assert [time.hour for time in columns["start_time"]] == [hour for hour, _ in told.values()]
    assert [time and time.hour for time in columns["start_time.utc"]] == [hour for _, hour in told.values()]
    assert all(time.tzinfo is None for time in columns["start_time"])
    assert all(time.tzinfo is timezone.utc for time in columns["start_time.utc"] if time)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30, 10**400])
def test_an_integer_that_no_column_holds_is_an_error_where_it_is_asked_for(
    put: Put, tmp_path: Path, number: int
) -> None:
    record = put("a", total_tokens=number)
    store = ResultStore(tmp_path)
    with pytest.raises(ResultError, match=r"a/result\.json"):
        store.scan(["total_tokens"]).to_pydict()
    assert store.scan(["path"]).to_pydict() == {"path": ["a"]}
    scan = store.scan(["total_tokens"], on_error="collect")
    assert scan.to_pydict() == {"total_tokens": []}
    assert list(scan.errors) == [record]


# Conditions.

VALUES: list[Any] = [0, 1, -1, 2**53, 2**53 + 1, 0.5, 1.0, float(2**53), math.nan, math.inf, -math.inf]


def holds(cell: Any, operator: str, value: Any) -> bool:
    """Compare as SQL does, but that None may be asked for."""
    if operator in ("in", "not in"):
        found = any(holds(cell, "==", item) for item in value)
        return found if operator == "in" else cell is not None and not found
    if value is None:
        return (cell is None) == (operator == "==")
    if cell is None:
        return False
    if isinstance(cell, (str, bool)) != isinstance(value, (str, bool)) or (
        isinstance(cell, (str, bool)) and type(cell) is not type(value)
    ):
        return operator == "!="
    compared: dict[str, Callable[[], bool]] = {
        "==": lambda: cell == value,
        "!=": lambda: cell != value,
        "<": lambda: cell < value,
        "<=": lambda: cell <= value,
        ">": lambda: cell > value,
        ">=": lambda: cell >= value,
    }
    return compared[operator]()


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
def test_a_condition_holds_as_it_does_in_sql(put: Put, tmp_path: Path, operator: str) -> None:
    cells = [None, *VALUES, 2**63, "", "x", "é", True, False]
    for number, cell in enumerate(cells):
        as_float = cell if isinstance(cell, (int, float)) else None
        put(f"{number:02}", flops_per_second=as_float, effective_config={"deep": {"x": cell}})
    store = ResultStore(tmp_path)
    operands = [*VALUES, "x", True, 2**63]
    if operator in ("==", "!="):
        operands.append(None)
    if operator.endswith("in"):
        operands = [[], [1, "x"], [None, True], (0.5, 2**53 + 1), {1.0}]

    # In a configuration, a float that is not finite is text, but to whoever asks about numbers.
    def read(operand: Any) -> list[Any]:
        asked = operand if isinstance(operand, (list, tuple, set)) else [operand]
        if any(isinstance(one, (int, float)) and not isinstance(one, bool) for one in asked):
            return cells
        return [
            str(c).replace("nan", "NaN").replace("inf", "Infinity")
            if isinstance(c, float) and not math.isfinite(c)
            else c
            for c in cells
        ]

    for operand in operands:
        where: Any = [("effective_config.deep.x", operator, operand)]
        expected = [f"{n:02}" for n, cell in enumerate(read(operand)) if holds(cell, operator, operand)]
        assert store.scan(["path"], where=where).to_pydict()["path"] == expected, operand
    floats = [float(c) if isinstance(c, (int, float)) else None for c in cells]
    for operand in VALUES if not operator.endswith("in") else [[], VALUES, [None], [np.float64(0.5)]]:
        where = [("flops_per_second", operator, operand)]
        expected = [f"{n:02}" for n, cell in enumerate(floats) if holds(cell, operator, operand)]
        assert store.scan(["path"], where=where).to_pydict()["path"] == expected, operand


def test_conditions_on_every_kind_of_column_all_hold(put: Put, tmp_path: Path) -> None:
    early = put(
        "early", backend="vllm", start_time="2026-01-01T00:00:00+01:00", thermal_throttle={"detected": True}
    )
    early.with_name("timeseries.parquet").touch()
    put("late", start_time="2026-03-01T00:00:00Z")
    put("naive", start_time="2026-03-01T00:00:00")
    store = ResultStore(tmp_path)

    def found(*where: Any) -> list[str]:
        return store.scan(["path"], where=where).to_pydict()["path"]

    march = datetime(2026, 3, 1, tzinfo=timezone.utc)
    assert found() == ["early", "late", "naive"]
    assert found(("backend", "!=", "vllm"), ("path", ">", "late")) == ["naive"]
    assert found(("path", "in", [Path("early"), "naive"])) == ["early", "naive"]
    assert found(("has_timeseries", "==", True)) == ["early"]
    assert found(("timeseries", "==", None)) == ["late", "naive"]
    assert found(("timeseries", "==", "timeseries.parquet")) == ["early"]
    assert found(("thermal_throttle.detected", "==", True)) == ["early"]
    assert found(("thermal_throttle.detected", "!=", True)) == []
    assert found(("thermal_throttle.detected", "==", None)) == ["late", "naive"]
    assert found(("total_tokens", "==", np.int64(1000)), ("backend", "==", np.str_("vllm"))) == ["early"]
    assert found(("start_time", ">=", march.replace(tzinfo=None))) == ["late", "naive"]
    assert found(("start_time.utc", "<", march)) == ["early"]
    assert found(("start_time.utc", "<", "2026-01-01T00:00:00+01:00")) == []
    assert found(("start_time.utc", "==", None)) == ["naive"]
    assert found(("saved_at", ">", "1990-01-01T00:00:00Z")) == ["early", "late", "naive"]
    assert found(("effective_config.nope", "==", None)) == ["early", "late", "naive"]


# Configurations.


def test_named_keys_alone_are_read_whatever_the_others_are(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"a.b": 1, "deep": {"x": 1, "y": {"z": [1, 2]}}, "n": 1})
    put("b", effective_config={"deep": {"x": 2.5, "y": None}, "n": "x"})
    names = [
        'effective_config."a.b"',
        "effective_config.deep.x",
        "effective_config.deep.y",
        "effective_config.no",
    ]
    scan = ResultStore(tmp_path).scan(names)
    assert scan.schema.names == names
    assert scan.schema.types == ["int64", "double", "string", "string"]
    columns = list(scan.to_pydict().values())
    assert columns == [[1, None], [1.0, 2.5], ['{"z":[1,2]}', None], [None, None]]


def test_the_columns_stay_what_they_were_found_to_be(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"x": 1})
    scan = ResultStore(tmp_path).scan(["path", "effective_config"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"], "effective_config.x": [1]}
    put("b", effective_config={"x": 2, "new": 1})
    record = put("c", effective_config={"x": 0.5})
    assert scan.to_pydict() == {"path": ["a", "b"], "effective_config.x": [1, 2]}
    assert list(scan.errors) == [record]
    assert "scan anew" in str(scan.errors[record])


def test_a_tree_of_too_many_keys_says_so_and_can_be_read_by_name(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={f"k{n}": n for n in range(10_001)})
    store = ResultStore(tmp_path)
    with pytest.raises(ValueError, match="more than 10000 different keys; name the columns"):
        store.scan().to_pydict()
    assert store.scan(["effective_config.k10000"]).to_pydict() == {"effective_config.k10000": [10_000]}


def test_a_tree_that_is_too_large_to_keep_is_read_again_and_says_the_same(
    tmp_path: Path, make_result: Make
) -> None:
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


@pytest.mark.parametrize(
    "condition",
    [("backend", "==", "vllm"), ("effective_config.x", "==", 1), ("path", "<", "b")],
    ids=lambda c: c[0],
)
def test_a_row_that_is_not_wanted_need_not_fit_the_columns(put: Put, tmp_path: Path, condition: Any) -> None:
    put("a", backend="vllm", effective_config={"x": 1})
    put("b", effective_config={"x": 2.5})
    scan = ResultStore(tmp_path).scan(["effective_config.x"], where=[condition])
    assert scan.to_pydict() == {"effective_config.x": [1]}
    assert scan.to_pydict() == {"effective_config.x": [1]}


@pytest.mark.parametrize(
    "name", ["multi_gpu", "extended_metrics", "environment_snapshot", "thermal_throttle"]
)
def test_a_condition_on_an_object_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ResultStore(tmp_path).scan(["path"], where=[(name, "!=", None)])


def test_a_column_deep_in_another_is_refused_with_the_reason(tmp_path: Path) -> None:
    names = ["process_results", "process_results.energy_metrics.total_energy_j"]
    with pytest.raises(ValueError, match="the second is within the first"):
        ResultStore(tmp_path).scan(names)


def test_a_condition_within_a_list_is_refused_with_the_reason_whatever_the_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lists or JSON"):
        ResultStore(tmp_path).scan(where=[("process_results.gpu_id", "==", 1)])


@pytest.mark.parametrize("config", [{"x": "MARK"}, {"x": ["MARK"]}])
def test_a_lone_surrogate_is_an_error_as_it_is_when_loaded(
    put: Put, raw: Callable[..., str], tmp_path: Path, config: dict[str, Any]
) -> None:
    record = put("a", raw(effective_config=config).replace("MARK", "\\ud800"))
    with pytest.raises(ResultCorruptError):
        ExperimentResult.from_json(record)
    with pytest.raises(LLEMError):
        ResultStore(tmp_path).scan(["effective_config"]).to_pydict()


def test_a_time_in_seconds_is_the_instant_that_loading_gives(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    record = put("a", raw(start_time="1700000000"))
    loaded = ExperimentResult.from_json(record).start_time
    assert ResultStore(tmp_path).scan(["start_time.utc"]).to_pydict() == {"start_time.utc": [loaded]}


def test_digits_beyond_the_microsecond_are_cut_off_as_loading_does(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    record = put("a", raw(start_time="2026-02-18T14:30:00.123456789"))
    loaded = ExperimentResult.from_json(record).start_time
    assert ResultStore(tmp_path).scan(["start_time"]).to_pydict() == {"start_time": [loaded]}


def test_a_year_that_no_datetime_holds_is_a_bad_file(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    record = put("a", raw(start_time="0000-01-01T00:00:00"))
    scan = ResultStore(tmp_path).scan(["start_time"], on_error="collect")
    assert scan.to_pydict() == {"start_time": []}
    assert list(scan.errors) == [record]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00"])
def test_an_instant_that_no_datetime_holds_does_not_end_the_scan(
    put: Put, raw: Callable[..., str], tmp_path: Path, text: str
) -> None:
    ExperimentResult.from_json(put("a", raw(start_time=text)))
    put("b")
    scan = ResultStore(tmp_path).scan(["path", "start_time", "start_time.utc"], on_error="collect")
    assert "b" in scan.to_pydict()["path"]


def test_a_record_written_in_the_far_future_does_not_end_the_scan(put: Put, tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("no file system that is known to hold such times")
    with tempfile.TemporaryDirectory(dir=shared) as root:
        put("a").parent.rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", Path(root) / "a")
        os.utime(Path(root) / "a" / "result.json", (3e11, 3e11))
        if (Path(root) / "a" / "result.json").stat().st_mtime != 3e11:
            pytest.skip("the file system does not hold such times")
        scan = ResultStore(root).scan(["path", "saved_at"], on_error="collect")
        assert scan.to_pydict()["path"] == ["a"] or scan.errors


def test_a_sidecar_that_is_a_symlink_is_named_as_loading_names_it(put: Put, tmp_path: Path) -> None:
    record = put("a")
    (tmp_path / "trace").write_bytes(b"trace")
    record.with_name("timeseries.parquet").symlink_to("../trace")
    loaded = ExperimentResult.from_json(record).timeseries
    assert ResultStore(tmp_path).scan(["timeseries"]).to_pydict() == {"timeseries": [loaded]}


def test_a_number_beyond_the_range_of_floats_makes_a_bad_file_and_no_infinity(
    put: Put, raw: Callable[..., str], tmp_path: Path
) -> None:
    put("a", raw(total_energy_j=0.5).replace('"total_energy_j": 0.5', '"total_energy_j": 1e400'))
    with pytest.raises(ResultError, match="number out of range"):
        ResultStore(tmp_path).scan(["total_energy_j"]).to_pydict()


@pytest.mark.parametrize("where", [None, [("backend", "==", "pytorch")]])
def test_only_keys_of_rows_become_columns(
    put: Put, raw: Callable[..., str], tmp_path: Path, where: Any
) -> None:
    put("a", effective_config={"x": 1})
    if where is None:
        put("b", raw(effective_config={"y": 1}).replace('"y": 1', '"y": 1, "z": 1, "y": 2'))
    else:
        put("b", backend="vllm", effective_config={"y": 1})
    scan = ResultStore(tmp_path).scan(["effective_config"], where=where, on_error="collect")
    assert scan.schema.names == ["effective_config.x"]


def test_a_value_that_does_not_fit_is_never_null_in_silence(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"x": 1})
    late = [put(f"z/{number:03}", effective_config={"x": 2}) for number in range(100)]
    nested: list[bool] = []

    def change_the_tree(_: int, __: int | None) -> None:
        # Another reader of the same scan finds the columns first; then a record comes that does not fit.
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
def test_progress_counts_up_to_all_and_never_back(put: Put, tmp_path: Path, how: str) -> None:
    for number in range(200):
        put(f"{number:03}")
    seen: list[int] = []
    scan = ResultStore(tmp_path).scan(
        None if how == "all" else ["path"], progress=lambda n, _: seen.append(n)
    )
    if how == "all":
        scan.to_pydict()
    else:
        pa = pytest.importorskip("pyarrow")
        assert pa.table(scan).num_rows == 200
    assert seen
    assert seen == sorted(seen)
    assert seen[-1] == 200


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (("backend", "in", "pytorch"), "a list"),
        (("total_tokens", "<", 10**40), "integer"),
        (("backend", "<", None), "None"),
    ],
)
def test_a_condition_that_is_refused_says_why(tmp_path: Path, condition: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        ResultStore(tmp_path).scan(["path"], where=[condition])


def test_a_hint_names_each_column_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no column") as caught:
        ResultStore(tmp_path).scan(["tokens"])
    hints = str(caught.value).rpartition("there is ")[2].split(", ")
    assert len(hints) == len(set(hints))


def test_a_condition_on_a_number_knows_those_that_are_not_finite(put: Put, tmp_path: Path) -> None:
    for number, value in enumerate([0.5, 1.5, math.inf, math.nan, "text"]):
        put(f"{number}", effective_config={"x": value})

    def found(operator: Any, value: object) -> list[str]:
        scan = ResultStore(tmp_path).scan(["path"], where=[("effective_config.x", operator, value)])
        return list(scan.to_pydict()["path"])

    assert found(">", 1.0) == ["1", "2"]
    assert found("==", math.inf) == ["2"]
    assert found("in", [0.5, math.inf]) == ["0", "2"]
    assert found("==", "Infinity") == ["2"]


def test_a_tree_of_too_many_keys_is_refused_whoever_has_them(put: Put, tmp_path: Path) -> None:
    for number in range(60):
        put(f"{number:02}", effective_config={f"k{number}-{key}": 1 for key in range(200)})
    put("z", effective_config={"x": 1})
    with pytest.raises(ValueError, match="more than 10000 different keys"):
        ResultStore(tmp_path).scan(["effective_config"]).to_pydict()
    few = ResultStore(tmp_path).scan(["effective_config"], where=[("path", "==", "z")])
    assert few.to_pydict() == {"effective_config.x": [1]}


def test_a_key_that_is_only_asked_about_may_be_of_any_kind_later(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"a": 1, "b": 1})
    scan = ResultStore(tmp_path).scan(["effective_config.a"], where=[("effective_config.b", "!=", 0)])
    assert scan.to_pydict() == {"effective_config.a": [1]}
    put("b", effective_config={"a": 2, "b": "text"})
    assert scan.to_pydict() == {"effective_config.a": [1, 2]}
