"""Models of a result: values that they accept, normalise and reject."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from llenergymeasure import ExperimentResult, load_result
from llenergymeasure.domain import environment, experiment, metrics
from llenergymeasure.domain._base import Model
from llenergymeasure.domain.experiment import (
    AggregatedResult,
    RawProcessResult,
    Timestamps,
    compute_measurement_config_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Models = Callable[[type[BaseModel]], st.SearchStrategy[Any]]

pytestmark = pytest.mark.published


slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def test_save_and_load_any_result_gives_equal_values_and_bytes(
    models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @slow
    @given(result=models(ExperimentResult))
    def comes_back(result: ExperimentResult) -> None:
        path = result.save(tmp_path_factory.mktemp("results"), durable=False)
        loaded = load_result(path, missing_sidecar="ignore")
        assert loaded == result
        assert loaded.model_dump_json(indent=2).encode() == path.read_bytes()

    comes_back()


@pytest.mark.parametrize(
    "model",
    [
        model
        for module in (metrics, environment, experiment)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, Model) and model is not Model
    ],
)
def test_validate_every_model_is_frozen_strict_and_reversible(model: type[Model], models: Models) -> None:
    @settings(slow, max_examples=10)
    @given(instance=models(model))
    def comes_back(instance: Model) -> None:
        assert model.model_validate_json(instance.model_dump_json()) == instance
        with pytest.raises(ValidationError, match="frozen"):
            setattr(instance, next(iter(model.model_fields)), None)

    comes_back()
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model(**{"no such field": 1})


@pytest.mark.parametrize(
    ("value", "written"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_write_non_finite_float_uses_a_string_that_loads_as_float(
    value: float, written: str, make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    result = make_result(total_energy_j=value, energy_per_device_j=[value], steady_state_window=(value, 1.0))
    path = result.save(tmp_path)
    assert path.read_text().count(f'"{written}"') == 3
    loaded = load_result(path)
    for read in (loaded.total_energy_j, loaded.energy_per_device_j[0], loaded.steady_state_window[0]):  # type: ignore[index]
        assert isinstance(read, float)
        assert str(read) == str(value)
    assert loaded.save(tmp_path).read_bytes() == path.read_bytes()


class Precision(Enum):
    FP16 = "fp16"


class Decoder(BaseModel):
    top_k: int = 50
    stop: tuple[str, ...] = ("\n",)


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ((1, (2,)), [1, [2]]),
        (PurePosixPath("/models/x"), "/models/x"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),  # noqa: DTZ001
        (date(2026, 1, 2), "2026-01-02"),
        (Precision.FP16, "fp16"),
        (math.nan, "NaN"),
        ([-math.inf, {"x": math.inf}], ["-Infinity", {"x": "Infinity"}]),
        ({1: "a", Precision.FP16: "b", PurePosixPath("c"): "c"}, {"1": "a", "fp16": "b", "c": "c"}),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (b"bytes", "bytes"),
        (Decoder(), {"top_k": 50, "stop": ["\n"]}),
        (np.float64(0.5), 0.5),
        (np.float32("nan"), "NaN"),
        (np.int64(7), 7),
        (np.datetime64("2026-01-01T00:00:01", "ns"), "2026-01-01T00:00:01.000000000"),
        (np.array(["2026-01-01"], dtype="datetime64[D]"), ["2026-01-01"]),
        ({("a", 1)}, [["a", 1]]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (2**64, 2**64),
    ],
)
def test_validate_config_value_normalises_it_to_json(
    value: object, normal: object, make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    result = make_result(effective_config={"value": value})
    assert result.effective_config == {"value": normal}
    assert type(result.effective_config["value"]) is type(normal)
    assert load_result(result.save(tmp_path)) == result


def nested(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "value is a object, which JSON cannot represent"),
        ([{"x": print}], r"value\[0\].x is a builtin_function_or_method"),
        ("\ud800", "value has a lone surrogate"),
        (np.float16, "value is a type"),
        (np.longdouble(1), "value is a longdouble"),
        (np.timedelta64(5, "ns"), "value is a timedelta64"),
        ({"\udfff": 1}, "value has a lone surrogate"),
        ({(1, 2): 3}, "key of type tuple"),
        ({1: 1, "1": 2}, "the key '1' twice"),
        pytest.param(10**4299, "more than 4299 digits", id="huge"),
        (nested(200), "more than 128 levels"),
    ],
)
def test_validate_rejects_values_that_json_cannot_represent(
    value: object, reason: str, make_result: Callable[..., ExperimentResult]
) -> None:
    with pytest.raises(ValidationError, match=reason):
        make_result(effective_config={"value": value})


def test_validate_rejects_recursive_config(make_result: Callable[..., ExperimentResult]) -> None:
    config: dict[str, Any] = {}
    config["self"] = config
    with pytest.raises(ValidationError, match="more than 128 levels"):
        make_result(effective_config=config)


def test_save_and_load_deepest_nesting_succeeds(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    result = make_result(effective_config={"value": nested(127)})
    assert load_result(result.save(tmp_path)) == result


@pytest.mark.parametrize("field", ["experiment_id", "backend", "reproducibility_notes", "timeseries"])
def test_validate_rejects_lone_surrogate_in_text(
    field: str, make_result: Callable[..., ExperimentResult]
) -> None:
    with pytest.raises(ValidationError, match="unicode"):
        make_result(**{field: "a\ud800"})


def test_validate_rejects_integer_of_too_many_digits(make_result: Callable[..., ExperimentResult]) -> None:
    with pytest.raises(ValidationError, match="4299 digits"):
        make_result(total_tokens=10**4299)


def test_validate_rejects_other_schema_line(
    make_result: Callable[..., ExperimentResult],
) -> None:
    with pytest.raises(ValidationError, match=r"expected schema line '2\.0', got '3\.0'"):
        make_result(schema_version="3.0")


def test_validate_times_keeps_offset_and_instant(make_result: Callable[..., ExperimentResult]) -> None:
    paris = datetime(2020, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1)
    odd = datetime(2020, 1, 1, tzinfo=timezone(timedelta(seconds=3208)))
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    result = make_result(start_time=paris, end_time=odd)
    assert result.start_time.isoformat() == "2020-10-25T02:30:00+01:00"
    assert result.end_time == odd
    assert result.end_time.utcoffset() == timedelta(0)
    assert make_result(start_time=naive).start_time.tzinfo is None
    again = ExperimentResult.model_validate_json(result.model_dump_json())
    assert again.start_time.utcoffset() == result.start_time.utcoffset()


def test_validate_subclass_of_datetime_becomes_a_datetime(
    make_result: Callable[..., ExperimentResult],
) -> None:
    class Nanoseconds(datetime):
        pass

    result = make_result(start_time=Nanoseconds(2026, 1, 1, tzinfo=timezone.utc))
    assert type(result.start_time) is datetime
    edge = datetime.min.replace(tzinfo=timezone(timedelta(hours=1, seconds=1)))
    with pytest.raises(ValidationError, match="out of range"):
        make_result(start_time=edge)


def test_compute_properties_returns_duration_and_tokens_per_joule(
    make_result: Callable[..., ExperimentResult],
) -> None:
    assert make_result().duration_sec == 10.0
    assert make_result().tokens_per_joule == 1000 / 250.5
    assert make_result(total_energy_j=0.0).tokens_per_joule == 0.0
    assert make_result(total_tokens=10**400).tokens_per_joule == math.inf
    with pytest.raises(TypeError, match="offset-naive and offset-aware"):
        _ = make_result(start_time=datetime(2026, 1, 1, tzinfo=timezone.utc)).duration_sec


def test_validate_without_optional_fields_uses_the_schema_defaults(
    make_result: Callable[..., ExperimentResult],
) -> None:
    result = make_result(effective_config={})
    dumped = result.model_dump()
    given_fields = {
        "experiment_id",
        "measurement_config_hash",
        "measurement_methodology",
        "start_time",
        "end_time",
    }
    left = {name: value for name, value in dumped.items() if name not in given_fields and value is not None}
    notes = left.pop("reproducibility_notes")
    assert "NVML" in notes
    assert "accuracy" in notes
    assert left == {
        "schema_version": "2.0",
        "backend": "pytorch",
        "total_tokens": 1000,
        "total_energy_j": 250.5,
        "total_inference_time_sec": 10.0,
        "avg_tokens_per_second": 100.0,
        "avg_energy_per_token_j": 0.2505,
        "total_flops": 1e12,
        "measurement_warnings": [],
        "effective_config": {},
        "process_results": [],
    }
    assert AggregatedResult is ExperimentResult
    assert (
        RawProcessResult.model_fields["extended_metrics"].get_default(call_default_factory=True) is not None
    )


def test_list_fields_follows_the_order_of_the_real_file(data: Path) -> None:
    import json

    record = json.loads((data / "gpt2_a100_result.json").read_text())
    assert list(record) == list(ExperimentResult.model_fields)
    for name, model in (
        ("environment_snapshot", environment.EnvironmentSnapshot),
        ("extended_metrics", metrics.ExtendedEfficiencyMetrics),
        ("thermal_throttle", metrics.ThermalThrottleInfo),
    ):
        assert list(record[name]) == list(model.model_fields)


def test_make_timestamps_from_times_computes_the_duration() -> None:
    start, end = datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 1)  # noqa: DTZ001
    assert Timestamps.from_times(start, end) == Timestamps(start=start, end=end, duration_sec=60.0)


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ((2026, 3, 29, 1, 59), (2026, 3, 29, 3, 1), 120.0),
        ((2026, 10, 25, 2, 50), (2026, 10, 25, 2, 10), 1200.0),
        ((2026, 10, 25, 1, 0), (2026, 10, 25, 4, 0), 4 * 3600.0),
        ((2026, 7, 1, 12, 0), (2026, 7, 1, 12, 1), 60.0),
    ],
)
def test_make_timestamps_across_a_clock_change_counts_instants(
    start: tuple[int, ...], end: tuple[int, ...], seconds: float, make_result: Callable[..., ExperimentResult]
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    begin = datetime(*start, tzinfo=zone)  # type: ignore[misc,arg-type]
    finish = datetime(*end, tzinfo=zone, fold=int(end[3] == 2))  # type: ignore[misc,arg-type]
    times = Timestamps.from_times(begin, finish)
    assert times.duration_sec == seconds
    assert (times.end - times.start).total_seconds() == seconds
    assert make_result(start_time=begin, end_time=finish).duration_sec == seconds
    with pytest.raises(TypeError, match="offset-naive and offset-aware"):
        Timestamps.from_times(begin.replace(tzinfo=None), finish)


def test_hash_equal_configurations_ignores_key_order(
    json_objects: st.SearchStrategy[dict[str, Any]],
) -> None:
    @given(config=json_objects)
    def hash_alike(config: dict[str, Any]) -> None:
        digest = compute_measurement_config_hash(config)
        assert len(digest) == 16
        assert set(digest) <= set("0123456789abcdef")
        assert digest == compute_measurement_config_hash(dict(reversed(config.items())))

    hash_alike()


def test_hash_configuration_is_the_sha256_of_its_sorted_json() -> None:
    assert compute_measurement_config_hash({"b": (1, 2), "a": Path("x")}) == "5125d018f84d57c4"
    assert compute_measurement_config_hash({"a": 1}) != compute_measurement_config_hash({"a": 2})
    assert compute_measurement_config_hash(Decoder()) == compute_measurement_config_hash(
        {"stop": ["\n"], "top_k": 50}
    )

    class Tags(BaseModel):
        tags: set[str] = {"a", "b", "c", "d"}

    assert compute_measurement_config_hash(Tags()) == compute_measurement_config_hash(
        {"tags": ["a", "b", "c", "d"]}
    )
    with pytest.raises(TypeError, match="got list"):
        compute_measurement_config_hash([])
