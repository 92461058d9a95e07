"""Rows of a scan equal a plain reading of the records in Python, to the last bit."""

from __future__ import annotations

import json
import math
import struct
import types
import typing
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure._store import quoted_key

pytestmark = pytest.mark.published

Make = Callable[..., ExperimentResult]
Put = Callable[..., Path]
Models = Callable[[type[BaseModel]], st.SearchStrategy[Any]]
slow = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=60
)
I64, U64 = range(-(2**63), 2**63), range(2**64)


def bits(value: Any) -> Any:
    """Return a value that equals only itself, so that NaN and the sign of zero count."""
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
    """Return a dumped model as columns; JSON columns stay as they are."""
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
    if any(unicodedata.category(mark) == "Cn" for mark in key):
        return quoted_key(key)  # a newer Unicode than Python's has this character
    special = set('.",=!<>~')
    if key and key.strip() == key and key.isprintable() and not special & set(key):
        return key
    marks = json.dumps(key, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else json.dumps(mark)[1:-1] for mark in marks)


def plain_keys(config: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in config.items():
        found |= plain_keys(value, (*above, key)) if isinstance(value, dict) and value else {}
        if not isinstance(value, dict) or not value:
            place = (*above, key)
            found[place] = value
    return found


def plain_kind(values: list[Any]) -> Any:
    """Return the type that holds all values: bool, int, float, str, or None for JSON."""
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
    """Check that every column equals that of the plain reading."""
    loaded = [ExperimentResult.from_json(place, missing_sidecar="ignore") for place in places]
    rows = [plain_row(ExperimentResult, result.model_dump()) for result in loaded]
    configs = plain_config([result.effective_config for result in loaded])
    own = {"path", "has_timeseries", "saved_at"}
    assert set(columns) == set(rows[0]) | set(configs) | own
    assert columns["path"] == [str(place.parent.relative_to(store.root)) for place in places]
    for name in rows[0]:
        # A table has no integer beyond 64 bits.
        expected = [None if type(row[name]) is int and row[name] not in I64 else row[name] for row in rows]
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


@pytest.mark.slow
def test_scan_any_results_matches_a_plain_reading(
    models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @slow
    @given(results=st.lists(models(ExperimentResult), min_size=1, max_size=3))
    def read_as_they_load(results: list[ExperimentResult]) -> None:
        root = tmp_path_factory.mktemp("results")
        store = ResultStore(root)
        places = []
        for number, result in enumerate(results):
            place = root / f"{number}" / "result.json"
            place.parent.mkdir()
            place.write_text(result.model_dump_json(indent=2 if number else None))
            places.append(place)
        scan = store.scan(on_error="collect", batch_size=2)
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                columns = scan.to_pydict()
            assert scan.errors == {}
            assert_reads_as_plainly(store, places, columns)

    read_as_they_load()


@pytest.mark.slow
def test_scan_any_configurations_matches_a_plain_inference(
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


def test_scan_real_measurements_matches_a_plain_reading(data: Path, tmp_path: Path) -> None:
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


def test_scan_absent_fields_returns_defaults_and_nulls(
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
