"""Samples that are resampled and written as a power trace."""

from __future__ import annotations

import math
from collections import UserDict, namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure import PersistenceError
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet
from support.optional import load, needs
from support.processes import run_code
from support.traces import TRACE_SCHEMA, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.published

pl = load("polars")
QUANTITIES = ("power_w", "temperature_c", "memory_used_mb", "memory_total_mb", "sm_utilisation")


def rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def resampled(samples: Any, path: Path, column: str = "power_w") -> list[Any]:
    return [row[column] for row in rows(write_timeseries_parquet(samples, path))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.parquet"


def test_write_timeseries_averages_each_second_into_one_row(path: Path) -> None:
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


def test_write_timeseries_uses_the_fixed_schema_and_zstd(path: Path) -> None:
    for samples in ([], [{"timestamp": 0}], [{"timestamp": 0.0, "power_w": 1.0, "throttle_reasons": 4}]):
        write_timeseries_parquet(samples, path)
        file = pq.ParquetFile(path)
        assert file.schema_arrow.equals(TRACE_SCHEMA)
        assert file.metadata.num_rows == len(samples)
        for group in range(file.metadata.num_row_groups):
            compressions = {file.metadata.row_group(group).column(i).compression for i in range(8)}
            assert compressions == {"ZSTD"}
        assert len(read_timeseries(path)) == len(samples)


@needs("polars")
def test_write_timeseries_is_readable_by_polars(path: Path) -> None:
    for samples in ([], [{"timestamp": 0}], [{"timestamp": 0.0, "power_w": 1.0, "throttle_reasons": 4}]):
        write_timeseries_parquet(samples, path)
        assert pl.read_parquet(path).height == len(samples)
    write_timeseries_parquet([{"timestamp": 5, "power_w": 1.5}, {"timestamp": 7, "power_w": 2.5}], path)
    frame = pl.read_parquet(path)
    assert frame["power_w"].to_list() == [1.5, None, 2.5]
    assert frame.schema["throttle_reasons"] == pl.Int64


def test_write_timeseries_accepts_objects_and_mappings_with_missing_fields(path: Path) -> None:
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


def test_write_timeseries_accepts_samples_in_any_order(path: Path) -> None:
    samples = [Sample(2.5, 4.0), Sample(0.5, 1.0), Sample(1.25, 3.0), Sample(1.75, 2.0), Sample(-0.5, 0.0)]
    assert resampled(samples, path) == [0.0, 2.0, 2.0, 4.0]
    assert [row["timestamp_s"] for row in rows(path)] == [0.0, 1.0, 2.0, 3.0]


def test_write_timeseries_with_second_without_sample_writes_nulls(path: Path) -> None:
    assert resampled([Sample(10, 1.0), Sample(13, 2.0)], path) == [1.0, None, None, 2.0]
    assert [row["throttle_reasons"] for row in rows(path)] == [None] * 4


def test_write_timeseries_with_several_gpus_uses_one_grid(path: Path) -> None:
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


def test_write_timeseries_accepts_datetimes(path: Path) -> None:
    start = datetime(2026, 3, 29, 0, 59, 58, 700_000, tzinfo=timezone.utc)
    elsewhere = timezone(timedelta(hours=9))
    aware = [start, (start + timedelta(seconds=1)).astimezone(elsewhere), start + timedelta(seconds=1.999999)]
    for times in (aware, [time.astimezone(timezone.utc).replace(tzinfo=None) for time in aware]):
        samples = [{"timestamp": time, "power_w": place} for place, time in enumerate(times)]
        assert resampled(samples, path) == [0.0, 1.5]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({}, "sample 1 expects a timestamp"),
        ({"timestamp": None}, "sample 1 expects a timestamp"),
        ("timestamp", "sample 1 expects a timestamp"),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), "timestamp of sample 1 expects a number, got builtin"),
        ({"timestamp": "1.0"}, "timestamp of sample 1 expects a number, got str"),
        ({"timestamp": True}, "timestamp of sample 1 expects a number, got bool"),
        ({"timestamp": math.nan}, "timestamp of sample 1 expects a finite number or a datetime, got nan"),
        ({"timestamp": -math.inf}, "timestamp of sample 1 expects a finite number or a datetime, got -inf"),
        ({"timestamp": 10**400}, "timestamp of sample 1 expects a float, got a number that is too large"),
        ({"timestamp": 1.7e9}, "got 1700000000 s from sample 0 to sample 1"),
        ({"timestamp": -1.7e308}, "from sample 1 to sample 0"),
        ({"timestamp": datetime(2026, 1, 1, tzinfo=timezone.utc)}, "as sample 0 has, got an aware datetime"),
        ({"timestamp": 1, "power_w": "251 W"}, "power_w of sample 1 expects a number, got str"),
        ({"timestamp": 1, "power_w": [1.0]}, "power_w of sample 1 expects a number, got list"),
        ({"timestamp": 1, "temperature_c": math.inf}, "temperature_c of sample 1 expects .*, got inf"),
        ({"timestamp": 1, "memory_used_mb": 1e39}, r"memory_used_mb of sample 1 expects .*, got 1e\+39"),
        ({"timestamp": 1, "throttle_reasons": 1 << 63}, "throttle_reasons of sample 1 expects an integer"),
        ({"timestamp": 1, "throttle_reasons": -1}, "throttle_reasons of sample 1 expects an integer"),
        ({"timestamp": 1, "throttle_reasons": 0.5}, "throttle_reasons of sample 1 expects an integer"),
        ({"timestamp": 1, "throttle_reasons": "4"}, "throttle_reasons of sample 1 expects a number, got str"),
        ({"timestamp": 1, "gpu_index": 0.0}, "gpu_index of sample 1 expects an integer, got float"),
        ({"timestamp": 1, "gpu_index": 1 << 31}, "gpu_index of sample 1 expects a GPU"),
    ],
)
def test_write_timeseries_with_invalid_sample_names_it_and_writes_nothing(
    sample: Any, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "trace.parquet"
    with pytest.raises(ValueError, match=reason):
        write_timeseries_parquet([{"timestamp": 0.0}, sample], path)
    assert not list(tmp_path.iterdir())


def test_write_timeseries_rejects_naive_next_to_aware_datetimes(path: Path) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - naive times occur
    samples = [{"timestamp": naive}, {"timestamp": naive.replace(tzinfo=timezone.utc)}]
    with pytest.raises(ValueError, match="sample 1 expects a naive datetime, as sample 0 has, got an aware"):
        write_timeseries_parquet(samples, path)


@pytest.mark.parametrize("gpu_index", [-2, 1 << 31, 0.0, "0", None])
def test_write_timeseries_rejects_invalid_gpu_index(gpu_index: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="gpu_index"):
        write_timeseries_parquet([], path, gpu_index)
    assert not path.exists()


def test_write_timeseries_accepts_a_gap_of_a_day(path: Path) -> None:
    assert len(resampled([Sample(0, 1.0), Sample(86_400, 2.0)], path)) == 86_401


def test_write_timeseries_with_failing_samples_keeps_the_old_file(tmp_path: Path) -> None:
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


def test_write_timeseries_above_file_size_limit_keeps_the_old_file(tmp_path: Path) -> None:
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
    run = run_code(program, path, check=True)
    assert run.stdout == "write False File too large\n", run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["trace.parquet"]
    assert path.read_bytes() == before


def test_write_timeseries_with_obstructed_path_names_it(tmp_path: Path) -> None:
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
    """Resample in the plain way: search every sample for every row."""
    if not samples:
        return []
    times = [round(Fraction(sample["timestamp"]) * 10**6) for sample in samples]
    gpus = [gpu_index if sample.get("gpu_index") is None else sample["gpu_index"] for sample in samples]
    seconds = [(time - min(times)) // 10**6 for time in times]
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
def test_write_timeseries_matches_a_plain_resampling(
    samples: list[dict[str, Any]], gpu_index: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "resampled.parquet"

    # Samples of one time and without a GPU are of several devices.
    def device(sample: dict[str, Any], place: int) -> tuple[float, int]:
        return (sample["timestamp"], -1) if sample.get("gpu_index") is None else (0.0, place)

    samples = list({device(sample, place): sample for place, sample in enumerate(samples)}.values())
    write_timeseries_parquet(samples, path, gpu_index)
    expected = reference(samples, gpu_index)
    assert rows(path) == expected
    trace = read_timeseries(path)
    assert pa.table(trace).to_pylist() == expected
    write_timeseries_parquet(reversed([SimpleNamespace(**sample) for sample in samples]), path, gpu_index)
    assert rows(path) == expected


def test_write_and_read_timeseries_need_no_pyarrow(path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['pyarrow'] = sys.modules['polars'] = sys.modules['numpy'] = None\n"
        "from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet\n"
        "write_timeseries_parquet([{'timestamp': t, 'power_w': 5} for t in range(3)], sys.argv[1])\n"
        "print(read_timeseries(sys.argv[1]).energy_j)\n"
    )
    run = run_code(program, path, check=True)
    assert run.stdout == "10.0\n"
