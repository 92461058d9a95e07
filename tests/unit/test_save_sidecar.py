"""Saves of one result with a sidecar, and the sidecar that a load finds."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ExperimentResult, PersistenceError, ResultError, ResultStore, SidecarError
from llenergymeasure.results.timeseries import Timeseries
from support.optional import load, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pl = load("polars")
COLUMNS = {"timestamp_s": [0.0, 1.0, 2.0], "power_w": [250.0, None, 251.5]}


def saved_without_sidecar(error: SidecarError, result: ExperimentResult) -> None:
    assert error.result_path is not None
    path = Path(error.result_path)
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]
    assert ExperimentResult.from_json(path) == result
    assert error.committed
    assert error.result_path in str(error)


@pytest.mark.parametrize(
    "make", [pa.table, pytest.param(pl.DataFrame, marks=needs("polars"))], ids=["pyarrow", "polars"]
)
def test_save_with_arrow_table_writes_the_sidecar(
    make: Callable[[dict[str, Any]], Any], result: ExperimentResult, tmp_path: Path
) -> None:
    path = result.save(tmp_path, make(COLUMNS))
    assert pq.read_table(path.with_name("timeseries.parquet")).to_pydict() == COLUMNS
    metadata = pq.read_metadata(path.with_name("timeseries.parquet"))
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert ExperimentResult.from_json(path).timeseries == "timeseries.parquet"


def test_save_with_arrow_stream_writes_the_sidecar(result: ExperimentResult, tmp_path: Path) -> None:
    schema = pa.schema({"timestamp_s": pa.int64()})

    def batches() -> Iterator[pa.RecordBatch]:
        for second in range(100):
            yield pa.record_batch({"timestamp_s": [second]}, schema=schema)

    path = result.save(tmp_path, pa.RecordBatchReader.from_batches(schema, batches()))
    assert pq.read_table(path.with_name("timeseries.parquet"))["timestamp_s"].to_pylist() == list(range(100))


def test_save_with_timeseries_writes_the_fixed_columns(result: ExperimentResult, tmp_path: Path) -> None:
    trace = Timeseries(
        timestamp_s=[0, 1], gpu_index=[-1, -1], power_w=[250.5, None], throttle_reasons=[None, 1 << 40]
    )
    assert len(trace) == 2
    table = pq.read_table(result.save(tmp_path, trace).with_name("timeseries.parquet"))
    expected = {
        "timestamp_s": pa.float64(),
        "gpu_index": pa.int32(),
        "power_w": pa.float32(),
        "temperature_c": pa.float32(),
        "memory_used_mb": pa.float32(),
        "memory_total_mb": pa.float32(),
        "sm_utilisation_pct": pa.float32(),
        "throttle_reasons": pa.int64(),
    }
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == expected
    assert table["power_w"].to_pylist() == [250.5, None]
    with pytest.raises(ValueError, match="same length"):
        Timeseries(timestamp_s=[0, 1], gpu_index=[0], power_w=[1.0])


def test_save_with_missing_source_warns_at_the_callers_line(result: ExperimentResult, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="does not exist") as caught:
        path = result.save(tmp_path / "results", tmp_path / "absent.parquet")
    assert caught[0].filename == __file__
    assert ExperimentResult.from_json(path) == result


def broken_stream() -> pa.RecordBatchReader:
    schema = pa.schema({"second": pa.int64()})

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"second": [0]}, schema=schema)
        raise RuntimeError("the sensor went away")

    return pa.RecordBatchReader.from_batches(schema, batches())


class BrokenExport:
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        raise RuntimeError("no stream today")


def test_save_with_broken_stream_keeps_the_result(result: ExperimentResult, tmp_path: Path) -> None:
    for number, (source, reason) in enumerate(
        [(broken_stream(), "sensor"), (BrokenExport(), "no stream today")]
    ):
        with pytest.raises(SidecarError, match=reason) as caught:
            result.save(tmp_path / str(number), source)
        saved_without_sidecar(caught.value, result)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"PAR1", "too short"),
        (b"timestamp_s,power_w\n0,250\n", "does not begin with"),
        (b"PAR1 and then the writer died", "truncated"),
        (b"PAR1\x00\x00\x00\x00\xff\xff\xff\x7fPAR1", "footer cannot be read"),
    ],
)
def test_save_with_source_that_is_not_parquet_keeps_the_result(
    content: bytes, reason: str, result: ExperimentResult, tmp_path: Path
) -> None:
    source = tmp_path / "trace.parquet"
    source.write_bytes(content)
    with pytest.raises(SidecarError, match=reason) as caught:
        result.save(tmp_path / "results", source)
    assert caught.value.filename == str(source)
    assert caught.value.step == "read_source"
    saved_without_sidecar(caught.value, result)


def test_save_with_source_of_wrong_kind_keeps_the_result(result: ExperimentResult, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    sources: list[tuple[Any, str]] = [(42, "not int"), (tmp_path, "regular file"), (fifo, "regular file")]
    for number, (source, reason) in enumerate(sources):
        with pytest.raises(SidecarError, match=reason) as caught:
            result.save(tmp_path / str(number), source)
        saved_without_sidecar(caught.value, result)


class BrokenAttributes:
    def __getattr__(self, name: str) -> object:
        raise RuntimeError("no attributes today")


@pytest.mark.parametrize(
    "make",
    [
        BrokenAttributes,
        pytest.param(
            lambda: pl.DataFrame({"gpu": pl.Series(["H100"], dtype=pl.Categorical)}), marks=needs("polars")
        ),
        lambda: pa.table({"gpu": pa.array(["H100"], pa.string_view()).dictionary_encode()}),
    ],
    ids=["attributes", "polars categorical", "dictionary of views"],
)
def test_save_with_unencodable_source_keeps_the_result(
    make: Callable[[], Any], result: ExperimentResult, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = result.save(tmp_path, make())
    except SidecarError as error:
        saved_without_sidecar(error, result)
    else:
        assert pq.read_table(path.with_name("timeseries.parquet")).num_rows == 1
    # The encoder may panic, which must print nothing.
    assert capfd.readouterr() == ("", "")


def test_save_interrupted_in_its_source_leaves_nothing(result: ExperimentResult, tmp_path: Path) -> None:
    class Interrupting:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        result.save(tmp_path / "results", Interrupting())
    assert not (tmp_path / "results").exists()


def test_save_copies_the_modification_time_but_not_the_mode(result: ExperimentResult, tmp_path: Path) -> None:
    source = tmp_path / "trace.parquet"
    pq.write_table(pa.table(COLUMNS), source)
    source.chmod(0o600)
    os.utime(source, ns=(1, 1_700_000_000_123_456_789))
    copy = result.save(tmp_path / "results", source).with_name("timeseries.parquet")
    assert copy.stat().st_mtime_ns == 1_700_000_000_123_456_789
    umask = os.umask(0)
    os.umask(umask)
    assert copy.stat().st_mode & 0o777 == 0o666 & ~umask
    assert source.stat().st_mode & 0o777 == 0o600


def test_load_with_unnamed_sidecar_fills_in_its_name(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    path.with_name("timeseries.parquet").write_bytes(b"a trace")
    assert ExperimentResult.from_json(path) == result.model_copy(update={"timeseries": "timeseries.parquet"})


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", ".", "", "a\\b", "a\0b", "x" * 300])
def test_load_never_follows_a_sidecar_name_with_separators(
    name: str, make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("not a trace")
    result = make_result(timeseries=name)
    path = result.save(tmp_path)
    with pytest.warns(UserWarning, match=r"^Timeseries sidecar missing"):
        assert ExperimentResult.from_json(path) == result
    with pytest.raises(ResultError, match="Timeseries sidecar missing"):
        ExperimentResult.from_json(path, missing_sidecar="error")


def test_load_finds_a_sidecar_of_another_name(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    path = make_result(timeseries="power.parquet").save(tmp_path)
    path.with_name("power.parquet").write_bytes(b"a trace")
    assert ExperimentResult.from_json(path, missing_sidecar="error").timeseries == "power.parquet"


def test_load_rejects_unknown_missing_sidecar_choice(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    with pytest.raises(ValueError, match="'warn', 'ignore', 'raise' or 'error', got 'explode'"):
        ResultStore(tmp_path).load(path, missing_sidecar="explode")  # type: ignore[arg-type]


def test_save_with_sidecar_below_a_file_leaves_nothing(result: ExperimentResult, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PersistenceError) as caught:
        result.save(tmp_path / "file", pa.table(COLUMNS))
    assert not caught.value.committed
    assert caught.value.result_path is None
