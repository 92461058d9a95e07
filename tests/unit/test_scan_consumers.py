"""Scans in pyarrow, polars, pandas, DuckDB and plain Python return the same rows."""

from __future__ import annotations

import gc
import json
import math
import threading
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llenergymeasure import ExperimentResult, ResultCorruptError, ResultStore
from llenergymeasure.results.scan import Scan
from support.optional import load, needs

Make = Callable[..., ExperimentResult]
duckdb, pd, pl = load("duckdb"), load("pandas"), load("polars")
pytestmark = needs("duckdb", "pandas", "polars")
sql: Any = duckdb.sql  # a select never returns the None of its type
COLUMNS = [
    "path",
    "total_tokens",
    "total_energy_j",
    "multi_gpu.num_gpus",
    "thermal_throttle.detected",
    "energy_per_device_j",
    "measurement_warnings",
    "process_results",
    "start_time",
    "start_time.utc",
    "has_timeseries",
    "saved_at",
    "effective_config",
]
TYPES = {
    "path": pa.string(),
    "total_tokens": pa.int64(),
    "total_energy_j": pa.float64(),
    "multi_gpu.num_gpus": pa.int64(),
    "thermal_throttle.detected": pa.bool_(),
    "energy_per_device_j": pa.list_(pa.float64()),
    "measurement_warnings": pa.list_(pa.string()),
    "process_results": pa.string(),
    "start_time": pa.timestamp("us"),
    "start_time.utc": pa.timestamp("us", "UTC"),
    "has_timeseries": pa.bool_(),
    "saved_at": pa.timestamp("us", "UTC"),
    "effective_config.model": pa.string(),
    "effective_config.large": pa.uint64(),
    "effective_config.mixed": pa.string(),
    "effective_config.deep.x": pa.float64(),
    "effective_config.list": pa.list_(pa.int64()),
}


@pytest.fixture
def store(tmp_path: Path, make_result: Make) -> ResultStore:
    """Save results of every kind of value."""
    store = ResultStore(tmp_path / "results")
    config: dict[str, Any] = {
        "model": "é",
        "large": 2**64 - 1,
        "mixed": 1,
        "deep": {"x": 1},
        "list": [1, None],
    }
    other = {"model": "b", "large": 0, "mixed": "x", "deep": {"x": 0.1}, "list": []}
    gpus = {
        "num_gpus": 2,
        "energy_per_gpu_j": [1.0, 2.0],
        "energy_total_j": 3.0,
        "energy_per_output_token_j": 0.1,
    }
    aware = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
    store.save_many(
        [
            make_result(
                effective_config=config, multi_gpu=gpus, start_time=aware, energy_per_device_j=[0.1, 0.2]
            ),
            make_result(effective_config=other, total_energy_j=math.nan, measurement_warnings=["a", ""]),
            make_result(effective_config={}, total_tokens=2**62 + 1, thermal_throttle={"detected": True}),
        ],
        durable=False,
    )
    return store


@pytest.fixture
def scan(store: ResultStore) -> Scan:
    """Return a scan with columns of every type."""
    return store.scan(COLUMNS)


def plain(value: Any) -> Any:
    """Return values of any library in a comparable form."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def test_scan_to_pydict_returns_the_saved_values(scan: Scan, store: ResultStore) -> None:
    columns = scan.to_pydict()
    loaded = [ExperimentResult.from_json(store.root / path) for path in columns["path"]]
    assert columns["total_tokens"] == [result.total_tokens for result in loaded]
    assert plain(columns["total_energy_j"]) == plain([result.total_energy_j for result in loaded])
    assert columns["effective_config.large"] == [result.effective_config.get("large") for result in loaded]
    assert [text and json.loads(text) for text in columns["effective_config.mixed"]] == [
        result.effective_config.get("mixed") for result in loaded
    ]
    assert columns["energy_per_device_j"] == [result.energy_per_device_j for result in loaded]
    assert len(set(map(repr, columns["total_energy_j"]))) == 2


def test_scan_schema_matches_the_stream_and_every_batch(scan: Scan) -> None:
    schema = pa.schema(scan.schema)
    assert dict(zip(schema.names, schema.types, strict=True)) == TYPES
    assert scan.schema.types == [str(kind) for kind in schema.types]
    assert pa.schema(scan) == schema  # through __arrow_c_schema__
    assert pa.table(scan).schema == schema
    for batch in scan:
        assert pa.schema(batch) == schema
        assert pa.record_batch(batch).schema == schema
        assert pa.table(batch).schema == schema
        assert batch.schema == scan.schema
    assert len(scan.schema) == len(TYPES)
    required = {field.name for field in schema if not field.nullable}
    assert required >= {"path", "has_timeseries", "total_energy_j", "start_time"}
    assert not any(name.startswith("effective_config") for name in required)
    assert repr(scan.schema).splitlines()[0] == "path: string"


def test_read_scan_in_pyarrow_twice_gives_the_same_table(scan: Scan) -> None:
    expected = scan.to_pydict()
    for _ in range(2):
        table = pa.table(scan)
        table.validate(full=True)
        assert plain(list(table.to_pydict().values())) == plain(list(expected.values()))
        assert table.schema == scan.to_arrow().schema
        assert plain(list(scan.to_arrow().to_pydict().values())) == plain(list(expected.values()))
    reader = pa.RecordBatchReader.from_stream(scan)
    assert sum(batch.num_rows for batch in reader) == 3


def test_read_two_streams_of_one_scan_gives_independent_rows(store: ResultStore) -> None:
    scan = store.scan(["path"], batch_size=1)
    first, second = (pa.RecordBatchReader.from_stream(scan) for _ in range(2))
    rows: list[list[Any]] = [[], []]
    for one, other in zip(first, second, strict=True):
        rows[0] += one.to_pydict()["path"]
        rows[1] += other.to_pydict()["path"]
    assert rows[0] == rows[1] == scan.to_pydict()["path"]


def test_read_stream_with_requested_schema_casts_where_possible(store: ResultStore) -> None:
    scan = store.scan(["path", "total_energy_j"])
    asked = pa.schema([("path", pa.large_string()), ("total_energy_j", pa.float32())])
    assert pa.table(scan, schema=asked).schema.types == asked.types


def test_read_scan_in_polars_gives_every_type(scan: Scan) -> None:
    expected = plain(list(scan.to_pydict().values()))
    series = pl.from_arrow(scan)
    assert isinstance(series, pl.Series)
    for frame in (scan.to_polars(), pl.DataFrame(scan), series.struct.unnest()):
        assert frame.columns == scan.schema.names
        assert plain([column.to_list() for column in frame.get_columns()]) == expected
        assert frame.schema["effective_config.large"] == pl.UInt64
        assert frame.schema["start_time.utc"] == pl.Datetime("us", "UTC")
        assert frame.schema["energy_per_device_j"] == pl.List(pl.Float64)


def test_read_scan_in_pandas_keeps_every_integer(scan: Scan) -> None:
    columns = scan.to_pydict()
    frame = scan.to_pandas()
    assert list(frame.columns) == scan.schema.names
    assert list(frame["total_tokens"]) == columns["total_tokens"]
    for name, kind in {
        "total_tokens": "int64",
        "multi_gpu.num_gpus": "Int64",
        "effective_config.large": "UInt64",
        "thermal_throttle.detected": "boolean",
        "has_timeseries": "bool",
        "total_energy_j": "float64",
        "start_time": "datetime64[us]",
        "start_time.utc": "datetime64[us, UTC]",
    }.items():
        assert str(frame[name].dtype).replace("[ns", "[us") == kind, name
    for name in ("multi_gpu.num_gpus", "effective_config.large", "path", "start_time", "start_time.utc"):
        read = [None if pd.isna(value) else value for value in frame[name]]
        assert read == columns[name], name
    assert [None if value is None else list(value) for value in frame["energy_per_device_j"]] == columns[
        "energy_per_device_j"
    ]
    if hasattr(pd.DataFrame, "from_arrow"):
        assert list(pd.DataFrame.from_arrow(scan)["total_tokens"]) == columns["total_tokens"]


def test_read_scan_in_duckdb_works_by_name_and_by_method(scan: Scan) -> None:
    columns = scan.to_pydict()
    query = 'select path, total_tokens, "effective_config.large", start_time from {} order by path'
    expected = list(
        zip(
            *(columns[n] for n in ("path", "total_tokens", "effective_config.large", "start_time")),
            strict=True,
        )
    )
    for _ in range(2):
        assert sql(query.format("scan")).fetchall() == expected
        assert scan.sql(query.format("results")).fetchall() == expected
    counted = "select count(*), sum(total_tokens) from {} where total_tokens > 1000"
    assert sql(counted.format("scan")).fetchall() == [(1, 2**62 + 1)]
    assert scan.sql(counted.format("results")).fetchall() == [(1, 2**62 + 1)]
    assert scan.sql("select count(*) from results a join results b using (path)").fetchall() == [(3,)]


def test_read_duckdb_relation_outlives_its_scan(store: ResultStore) -> None:
    relation = store.scan(["path"]).sql("select * from results")
    gc.collect()
    assert len(relation.fetchall()) == 3
    assert len(relation.fetchall()) == 3
    assert relation.count("*").fetchall() == [(3,)]


def test_read_scan_without_rows_keeps_the_columns_everywhere(tmp_path: Path) -> None:
    scan = ResultStore(tmp_path).scan()
    width = len(scan.schema)
    assert width > 100
    assert pa.table(scan).shape == scan.to_arrow().shape == (0, width)
    assert pl.DataFrame(scan).shape == scan.to_polars().shape == (0, width)
    assert scan.to_pandas().shape == (0, width)
    assert scan.sql("select count(*), sum(total_energy_j) from results").fetchall() == [(0, None)]
    assert sql("select count(*) from scan").fetchall() == [(0,)]


def test_read_scan_without_columns_counts_the_rows(store: ResultStore) -> None:
    scan = store.scan([])
    assert [len(batch) for batch in scan] == [3]
    assert pa.table(scan).num_rows == 3


def count_in_duckdb(scan: Scan) -> Any:
    assert scan is not None  # DuckDB finds it by its name
    return sql("select count(*) from scan").fetchall()


CONSUMERS: dict[str, Callable[[Scan], Any]] = {
    "pyarrow": pa.table,
    "polars": pl.DataFrame,
    "polars series": pl.from_arrow,
    "duckdb": count_in_duckdb,
    "pydict": Scan.to_pydict,
    "to_arrow": Scan.to_arrow,
    "to_polars": Scan.to_polars,
    "to_pandas": Scan.to_pandas,
    "sql": lambda scan: scan.sql("select count(*) from results").fetchall(),
    "lazy": lambda scan: scan.lazy().collect(),
}
OWN = ("pydict", "to_arrow", "to_polars", "to_pandas", "lazy")


@pytest.mark.parametrize("how", CONSUMERS)
def test_read_scan_with_invalid_record_names_it_in_every_consumer(dirty: ResultStore, how: str) -> None:
    scan = dirty.scan(["path"], batch_size=10)
    kind = ResultCorruptError if how in OWN else Exception
    with pytest.raises(kind, match=r"250/result\.json \(0 bytes\) is not .* result: the file is empty"):
        CONSUMERS[how](scan)


@pytest.mark.parametrize("how", CONSUMERS)
def test_read_scan_collects_errors_or_warns_once_in_every_consumer(dirty: ResultStore, how: str) -> None:
    scan = dirty.scan(["path"], on_error="collect", batch_size=10)
    CONSUMERS[how](scan)
    assert list(scan.errors) == [dirty.root / "250" / "result.json"]
    scan = dirty.scan(["path"], on_error="skip", batch_size=10)
    with pytest.warns(UserWarning, match=r"^1 file was skipped; the first: .*250/result\.json") as warned:
        CONSUMERS[how](scan)
    assert len(warned) == 1


@pytest.mark.parametrize("how", CONSUMERS)
def test_read_scan_with_warnings_as_errors_raises_in_every_consumer(dirty: ResultStore, how: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Exception, match="1 file was skipped"):
            CONSUMERS[how](dirty.scan(["path"], on_error="skip"))


def test_close_stream_early_ends_it(dirty: ResultStore) -> None:
    reader = pa.RecordBatchReader.from_stream(dirty.scan(["path"], batch_size=1))
    assert reader.read_next_batch().num_rows == 1
    reader.close()
    del reader
    capsule = dirty.scan(["path"]).__arrow_c_stream__()
    del capsule
    gc.collect()


def test_read_stream_in_another_thread_returns_all_rows(dirty: ResultStore) -> None:
    reader = pa.RecordBatchReader.from_stream(dirty.scan(["path"], on_error="collect", batch_size=10))
    rows: list[int] = []
    thread = threading.Thread(target=lambda: rows.extend(batch.num_rows for batch in reader))
    thread.start()
    thread.join(60)
    assert sum(rows) == 299


def test_scan_to_pandas_keeps_the_types_of_the_schema(tmp_path: Path, make_result: Make) -> None:
    names = [
        "start_time",
        "start_time.utc",
        "energy_breakdown.baseline_timestamp",
        "backend",
        "backend_version",
    ]
    empty = ResultStore(tmp_path).scan(names).to_pandas().dtypes
    ResultStore(tmp_path).save(make_result(), durable=False)
    nulls = ResultStore(tmp_path).scan(names).to_pandas().dtypes
    assert list(empty) == list(nulls)
    assert [str(kind) for kind in nulls[:3]] == ["datetime64[us]", "datetime64[us, UTC]", "datetime64[us]"]
    assert nulls["backend"] == nulls["backend_version"]


def test_scan_to_pandas_without_columns_counts_the_rows(store: ResultStore) -> None:
    assert len(store.scan([]).to_pandas()) == 3


@pytest.mark.parametrize(("column", "kind"), [("total_tokens", pa.int32()), ("backend", pa.int64())])
def test_read_stream_with_unsuitable_schema_never_drops_values(
    tmp_path: Path, make_result: Make, column: str, kind: pa.DataType
) -> None:
    ResultStore(tmp_path).save(make_result(total_tokens=2**40), durable=False)
    scan = ResultStore(tmp_path).scan([column])
    try:
        read = pa.table(scan, schema=pa.schema([(column, kind)])).to_pydict()
    except (ValueError, TypeError, pa.ArrowException):
        return
    assert read == scan.to_pydict()
