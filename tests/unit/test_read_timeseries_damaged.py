"""Damaged and foreign Parquet files are errors with path and size."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultCorruptError, ResultError
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet
from support.processes import run_code
from support.traces import Sample, around_footer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.parquet"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"timestamp_s": [0.0]}, "no column power_w"),
        ({"power_w": [0.0]}, "no column timestamp_s"),
        ({"timestamp_s": [0.0], "power_w": [[1.0]]}, "power_w expects numbers, got List"),
        ({"timestamp_s": [0.0], "power_w": ["251"]}, "power_w expects numbers, got "),
        ({"timestamp_s": [datetime(2026, 1, 1)], "power_w": [1.0]}, "timestamp_s expects numbers, got "),  # noqa: DTZ001
        ({"timestamp_s": [0.0, None], "power_w": [1.0, 1.0]}, "timestamp_s has nulls"),
        ({"timestamp_s": pa.nulls(1), "power_w": [1.0]}, "timestamp_s has nulls"),
        ({"timestamp_s": [0.0], "power_w": [1.0], "gpu_index": pa.array([None], pa.int32())}, "has nulls"),
        (
            {"timestamp_s": [0.0], "power_w": [1.0], "gpu_index": [0.5]},
            "gpu_index expects Int32, got 0.5 in row 0",
        ),
        (
            {"timestamp_s": [0.0, 1.0], "power_w": [1.0, 1e39]},
            "power_w expects Float32, got 1.* in row 1",
        ),
        (
            {"timestamp_s": [0.0], "power_w": [1.0], "throttle_reasons": pa.array([1 << 63], pa.uint64())},
            "throttle_reasons expects Int64, got 9223372036854775808 in row 0",
        ),
    ],
)
def test_read_timeseries_with_unsuitable_columns_names_them(
    columns: dict[str, Any], reason: str, path: Path
) -> None:
    pq.write_table(pa.table(columns), path)
    with pytest.raises(ResultError, match=reason) as caught:
        read_timeseries(path)
    assert not isinstance(caught.value, ResultCorruptError)
    assert str(path) in str(caught.value)


def test_read_timeseries_with_unknown_compression_names_it(path: Path) -> None:
    pq.write_table(pa.table({"timestamp_s": [0.0], "power_w": [1.0]}), path, compression="gzip")
    with pytest.raises(ResultError, match="compressed with GZIP"):
        read_timeseries(path)


def test_read_timeseries_with_duplicate_column_names_it(path: Path) -> None:
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
def test_read_timeseries_with_damaged_file_names_path_and_size(
    content: bytes, reason: str, path: Path
) -> None:
    path.write_bytes(content)
    with pytest.raises(ResultError, match=reason) as caught:
        read_timeseries(path)
    assert f"{path} ({len(content)} bytes)" in str(caught.value)


LYING_FOOTERS = {
    # A schema of one element without children, then two billion row groups.
    "row groups": bytes([0x15, 2, 0x19, 0x1C, 0x48, 1, 0x78, 0, 0x16, 0, 0x19, 0xFC])
    + bytes([255, 255, 255, 255, 7]),
    # The same, with the row groups declared as one number.
    "types": bytes([0x15, 2, 0x19, 0x1C, 0x48, 1, 0x78, 0, 0x16, 0, 0x15, 0xFC])
    + bytes([255, 255, 255, 255, 7, 0]),
    "columns": bytes([0x15, 2, 0x19, 0xFC, 255, 255, 255, 255, 7, 0x48, 1, 0x78]),
    "children": bytes([0x15, 2, 0x19, 0x2C, 0x48, 1, 0x78, 0x15, 254, 255, 255, 255, 15, 0]),
    "nesting": bytes([0x1C]) * 100_000,
}


@pytest.mark.parametrize("lie", LYING_FOOTERS)
def test_read_and_save_with_false_footer_report_it(lie: str, result: ExperimentResult, path: Path) -> None:
    path.write_bytes(around_footer(LYING_FOOTERS[lie]))
    # In its own process with little memory, which the claims of the footer would exhaust.
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
    run = run_code(program, path, saved, path.parent / "results")
    assert run.returncode == 0, run.stderr
    reason = "it is truncated, claims more than it holds, or lacks the fields of Parquet"
    assert run.stdout.count(f"its footer cannot be read: {reason}") == 2


def test_read_timeseries_with_wrong_row_count_raises(path: Path) -> None:
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
def test_read_timeseries_with_any_damage_reads_or_raises(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
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
