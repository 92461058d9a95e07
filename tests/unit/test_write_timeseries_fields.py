"""Fields of samples: their names, values, devices and extra columns."""

from __future__ import annotations

import math
import sqlite3
from collections import namedtuple
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results._samples import FIELDS, nearest
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet
from support.optional import load, needs
from support.traces import TRACE_SCHEMA

pd = load("pandas")

TIMES = [np.datetime64(1, "s"), np.timedelta64(1, "ns"), datetime(2026, 5, 4), timedelta(1)]  # noqa: DTZ001
TYPES = [
    *TIMES,
    np.bool_(1),
    True,
    "1",
    b"1",
    np.str_("1"),
    [1],
    np.array([1.0]),
    1j,
    np.complex64(1),
    object(),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.parquet"


@pytest.mark.parametrize("value", TYPES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("field", [field for field in FIELDS if field != "timestamp"])
def test_write_timeseries_rejects_a_value_that_is_not_a_number(field: str, value: Any, path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{field} of sample 1 expects an? (number|integer), got \w+"):
        write_timeseries_parquet([{"timestamp": 0}, {"timestamp": 1, field: value}], path)
    assert not path.exists()


@pytest.mark.parametrize(
    "value", [0.5, 1.0, math.nan, Fraction(1, 2), np.float64(1), -2, 1 << 31, np.int64(1 << 31)]
)
def test_write_timeseries_rejects_a_gpu_index_that_is_not_one(value: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="gpu_index of sample 0 expects"):
        write_timeseries_parquet([{"timestamp": 0, "gpu_index": value}], path)


@pytest.mark.parametrize(
    "value", [5, 5.0, np.int8(5), np.float16(5), np.float32(5), Fraction(5), np.array(5.0)]
)
def test_write_timeseries_accepts_numbers_of_any_type(value: Any, path: Path) -> None:
    trace = read_timeseries(write_timeseries_parquet([{"timestamp": value, "power_w": value}], path))
    assert trace.power_w == [5.0]


def test_write_timeseries_accepts_scalars_of_tensors(path: Path) -> None:
    scalar = SimpleNamespace(shape=(), item=lambda: 5.0)
    assert read_timeseries(write_timeseries_parquet([{"timestamp": 0, "power_w": scalar}], path)).power_w == [
        5.0
    ]
    for other in (
        SimpleNamespace(shape=(1,), item=lambda: 5.0),
        SimpleNamespace(shape=(), item=lambda: True),
    ):
        with pytest.raises(ValueError, match="expects a number, got SimpleNamespace"):
            write_timeseries_parquet([{"timestamp": 0, "power_w": other}], path)
    watts = type("Quantity", (float,), {"units": "kW"})(5.0)
    with pytest.raises(ValueError, match="expects a number, got Quantity"):
        write_timeseries_parquet([{"timestamp": 0, "power_w": watts}], path)


@needs("pandas")
def test_write_timeseries_accepts_missing_values_of_pandas(path: Path) -> None:
    frame = pd.DataFrame({"timestamp": [0, 1], "power_w": pd.array([5.0, None], "Float64")})
    for samples in (frame.to_dict("records"), [row for _, row in frame.astype(object).iterrows()]):
        assert read_timeseries(write_timeseries_parquet(samples, path)).power_w == [5.0, None]


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("power", "power_w"),
        ("power_W", "power_w"),
        ("powerw", "power_w"),
        ("power.draw", "power_w"),
        ("watts", "power_w"),
        ("gpu", "gpu_index"),
        ("GPU", "gpu_index"),
        ("gpu_id", "gpu_index"),
        ("index", "gpu_index"),
        ("device", "gpu_index"),
        ("time", "timestamp"),
        ("timestamp_s", "timestamp"),
        ("temperature_C", "temperature_c"),
        ("temp", "temperature_c"),
        ("memory_used", "memory_used_mb"),
        ("sm_utilization", "sm_utilisation"),
        ("sm_utilisation_pct", "sm_utilisation"),
        ("throttle_reason", "throttle_reasons"),
    ],
)
def test_write_timeseries_with_unknown_key_names_the_nearest_field(key: str, field: str, path: Path) -> None:
    assert nearest(key) == field
    with pytest.raises(
        ValueError, match=rf"key '{key}' of sample 1 is unknown; write {field}, or name it in extra="
    ):
        write_timeseries_parquet([{"timestamp": 0.0}, {"timestamp": 1.0, key: 1.0}], path)
    misspelt = SimpleNamespace(**{"timestamp": 0.0, "temperature_c": 1.0, key: 1.0})
    if hasattr(misspelt, field):
        write_timeseries_parquet([misspelt], path)
    else:
        with pytest.raises(ValueError, match=rf"attribute '{key}' of sample 0 is unknown; write {field}"):
            write_timeseries_parquet([misspelt], path)


@pytest.mark.parametrize("key", ["fan_pct", "", 7, None, "x" * 500])
def test_write_timeseries_with_unknown_key_of_no_field_lists_them(key: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="use one of timestamp, gpu_index, power_w"):
        write_timeseries_parquet([{"timestamp": 0.0, key: 1.0}], path)


def test_write_timeseries_accepts_objects_with_attributes_of_their_own(path: Path) -> None:
    @dataclass
    class Reading:
        timestamp: float
        power_w: float
        throttle_reasons: int = 0
        thermal_throttle: bool = False
        host: str = "node1"

    slots: Any = type("Slots", (), {"__slots__": ("power_w", "serial", "timestamp")})()
    slots.timestamp, slots.power_w = 1.0, 6.0
    pair = namedtuple("pair", ["timestamp", "watts"])  # noqa: PYI024 - the plainest kind
    assert read_timeseries(write_timeseries_parquet([Reading(0.0, 5.0), slots], path)).power_w == [5.0, 6.0]
    with pytest.raises(ValueError, match="attribute 'watts' of sample 0 is unknown; write power_w"):
        write_timeseries_parquet([pair(0.0, 5.0)], path)


def test_write_timeseries_accepts_rows_of_databases_and_arrays(path: Path) -> None:
    base = sqlite3.connect(":memory:")
    base.row_factory = sqlite3.Row
    array = np.array([(0.0, 5.0), (1.0, 6.0)], [("timestamp", "f8"), ("power_w", "f4")])
    found = base.execute("select 0.0 as timestamp, 5.0 as power_w union select 1.0, 6.0").fetchall()
    base.close()
    for samples in (found, array, array.view(np.recarray)):
        assert read_timeseries(write_timeseries_parquet(samples, path)).power_w == [5.0, 6.0]
    with pytest.raises(ValueError, match="key 'watts' of sample 0"):
        write_timeseries_parquet(np.array([(0.0, 5.0)], [("timestamp", "f8"), ("watts", "f4")]), path)


def test_write_timeseries_with_extra_columns_infers_their_types(path: Path) -> None:
    samples = [
        {"timestamp": 0.0, "fan_pct": 30, "host": "a", "is_hot": False, "empty": None},
        {"timestamp": 0.5, "fan_pct": np.int64(31), "host": np.str_("b"), "is_hot": np.bool_(True)},  # noqa: FBT003
        {"timestamp": 1.0, "fan_pct": math.nan, "empty": math.nan},
        SimpleNamespace(timestamp=2.0, fan_pct=50.5, host="c", is_hot=False),
    ]
    write_timeseries_parquet(samples, path, extra=["fan_pct", "host", "is_hot", "empty"])
    table = pq.read_table(path)
    assert table.schema.equals(
        pa.schema(
            [
                *TRACE_SCHEMA,
                ("fan_pct", pa.float64()),
                ("host", pa.string()),
                ("is_hot", pa.bool_()),
                ("empty", pa.float64()),
            ]
        )
    )
    assert table["fan_pct"].to_pylist() == [30.5, None, 50.5]
    assert table["host"].to_pylist() == ["b", None, "c"]
    assert table["is_hot"].to_pylist() == [True, None, False]
    assert table["empty"].to_pylist() == [None] * 3
    assert len(read_timeseries(path)) == 3
    write_timeseries_parquet([], path, extra=iter(["fan_pct"]))
    assert pq.read_table(path).column_names[-1] == "fan_pct"


def test_write_timeseries_with_extra_columns_feeds_a_scan(result: ExperimentResult, path: Path) -> None:
    samples = [{"timestamp": second, "power_w": 1.0, "fan_pct": 30 + second} for second in range(3)]
    result.save(path.parent / "results", write_timeseries_parquet(samples, path, extra=["fan_pct"]))
    scan = ResultStore(path.parent / "results").scan_timeseries(["timestamp_s", "fan_pct"])
    assert [row for batch in scan for row in batch.to_pydict()["fan_pct"]] == [30.0, 31.0, 32.0]


@pytest.mark.parametrize(
    ("extra", "values", "error", "text"),
    [
        ("fan", [1], TypeError, r"extra expects a list of names, got str; write \['fan'\]"),
        ([1], [1], TypeError, "extra expects names, got int"),
        (["power_w"], [1], ValueError, "names of other columns than those of a trace, got 'power_w'"),
        (["timestamp_s"], [1], ValueError, "got 'timestamp_s'"),
        (["x"], [1, "a"], ValueError, "x of sample 1 expects float, as sample 0 has, got str"),
        (["x"], [1, True], ValueError, "x of sample 1 expects float, as sample 0 has, got bool"),
        (["x"], [datetime(2026, 1, 1)], ValueError, "expects a number, a text or a boolean, got datetime"),  # noqa: DTZ001
        (["x"], [[1]], ValueError, "x of sample 0 expects a number, a text or a boolean, got list"),
        (["x"], [np.datetime64(1, "s")], ValueError, r"got datetime64\[s\]"),
    ],
)
def test_write_timeseries_with_invalid_extra_names_it(
    extra: Any, values: list[Any], error: type[Exception], text: str, path: Path
) -> None:
    samples = [{"timestamp": second, "x": value} for second, value in enumerate(values)]
    with pytest.raises(error, match=text):
        write_timeseries_parquet(samples, path, extra=extra)
    assert not path.exists()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"power_w": 100.0}, {"power_w": 101.0}),
        ({"power_w": 100.0, "temperature_c": 40}, {"power_w": 100.0, "temperature_c": 41}),
        ({"throttle_reasons": 0}, {"throttle_reasons": 4}),
    ],
)
def test_write_timeseries_of_several_devices_without_index_raises(
    one: dict[str, Any], other: dict[str, Any], path: Path
) -> None:
    for second in ({}, {"gpu_index": None}):
        samples = [{"timestamp": 5} | one, {"timestamp": 6} | one, {"timestamp": 5.0} | other | second]
        with pytest.raises(
            ValueError, match="sample 2 expects another timestamp than sample 0, got the same"
        ):
            write_timeseries_parquet(samples, path)
    # With an index, samples of one time are readings of a clock that is coarse.
    samples = [sample | {"gpu_index": 0} for sample in samples]
    assert len(read_timeseries(write_timeseries_parquet(samples, path))) == 2


@pytest.mark.parametrize("gpu_index", [0, 3])
def test_write_timeseries_of_devices_of_which_one_has_an_index_raises(gpu_index: int, path: Path) -> None:
    samples: list[dict[str, Any]] = []
    for second in range(3):
        samples += [
            {"timestamp": second, "power_w": 100.0, "gpu_index": gpu_index},
            {"timestamp": second, "power_w": 300.0},
        ]
    with pytest.raises(
        ValueError, match="sample 1 expects a gpu_index, as sample 0 of the same timestamp has"
    ):
        write_timeseries_parquet(samples, path, gpu_index=gpu_index)
    # Without a conflict, the parameter is the GPU of those without one.
    trace = read_timeseries(write_timeseries_parquet(samples, path, gpu_index=gpu_index + 1))
    assert trace.energy_per_gpu_j == {gpu_index: 200.0, gpu_index + 1: 600.0}


def test_write_timeseries_of_several_equal_devices_without_index_raises(path: Path) -> None:
    samples = [{"timestamp": second, "power_w": 100.0} for second in range(11) for _ in range(8)]
    with pytest.raises(ValueError, match=r"several for 11 of 11 timestamps.*add the gpu_index"):
        write_timeseries_parquet(samples, path)
    samples = [sample | {"gpu_index": place % 8} for place, sample in enumerate(samples)]
    assert read_timeseries(write_timeseries_parquet(samples, path)).energy_j == 8000.0


def test_write_timeseries_joins_quantities_of_one_time(path: Path) -> None:
    samples: list[dict[str, Any]] = []
    for second in range(3):
        samples += [{"timestamp": second, "power_w": 5.0}, {"timestamp": second, "temperature_c": 40.0}]
    trace = read_timeseries(write_timeseries_parquet(samples, path))
    assert (trace.power_w, trace.temperature_c, trace.warnings) == ([5.0] * 3, [40.0] * 3, [])


def test_write_timeseries_of_repeated_samples_notes_it_in_the_trace(
    result: ExperimentResult, path: Path
) -> None:
    samples = [{"timestamp": second, "power_w": 5.0} for second in (0, 1, 1, 2, 3)]
    note = "samples: 1 of 4 timestamps have several equal samples, first sample 1"
    trace = read_timeseries(write_timeseries_parquet(samples, path))
    assert trace.warnings == [note]
    for source in (path, trace, pq.read_table(path)):
        assert read_timeseries(result.save(path.parent / "results", source)).warnings == [note]


def test_write_timeseries_of_a_clock_that_steps_back_notes_it_in_the_trace(path: Path) -> None:
    times = [0, 1, 2, 3, 1.5, 2.5, 3.5]
    samples = [{"timestamp": 100 + time, "power_w": 5.0, "gpu_index": 3} for time in times]
    (warning,) = read_timeseries(write_timeseries_parquet(samples, path)).warnings
    assert warning.startswith("samples of GPU 3: the time steps back once from 3 s to 1.5 s")
    (warning,) = read_timeseries(
        write_timeseries_parquet(
            [{"timestamp": time, "power_w": 5.0} for time in (0, 1, 2, 3602, 3603)], path
        )
    ).warnings
    assert warning.startswith("GPU 0: the time jumps from 2 s to 3602 s")


def test_read_timeseries_of_several_devices_without_index_has_no_energy(path: Path) -> None:
    columns = {"timestamp_s": [0.0, 0.0, 1.0, 1.0], "power_w": [100.0, 300.0] * 2}
    pq.write_table(pa.table(columns), path)
    trace = read_timeseries(path)
    assert (trace.energy_j, trace.mean_power_w, trace.power_w) == (None, None, [100.0, 300.0] * 2)
    assert "the trace has no gpu_index, and 2 different rows at 0 s" in trace.warnings[0]
    pq.write_table(pa.table(columns | {"gpu_index": [0, 1] * 2}), path)
    assert read_timeseries(path).energy_j == 400.0


@needs("pandas")
@pytest.mark.parametrize("form", ["frame", "table", "columns"])
def test_write_timeseries_of_a_table_is_refused(form: str, path: Path) -> None:
    columns = {"timestamp": [0.0, 1.0], "power_w": [1.0, 2.0]}
    table = {"frame": pd.DataFrame, "table": pa.table, "columns": dict}[form](columns)
    with pytest.raises(TypeError, match="expected an iterable of samples, got"):
        write_timeseries_parquet(table, path)
    assert not path.exists()


def test_write_timeseries_of_rows_without_names_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"sample 0 expects a timestamp among named fields, .* got tuple"):
        write_timeseries_parquet([(0.0, 1.0)], path)


@needs("pandas")
def test_write_timeseries_row_number_of_pandas_is_no_gpu_index(path: Path) -> None:
    frame = pd.DataFrame({"timestamp": [0.0, 1.0, 2.0], "power_w": [1.0, 2.0, 3.0]})
    write_timeseries_parquet(frame.itertuples(), path)
    trace = read_timeseries(path)
    assert (trace.gpu_index, trace.power_w) == ([0, 0, 0], [1.0, 2.0, 3.0])
