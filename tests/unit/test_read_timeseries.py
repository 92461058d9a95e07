"""Power traces that are read from files of this package and of other writers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ExperimentResult, PersistenceError
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet
from support.optional import load, needs
from support.traces import TRACE_SCHEMA, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

pl = load("polars")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.parquet"


def test_read_timeseries_accepts_file_record_and_directory(result: ExperimentResult, path: Path) -> None:
    write_timeseries_parquet([Sample(tick / 10, 100.0) for tick in range(100)], path)
    saved = result.save(path.parent / "results", path)
    for source in (path, saved, saved.parent, str(saved.parent), saved.with_name("timeseries.parquet")):
        trace = read_timeseries(source)
        assert (len(trace), trace.energy_j) == (10, 900.0)
    again = result.save(path.parent / "results", read_timeseries(saved))
    assert read_timeseries(again).power_w == [100.0] * 10


def test_read_timeseries_finds_a_sidecar_of_another_name(
    make_result: Callable[..., ExperimentResult], path: Path
) -> None:
    saved = make_result(timeseries="power.parquet").save(path.parent)
    write_timeseries_parquet([Sample(0, 7.0)], saved.with_name("power.parquet"))
    assert read_timeseries(saved).power_w == [7.0]
    write_timeseries_parquet([Sample(0, 8.0)], saved.with_name("timeseries.parquet"))
    for record in ("{}", '{"timeseries": "../power.parquet"}', '{"timeseries": 3}', "[]", '{"times', ""):
        saved.write_text(record)
        assert read_timeseries(saved.parent).power_w == [8.0]


def test_read_timeseries_without_file_raises_file_not_found(result: ExperimentResult, tmp_path: Path) -> None:
    without = result.save(tmp_path)
    for path, absent in [
        (tmp_path / "x.parquet", tmp_path / "x.parquet"),
        (tmp_path, tmp_path / "result.json"),
        (without, without.with_name("timeseries.parquet")),
    ]:
        with pytest.raises(FileNotFoundError) as caught:
            read_timeseries(path)
        assert isinstance(caught.value, PersistenceError)
        assert caught.value.filename == str(absent)
        assert "saved" not in str(caught.value)


def test_read_timeseries_rejects_fifo_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PersistenceError, match=r"cannot read the power trace '.*fifo': not a regular file"):
        read_timeseries(tmp_path / "fifo")


def test_read_timeseries_converts_other_columns_and_types(path: Path) -> None:
    table = pa.table(
        {
            "note": ["a", "b"],
            "timestamp_s": pa.array([0, 1], pa.int64()),
            "gpu_index": pa.array([0.0, 1.0], pa.float64()),
            "power_w": pa.array([250.0, None], pa.float64()),
            "temperature_c": pa.array([50, None], pa.uint8()),
            "memory_used_mb": pa.array([1.5, 2.5], pa.float16()),
            "memory_total_mb": pa.nulls(2),
            "throttle_reasons": pa.array([1 << 40, None], pa.uint64()),
            "nested": [[1], [2, 3]],
        }
    )
    for compression in ("none", "snappy", "zstd"):
        pq.write_table(table, path, compression=compression)
        trace = read_timeseries(path)
        assert (trace.timestamp_s, trace.gpu_index) == ([0.0, 1.0], [0, 1])
        assert (trace.power_w, trace.temperature_c) == ([250.0, None], [50.0, None])
        assert (trace.memory_used_mb, trace.memory_total_mb) == ([1.5, 2.5], [None, None])
        assert (trace.sm_utilisation_pct, trace.throttle_reasons) == ([None, None], [1 << 40, None])
        assert pa.table(trace).schema.equals(TRACE_SCHEMA)


@needs("polars")
@pytest.mark.parametrize("options", [{}, {"row_group_size": 999}], ids=["one group", "many groups"])
def test_read_timeseries_accepts_files_of_polars(path: Path, options: dict[str, int]) -> None:
    columns = {"timestamp_s": [float(second) for second in range(70_000)], "power_w": [2.5] * 70_000}
    pl.DataFrame(columns).write_parquet(path, **options)
    trace = read_timeseries(path)
    assert (trace.timestamp_s, trace.energy_j) == (columns["timestamp_s"], 2.5 * 69_999)
    assert trace.energy_per_gpu_j == {0: trace.energy_j}


def test_read_timeseries_accepts_files_of_other_writers(path: Path) -> None:
    columns = {"timestamp_s": [float(second) for second in range(70_000)], "power_w": [2.5] * 70_000}
    variants: list[Callable[[], object]] = [
        lambda: pq.write_table(pa.table(columns), path, data_page_version="2.0", row_group_size=30_000),
        lambda: pq.write_table(
            pa.table(columns), path, use_dictionary=False, column_encoding="BYTE_STREAM_SPLIT"
        ),
        lambda: pq.write_table(pa.table(columns).replace_schema_metadata({"k": "v" * 9999}), path),
    ]
    for write in variants:
        write()
        trace = read_timeseries(path)
        assert (trace.timestamp_s, trace.energy_j) == (columns["timestamp_s"], 2.5 * 69_999)
        assert trace.energy_per_gpu_j == {0: trace.energy_j}
