from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from collections import UserDict, namedtuple
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, PersistenceError, ResultCorruptError, ResultError
from llenergymeasure.results.timeseries import Timeseries, read_timeseries, write_timeseries_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA = pa.schema(
    [
        pa.field("timestamp_s", pa.float64(), nullable=False),
        pa.field("gpu_index", pa.int32(), nullable=False),
        pa.field("power_w", pa.float32()),
        pa.field("temperature_c", pa.float32()),
        pa.field("memory_used_mb", pa.float32()),
        pa.field("memory_total_mb", pa.float32()),
        pa.field("sm_utilisation_pct", pa.float32()),
        pa.field("throttle_reasons", pa.int64()),
    ]
)
QUANTITIES = ("power_w", "temperature_c", "memory_used_mb", "memory_total_mb", "sm_utilisation")


def rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def resampled(samples: Any, path: Path, column: str = "power_w") -> list[Any]:
    return [row[column] for row in rows(write_timeseries_parquet(samples, path))]


@dataclass
class Sample:
    timestamp: float
    power_w: float | None = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.parquet"


def test_ten_samples_a_second_become_one_row(path: Path) -> None:
    samples = [
        {
            "timestamp": 1_700_000_000 + tick / 8,
            "power_w": 100.0 + tick,
            "temperature_c": 50,
            "memory_used_mb": 1024.0 * (tick % 2),
            "memory_total_mb": 81920.0,
            "sm_utilisation": 12.5 * tick,
            "throttle_reasons": 1 << tick,
        }
        for tick in range(16)
    ]
    assert write_timeseries_parquet(samples, str(path), gpu_index=3) == path
    assert rows(path) == [
        {
            "timestamp_s": float(second),
            "gpu_index": 3,
            "power_w": 103.5 + 8 * second,
            "temperature_c": 50.0,
            "memory_used_mb": 512.0,
            "memory_total_mb": 81920.0,
            "sm_utilisation_pct": 43.75 + 100 * second,
            "throttle_reasons": 0xFF << 8 * second,
        }
        for second in range(2)
    ]


def test_the_file_has_the_usual_schema_and_zstd(path: Path) -> None:
    for samples in ([], [{"timestamp": 0}], [{"timestamp": 0.0, "power_w": 1.0, "throttle_reasons": 4}]):
        write_timeseries_parquet(samples, path)
        file = pq.ParquetFile(path)
        assert file.schema_arrow.equals(SCHEMA)
        assert file.metadata.num_rows == len(samples)
        for group in range(file.metadata.num_row_groups):
            compressions = {file.metadata.row_group(group).column(i).compression for i in range(8)}
            assert compressions == {"ZSTD"}
        assert pl.read_parquet(path).height == len(samples)
        assert len(read_timeseries(path)) == len(samples)


def test_polars_reads_what_was_written(path: Path) -> None:
    write_timeseries_parquet([{"timestamp": 5, "power_w": 1.5}, {"timestamp": 7, "power_w": 2.5}], path)
    frame = pl.read_parquet(path)
    assert frame["power_w"].to_list() == [1.5, None, 2.5]
    assert frame.schema["throttle_reasons"] == pl.Int64


def test_objects_and_mappings_may_mix_and_lack_what_they_like(path: Path) -> None:
    tuple_sample = namedtuple("tuple_sample", ["timestamp", "power_w"])  # noqa: PYI024 - the plainest kind
    samples = [
        Sample(0.0, 10.0),
        {"timestamp": 0.1, "power_w": 20.0},
        tuple_sample(0.2, 30.0),
        UserDict({"timestamp": 0.3, "temperature_c": 40.0}),
        SimpleNamespace(timestamp=np.float32(0.5), power_w=np.int64(60), throttle_reasons=np.uint64(6)),
        {"timestamp": Decimal("0.75"), "power_w": math.nan, "throttle_reasons": math.nan},
        Sample(0.9),
    ]
    write_timeseries_parquet(iter(samples), path)
    assert rows(path) == [
        {
            "timestamp_s": 0.0,
            "gpu_index": 0,
            "power_w": 30.0,
            "temperature_c": 40.0,
            "memory_used_mb": None,
            "memory_total_mb": None,
            "sm_utilisation_pct": None,
            "throttle_reasons": 6,
        }
    ]


def test_samples_may_come_in_any_order(path: Path) -> None:
    samples = [Sample(2.5, 4.0), Sample(0.5, 1.0), Sample(1.25, 3.0), Sample(1.75, 2.0), Sample(-0.5, 0.0)]
    assert resampled(samples, path) == [0.0, 2.0, 2.0, 4.0]
    assert [row["timestamp_s"] for row in rows(path)] == [0.0, 1.0, 2.0, 3.0]


def test_a_second_without_a_sample_is_a_row_of_nulls(path: Path) -> None:
    assert resampled([Sample(10, 1.0), Sample(13, 2.0)], path) == [1.0, None, None, 2.0]
    assert [row["throttle_reasons"] for row in rows(path)] == [None] * 4


def test_gpus_of_their_own_line_up_on_one_grid(path: Path) -> None:
    samples = [
        {"timestamp": 100.0, "power_w": 1.0},
        {"timestamp": 101.0, "power_w": 2.0, "gpu_index": -1},
        {"timestamp": 100.5, "power_w": 3.0, "gpu_index": 1},
        {"timestamp": 101.5, "power_w": 4.0, "gpu_index": None},
    ]
    assert resampled(samples, path) == [None, 1.0, 3.0, 2.0, 4.0, None]
    table = rows(path)
    assert [row["gpu_index"] for row in table] == [-1, 0, 1] * 2
    assert [row["timestamp_s"] for row in table] == [0.0] * 3 + [1.0] * 3


def test_datetimes_are_timestamps(path: Path) -> None:
    start = datetime(2026, 3, 29, 0, 59, 58, 700_000, tzinfo=timezone.utc)
    elsewhere = timezone(timedelta(hours=9))
    aware = [start, (start + timedelta(seconds=1)).astimezone(elsewhere), start + timedelta(seconds=1.999999)]
    for times in (aware, [time.astimezone(timezone.utc).replace(tzinfo=None) for time in aware]):
        samples = [{"timestamp": time, "power_w": place} for place, time in enumerate(times)]
        assert resampled(samples, path) == [0.0, 1.5]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({}, "sample 1 has no timestamp"),
        ({"timestamp": None}, "sample 1 has no timestamp"),
        ("timestamp", "sample 1 has no timestamp"),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), "timestamp of sample 1 is not a number, but builtin"),
        ({"timestamp": "1.0"}, "timestamp of sample 1 is not a number, but str"),
        ({"timestamp": True}, "timestamp of sample 1 is not a number, but bool"),
        ({"timestamp": math.nan}, "timestamp of sample 1 is nan"),
        ({"timestamp": -math.inf}, "timestamp of sample 1 is -inf"),
        ({"timestamp": 10**400}, "timestamp of sample 1 is too large"),
        ({"timestamp": 1.7e9}, "from sample 0 to sample 1 it is 1700000000 s"),
        ({"timestamp": -1.7e308}, "from sample 1 to sample 0"),
        ({"timestamp": datetime(2026, 1, 1, tzinfo=timezone.utc)}, "sample 1 is an aware datetime"),
        ({"timestamp": 1, "power_w": "251 W"}, "power_w of sample 1 is not a number, but str"),
        ({"timestamp": 1, "power_w": [1.0]}, "power_w of sample 1 is not a number, but list"),
        ({"timestamp": 1, "temperature_c": math.inf}, "temperature_c of sample 1 is inf"),
        ({"timestamp": 1, "memory_used_mb": 1e39}, r"memory_used_mb of sample 1 is 1e\+39"),
        ({"timestamp": 1, "throttle_reasons": 1 << 63}, "throttle_reasons of sample 1 must be a bit mask"),
        ({"timestamp": 1, "throttle_reasons": -1}, "throttle_reasons of sample 1 must be a bit mask"),
        ({"timestamp": 1, "throttle_reasons": 0.5}, "throttle_reasons of sample 1 must be a bit mask"),
        ({"timestamp": 1, "throttle_reasons": "4"}, "throttle_reasons of sample 1 is not a number, but str"),
        ({"timestamp": 1, "gpu_index": 0.0}, "gpu_index of sample 1 is not an integer, but float"),
        ({"timestamp": 1, "gpu_index": 1 << 31}, "gpu_index of sample 1 must be"),
    ],
)
def test_a_bad_sample_is_named_and_nothing_is_written(sample: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    with pytest.raises(ValueError, match=reason):
        write_timeseries_parquet([{"timestamp": 0.0}, sample], path)
    assert not list(tmp_path.iterdir())


def test_naive_and_aware_datetimes_do_not_mix(path: Path) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - naive times occur
    samples = [{"timestamp": naive}, {"timestamp": naive.replace(tzinfo=timezone.utc)}]
    with pytest.raises(ValueError, match="sample 1 is an aware datetime, and that of sample 0 is a naive"):
        write_timeseries_parquet(samples, path)


@pytest.mark.parametrize("gpu_index", [-2, 1 << 31, 0.0, "0", None])
def test_a_gpu_that_cannot_be_is_refused(gpu_index: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="gpu_index"):
        write_timeseries_parquet([], path, gpu_index)
    assert not path.exists()


def test_a_day_without_samples_is_no_error(path: Path) -> None:
    assert len(resampled([Sample(0, 1.0), Sample(86_400, 2.0)], path)) == 86_401


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.parquet"
    write_timeseries_parquet([Sample(0, 1.0)], path)
    before = path.read_bytes()

    def breaks_off() -> Iterator[Sample]:
        yield Sample(0, 2.0)
        raise RuntimeError("the sensor went away")

    with pytest.raises(RuntimeError, match="the sensor went away"):
        write_timeseries_parquet(breaks_off(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["trace.parquet"]
    assert path.read_bytes() == before
    write_timeseries_parquet([Sample(0, 2.0)], path)
    assert read_timeseries(path).power_w == [2.0]


def test_a_file_too_large_for_its_limit_leaves_the_old_one(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="no limits on the size of files here")
    assert resource.RLIMIT_FSIZE is not None
    path = tmp_path / "trace.parquet"
    write_timeseries_parquet([Sample(0, 1.0)], path)
    before = path.read_bytes()
    program = (
        "import resource, signal, sys\n"
        "from llenergymeasure.results.timeseries import write_timeseries_parquet\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    write_timeseries_parquet([{'timestamp': 0.0, 'power_w': 2.0}], sys.argv[1])\n"
        "except OSError as error:\n"
        "    print(error.step, error.committed, error.strerror)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "write False File too large\n", run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["trace.parquet"]
    assert path.read_bytes() == before


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_timeseries_parquet([], tmp_path / "directory")
    error = caught.value
    assert isinstance(error, PersistenceError)
    assert (error.step, error.filename, error.committed) == ("commit", str(tmp_path / "directory"), False)
    with pytest.raises(FileNotFoundError) as absent:
        write_timeseries_parquet([], tmp_path / "absent" / "x.parquet")
    assert isinstance(absent.value, PersistenceError)
    assert absent.value.step == "open_output_dir"
    assert [file.name for file in tmp_path.iterdir()] == ["directory"]


def test_a_trace_goes_from_samples_to_a_result_and_back(result: ExperimentResult, path: Path) -> None:
    write_timeseries_parquet([Sample(tick / 10, 100.0) for tick in range(100)], path)
    saved = result.save(path.parent / "results", path)
    for source in (path, saved, saved.parent, str(saved.parent), saved.with_name("timeseries.parquet")):
        trace = read_timeseries(source)
        assert (len(trace), trace.energy_j) == (10, 900.0)
    again = result.save(path.parent / "results", read_timeseries(saved))
    assert read_timeseries(again).power_w == [100.0] * 10


def test_a_sidecar_of_another_name_is_found_beside_its_record(
    make_result: Callable[..., ExperimentResult], path: Path
) -> None:
    saved = make_result(timeseries="power.parquet").save(path.parent)
    write_timeseries_parquet([Sample(0, 7.0)], saved.with_name("power.parquet"))
    assert read_timeseries(saved).power_w == [7.0]
    write_timeseries_parquet([Sample(0, 8.0)], saved.with_name("timeseries.parquet"))
    for record in ("{}", '{"timeseries": "../power.parquet"}', '{"timeseries": 3}', "[]", '{"times', ""):
        saved.write_text(record)
        assert read_timeseries(saved.parent).power_w == [8.0]


def test_what_is_not_there_is_a_file_not_found(result: ExperimentResult, tmp_path: Path) -> None:
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


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PersistenceError, match=r"cannot read the power trace '.*fifo': not a regular file"):
        read_timeseries(tmp_path / "fifo")


def test_columns_are_lists_and_the_whole_says_what_it_is() -> None:
    trace = Timeseries(
        timestamp_s=[0, 1, 2],
        gpu_index=[0, 0, 0],
        power_w=[100.0, None, 300.0],
        throttle_reasons=[None, 1 << 62, 0],
    )
    assert trace.timestamp_s == [0.0, 1.0, 2.0]
    assert trace.gpu_index == [0, 0, 0]
    assert trace.power_w == [100.0, None, 300.0]
    assert trace.throttle_reasons == [None, 1 << 62, 0]
    others = (trace.temperature_c, trace.memory_used_mb, trace.memory_total_mb, trace.sm_utilisation_pct)
    assert others == ([None] * 3,) * 4
    assert (trace.energy_j, trace.duration_s, trace.mean_power_w) == (400.0, 2.0, 200.0)
    assert repr(trace) == "<Timeseries: 3 rows, gpu_index [0], 2.0 s, 400.0 J, 200.0 W on average>"
    empty = Timeseries(timestamp_s=[], gpu_index=[], power_w=[])
    assert (empty.energy_j, empty.energy_per_gpu_j, empty.duration_s, empty.mean_power_w) == (
        0.0,
        {},
        0.0,
        None,
    )
    assert repr(empty) == "<Timeseries: 0 rows, gpu_index [], 0.0 s>"


def test_the_whole_system_is_not_counted_beside_its_gpus() -> None:
    gpus = {"timestamp_s": [0, 0, 2, 2], "gpu_index": [0, 1] * 2, "power_w": [100.0, 50.0, 100.0, 50.0]}
    trace = Timeseries(**gpus)  # type: ignore[arg-type]
    assert trace.energy_per_gpu_j == {0: 200.0, 1: 100.0}
    assert (trace.energy_j, trace.mean_power_w) == (300.0, 150.0)
    system = {"timestamp_s": [0, 2], "gpu_index": [-1, -1], "power_w": [400.0, 400.0]}
    both = Timeseries(**{name: gpus[name] + system[name] for name in gpus})  # type: ignore[operator]
    assert both.energy_per_gpu_j == {-1: 800.0, 0: 200.0, 1: 100.0}
    assert (both.energy_j, both.mean_power_w) == (800.0, 400.0)
    silent = system | {"power_w": [None, math.nan]}
    both = Timeseries(**{name: gpus[name] + silent[name] for name in gpus})  # type: ignore[operator]
    assert both.energy_per_gpu_j == {-1: 0.0, 0: 200.0, 1: 100.0}
    assert both.energy_j == 300.0


def test_the_real_traces_have_the_energy_of_their_results(data: Path) -> None:
    records = sorted((data / "mlperf").glob("*.json"))
    if not records:
        pytest.skip(f"no MLPerf runs in {data}")
    for record in records:
        run = json.loads(record.read_text())
        trace = read_timeseries(record.with_suffix(".parquet"))
        assert trace.mean_power_w is not None
        expected = pytest.approx(run["total_energy_j"], rel=1e-8)
        assert trace.mean_power_w * run["total_inference_time_sec"] == expected
        # The trapezoid ends at the last sample, up to a second and a half before the run does.
        seconds = run["total_inference_time_sec"]
        assert trace.energy_j == pytest.approx(run["total_energy_j"] * trace.duration_s / seconds, rel=1e-3)


def test_other_columns_and_types_are_taken_where_they_fit(path: Path) -> None:
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
        assert pa.table(trace).schema.equals(SCHEMA)


def test_other_writers_files_are_read(path: Path) -> None:
    columns = {"timestamp_s": [float(second) for second in range(70_000)], "power_w": [2.5] * 70_000}
    variants: list[Callable[[], object]] = [
        lambda: pl.DataFrame(columns).write_parquet(path),
        lambda: pl.DataFrame(columns).write_parquet(path, row_group_size=999),
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


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"timestamp_s": [0.0]}, "no column power_w"),
        ({"power_w": [0.0]}, "no column timestamp_s"),
        ({"timestamp_s": [0.0], "power_w": [[1.0]]}, "no column power_w"),
        ({"timestamp_s": [0.0], "power_w": ["251"]}, "power_w holds .*, not numbers"),
        ({"timestamp_s": [datetime(2026, 1, 1)], "power_w": [1.0]}, "timestamp_s holds .*, not"),  # noqa: DTZ001
        ({"timestamp_s": [0.0, None], "power_w": [1.0, 1.0]}, "timestamp_s has nulls"),
        ({"timestamp_s": pa.nulls(1), "power_w": [1.0]}, "timestamp_s has nulls"),
        ({"timestamp_s": [0.0], "power_w": [1.0], "gpu_index": pa.array([None], pa.int32())}, "has nulls"),
        ({"timestamp_s": [0.0], "power_w": [1.0], "gpu_index": [0.5]}, "gpu_index holds 0.5 in row 0"),
        (
            {"timestamp_s": [0.0, 1.0], "power_w": [1.0, 1e39]},
            "power_w holds 1.* in row 1, which is no Float32",
        ),
        (
            {"timestamp_s": [0.0], "power_w": [1.0], "throttle_reasons": pa.array([1 << 63], pa.uint64())},
            "throttle_reasons holds 9223372036854775808 in row 0",
        ),
    ],
)
def test_a_file_that_is_no_trace_is_told_from_a_damaged_one(
    columns: dict[str, Any], reason: str, path: Path
) -> None:
    pq.write_table(pa.table(columns), path)
    with pytest.raises(ResultError, match=reason) as caught:
        read_timeseries(path)
    assert not isinstance(caught.value, ResultCorruptError)
    assert str(path) in str(caught.value)


def test_a_compression_that_is_not_built_in_is_named(path: Path) -> None:
    pq.write_table(pa.table({"timestamp_s": [0.0], "power_w": [1.0]}), path, compression="gzip")
    with pytest.raises(ResultError, match="compressed with GZIP"):
        read_timeseries(path)


def test_a_name_that_is_there_twice_is_refused(path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([0.0])] * 3, ["timestamp_s", "power_w", "power_w"])
    pq.write_table(table, path)
    with pytest.raises(ResultError, match="two columns power_w"):
        read_timeseries(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"PAR1", "too short"),
        (b"timestamp_s,power_w\n0,250\n", "does not begin with"),
        (b"PAR1 and then the writer died", "truncated"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "claims 2147483647 bytes of a file that has 12"),
        (b"PARE\x00\x00\x00\x00PARE", "encrypted"),
        (b"\0" * 100, "does not begin with"),
    ],
)
def test_a_damaged_file_is_named_with_its_size(content: bytes, reason: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(ResultError, match=reason) as caught:
        read_timeseries(path)
    assert f"{path} ({len(content)} bytes)" in str(caught.value)


def with_footer(footer: bytes) -> bytes:
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


LYING_FOOTERS = {
    # A schema of one element without children, then two billion row groups.
    "row groups": bytes([0x15, 2, 0x19, 0x1C, 0x48, 1, 0x78, 0, 0x16, 0, 0x19, 0xFC])
    + bytes([255, 255, 255, 255, 7]),
    # The same, where the row groups are said to be a number: as such, all of it is one.
    "types": bytes([0x15, 2, 0x19, 0x1C, 0x48, 1, 0x78, 0, 0x16, 0, 0x15, 0xFC])
    + bytes([255, 255, 255, 255, 7, 0]),
    "columns": bytes([0x15, 2, 0x19, 0xFC, 255, 255, 255, 255, 7, 0x48, 1, 0x78]),
    "children": bytes([0x15, 2, 0x19, 0x2C, 0x48, 1, 0x78, 0x15, 254, 255, 255, 255, 15, 0]),
    "nesting": bytes([0x1C]) * 100_000,
}


@pytest.mark.parametrize("lie", LYING_FOOTERS)
def test_a_footer_that_lies_ends_neither_the_read_nor_the_save(
    lie: str, result: ExperimentResult, path: Path
) -> None:
    path.write_bytes(with_footer(LYING_FOOTERS[lie]))
    # In a process of its own, with little memory: what the footer claims would end it.
    program = (
        "import resource, sys\n"
        "from llenergymeasure import ExperimentResult, ResultCorruptError, SidecarError\n"
        "from llenergymeasure.results.timeseries import read_timeseries\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "try:\n"
        "    read_timeseries(sys.argv[1])\n"
        "except ResultCorruptError as error:\n"
        "    print(error)\n"
        "try:\n"
        "    ExperimentResult.from_json(sys.argv[2]).save(sys.argv[3], sys.argv[1])\n"
        "except SidecarError as error:\n"
        "    print(error)\n"
    )
    saved = result.save(path.parent)
    arguments = [sys.executable, "-c", program, str(path), str(saved), str(path.parent / "results")]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    reason = "it is cut short, claims more than it holds, or has not the fields of Parquet"
    assert run.stdout.count(f"its footer cannot be read: {reason}") == 2


def test_rows_that_the_footer_does_not_count_are_damage(path: Path) -> None:
    times = [float(second) for second in range(100)]
    pq.write_table(pa.table({"timestamp_s": times, "power_w": times}), path)
    content = path.read_bytes()
    # The number of rows, zigzag: in the file's footer and in its one row group.
    for count in (b"\xc6\x01", b"\xca\x01"):
        path.write_bytes(content.replace(b"\x16\xc8\x01", b"\x16" + count))
        with pytest.raises(ResultCorruptError):
            read_timeseries(path)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_damage_is_read_or_told(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    write_timeseries_parquet([Sample(tick, float(tick)) for tick in range(50)], path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        trace = read_timeseries(path)
    except ResultError:
        return
    assert len(trace.power_w) == len(trace.timestamp_s) == len(trace)


FLOATS = st.none() | st.just(math.nan) | st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
SAMPLES = st.lists(
    st.fixed_dictionaries(
        {"timestamp": st.floats(-50, 50) | st.integers(-50, 50)},
        optional=dict.fromkeys(QUANTITIES, FLOATS)
        | {
            "throttle_reasons": st.none() | st.integers(0, 2**63 - 1),
            "gpu_index": st.none() | st.integers(-1, 2),
        },
    ),
    max_size=40,
)


def reference(samples: list[dict[str, Any]], gpu_index: int) -> list[dict[str, Any]]:
    """Resample the plain way: look through every sample for every row."""
    if not samples:
        return []
    start = min(sample["timestamp"] for sample in samples)
    gpus = [gpu_index if sample.get("gpu_index") is None else sample["gpu_index"] for sample in samples]
    seconds = [math.floor(float(sample["timestamp"]) - float(start)) for sample in samples]
    table = []
    for second in range(max(seconds) + 1):
        for gpu in sorted(set(gpus)):
            here = [s for s, g, t in zip(samples, gpus, seconds, strict=True) if (g, t) == (gpu, second)]
            row: dict[str, Any] = {"timestamp_s": float(second), "gpu_index": gpu}
            for name in QUANTITIES:
                values = [s[name] for s in here if s.get(name) is not None and not math.isnan(s[name])]
                mean = float(np.float32(math.fsum(values) / len(values))) if values else None
                row["sm_utilisation_pct" if name == "sm_utilisation" else name] = mean
            row["throttle_reasons"] = None
            for sample in here:
                if sample.get("throttle_reasons") is not None:
                    row["throttle_reasons"] = (row["throttle_reasons"] or 0) | sample["throttle_reasons"]
            table.append(row)
    return table


@settings(deadline=None, max_examples=50)
@given(samples=SAMPLES, gpu_index=st.integers(-1, 3))
def test_resampling_is_what_the_plain_way_gives(
    samples: list[dict[str, Any]], gpu_index: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "resampled.parquet"
    write_timeseries_parquet(samples, path, gpu_index)
    expected = reference(samples, gpu_index)
    assert rows(path) == expected
    trace = read_timeseries(path)
    assert pa.table(trace).to_pylist() == expected
    write_timeseries_parquet(reversed([SimpleNamespace(**sample) for sample in samples]), path, gpu_index)
    assert rows(path) == expected


ROWS = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6) | st.just(math.nan),
        st.integers(-1, 2),
        st.none() | st.just(math.nan) | st.floats(0, 1e4, width=32),
    ),
    max_size=30,
)


def trapezoid(table: list[tuple[float, int, float | None]], gpu: int) -> float:
    points = sorted(
        (time, power)
        for time, index, power in table
        if index == gpu and power is not None and not math.isnan(power) and not math.isnan(time)
    )
    return math.fsum((end - begin) * (first + last) / 2 for (begin, first), (end, last) in pairwise(points))


@settings(deadline=None)
@given(table=ROWS)
def test_energy_is_what_the_plain_trapezoid_gives(table: list[tuple[float, int, float | None]]) -> None:
    # Two rows at one time have no order: the trapezoid is not theirs to decide.
    table = list({(row[1], row[0]): row for row in table}.values())
    times, gpus, powers = zip(*table, strict=True) if table else ((), (), ())
    trace = Timeseries(timestamp_s=times, gpu_index=gpus, power_w=powers)
    energies = {gpu: trapezoid(table, gpu) for gpu in sorted(set(gpus))}
    assert list(trace.energy_per_gpu_j) == list(energies)
    assert trace.energy_per_gpu_j == pytest.approx(energies, rel=1e-9, abs=1e-6)
    whole = any(
        gpu == -1 and power is not None and not math.isnan(power + time) for time, gpu, power in table
    )
    total = energies[-1] if whole else sum(energies.values())
    assert trace.energy_j == pytest.approx(total, rel=1e-9, abs=1e-6)


def test_neither_way_needs_pyarrow(path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['pyarrow'] = sys.modules['polars'] = sys.modules['numpy'] = None\n"
        "from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet\n"
        "write_timeseries_parquet([{'timestamp': t, 'power_w': 5} for t in range(3)], sys.argv[1])\n"
        "print(read_timeseries(sys.argv[1]).energy_j)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "10.0\n"
