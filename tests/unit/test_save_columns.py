"""Tables with columns that Parquet cannot hold: a save keeps the trace, and names the columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import read_timeseries
from support.optional import load, needs

pl = load("polars")
USUAL = {"timestamp_s": [0.0, 1.0], "power_w": [100.0, 110.0]}


def save_once(root: Path, result: ExperimentResult, table: object) -> Path:
    return result.save(root, table, durable=False)  # type: ignore[arg-type]


def save_many(root: Path, result: ExperimentResult, table: object) -> Path:
    (path,) = ResultStore(root).save_many([result], timeseries_sources=[table], durable=False)  # type: ignore[list-item]
    return path


def save_by_writer(root: Path, result: ExperimentResult, table: object) -> Path:
    with ResultStore(root).writer(durable=False) as writer:
        return writer.submit(result, table).result()  # type: ignore[arg-type]


@pytest.mark.parametrize("save", [save_once, save_many, save_by_writer])
def test_save_with_column_that_parquet_cannot_hold_keeps_the_trace(
    save: Callable[..., Path], result: ExperimentResult, tmp_path: Path
) -> None:
    waits = pa.array([pa.MonthDayNano([1, 2, 3])] * 2, pa.month_day_nano_interval())
    table = pa.table(USUAL | {"wait": waits, "fan": [1, 2]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = save(tmp_path, result, table)
    (warning,) = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    assert 'its column "wait" was left out: Parquet has no place for its type Interval' in warning
    assert pq.read_table(path.with_name("timeseries.parquet")).to_pydict() == USUAL | {"fan": [1, 2]}
    assert read_timeseries(path).energy_j == 105.0


@pytest.mark.parametrize("save", [save_once, save_many, save_by_writer])
def test_save_of_another_table_names_its_columns(
    save: Callable[..., Path], result: ExperimentResult, tmp_path: Path
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = save(tmp_path, result, pa.table({"time": [0.0], "watts": [1.0]}))
    (warning,) = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    assert 'expected a column "timestamp_s", got "time", "watts"' in warning
    assert pq.read_table(path.with_name("timeseries.parquet")).num_rows == 1
    # The trace of another tool, with a time, is stored in silence.
    save(tmp_path, result, pa.table({"timestamp_s": [0.0], "gpu_power_w": [1.0]}))


def test_save_with_nulls_of_a_usual_column_keeps_its_type(result: ExperimentResult, tmp_path: Path) -> None:
    table = pa.table(USUAL | {"temperature_c": pa.nulls(2), "note": pa.nulls(2)})
    path = save_once(tmp_path, result, table)
    schema = pq.read_schema(path.with_name("timeseries.parquet"))
    assert schema.field("temperature_c").type == pa.float32()
    assert read_timeseries(path).temperature_c == [None, None]
    assert ResultStore(tmp_path).scan_timeseries(["note"]).to_pydict() == {"note": [None, None]}


@needs("polars")
def test_save_polars_frame_with_any_column_keeps_the_trace(result: ExperimentResult, tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "temperature_c": [None, None],
        "phase": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        "kind": pl.Series(["x", "y"], dtype=pl.Categorical),
        "nested": pl.Series([[None], [None]]),
    }
    frame = pl.DataFrame(USUAL | columns)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = save_once(tmp_path, result, frame)
    said = "\n".join(str(warning.message) for warning in caught)
    for name in ("phase", "kind"):
        assert f'its column "{name}" was ' in said
    assert read_timeseries(path).energy_j == 105.0
    stored = pq.read_table(path.with_name("timeseries.parquet")).to_pydict()
    assert (stored["phase"], stored["kind"]) == (["a", "b"], ["x", "y"])
