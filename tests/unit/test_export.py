"""Exports of a scan as one file."""

from __future__ import annotations

import csv
import json
import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ResultStore
from llenergymeasure.errors import PersistenceError, ResultCorruptError
from support.optional import load, needs
from support.results import make_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llenergymeasure import ExperimentResult

pl, polars_testing = load("polars"), load("polars.testing")
ENDINGS = ["parquet", "csv", "arrow", "feather", "ipc", "jsonl", "ndjson"]
TEXTS = [
    "plain",
    "",
    'say "x", twice',
    "two\nlines\r\n",
    " spaced ",
    "Zürich ✓ \U0001f600",
    "null",
    "\x00\x1b",
]
AWARE = datetime(2026, 2, 18, 14, 30, 0, 123_456, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path, make_result: Callable[..., ExperimentResult]) -> ResultStore:
    """Save results with every type of column, with nulls, and with values that formats distort."""
    store = ResultStore(tmp_path / "results")
    floats = [0.1, math.nan, math.inf, -math.inf, 1e300, -0.0, 5e-324, 3.0]
    for number, (text, value) in enumerate(zip(TEXTS, floats, strict=True)):
        has_all = number % 2 == 0
        store.save(
            make_result(
                experiment_id=text or "none",
                reproducibility_notes=text,
                total_energy_j=value,
                energy_adjusted_j=None if has_all else value,
                energy_per_device_j=[value, 1.5] if has_all else None,
                measurement_warnings=[text, "b"] if has_all else [],
                start_time=AWARE if has_all else AWARE.replace(tzinfo=None),
                end_time=AWARE if has_all else AWARE.replace(tzinfo=None, microsecond=0),
                effective_config={
                    "model": "gpt2",
                    "unsigned": 2**63 + number,
                    "signed": -number,
                    "float": number / 7,
                    "flag": has_all,
                    "mixed": [text, number, None, {"a": 1}][number % 4],
                    "a,b": text,
                    **({"rare": 1} if number == 3 else {}),
                },
            ),
            durable=False,
        )
    return store


def exported(store: ResultStore, ending: str, **scan: Any) -> Path:
    """Export in batches of three rows."""
    path = store.root.parent / f"table.{ending}"
    assert store.scan(batch_size=3, **scan).export(path) == len(TEXTS)
    return path


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def plain(value: Any) -> Any:
    """Return a value of a column in the form of JSON."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


@needs("polars")
@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather", "ipc"])
def test_export_binary_format_keeps_every_type(store: ResultStore, ending: str) -> None:
    expected = store.scan().to_arrow()
    path = exported(store, ending)
    if ending == "parquet":
        table, frame = pq.read_table(path), pl.read_parquet(path)
    else:
        table, frame = pa.ipc.open_file(path).read_all(), pl.read_ipc(path)
    assert table.schema.equals(expected.schema)
    # Compare texts, since NaN equals nothing.
    assert repr(table.to_pydict()) == repr(expected.to_pydict())
    polars_testing.assert_frame_equal(frame, store.scan().to_polars())


def test_export_feather_is_readable_by_pyarrow(store: ResultStore) -> None:
    assert pyarrow.feather.read_table(exported(store, "feather")).num_rows == len(TEXTS)


def test_export_parquet_uses_zstd(store: ResultStore) -> None:
    metadata = pq.ParquetFile(exported(store, "parquet")).metadata
    group = metadata.row_group(0)
    assert {group.column(place).compression for place in range(metadata.num_columns)} == {"ZSTD"}


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_export_json_lines_writes_rows_like_records(store: ResultStore, ending: str) -> None:
    rows = [json.loads(line) for line in exported(store, ending).read_text().split("\n")[:-1]]
    expected = store.scan().to_arrow()
    assert [list(row) for row in rows] == [expected.column_names] * len(TEXTS)
    assert rows == [{name: plain(value) for name, value in row.items()} for row in expected.to_pylist()]


@needs("polars")
def test_export_json_lines_of_finite_values_reads_back(store: ResultStore) -> None:
    columns = ["path", "backend", "total_tokens", "effective_config.float", "measurement_warnings"]
    path = exported(store, "jsonl", columns=columns)
    polars_testing.assert_frame_equal(pl.read_ndjson(path), store.scan(columns).to_polars())
    import pyarrow.json

    assert pyarrow.json.read_json(path).to_pydict() == store.scan(columns).to_arrow().to_pydict()


@needs("polars")
def test_export_csv_reads_back(store: ResultStore) -> None:
    expected = store.scan().to_arrow()
    path = exported(store, "csv")
    types = {
        field.name: pa.string() if pa.types.is_list(field.type) else field.type for field in expected.schema
    }
    table = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    found = table.to_pydict()
    for field in expected.schema:
        values = expected[field.name].to_pylist()
        if pa.types.is_list(field.type):
            lists = [None if text is None else json.loads(text) for text in found[field.name]]
            assert lists == plain(values), field.name
        else:
            assert repr(found[field.name]) == repr(values), field.name

    scalars = [
        name for name, kind in types.items() if not pa.types.is_string(kind) or name in ("path", "backend")
    ]
    wanted = store.scan().to_polars().select(scalars)
    frame = pl.read_csv(path, schema_overrides=dict(wanted.schema), columns=scalars)
    polars_testing.assert_frame_equal(frame, wanted)


def test_export_csv_distinguishes_null_from_empty_text(store: ResultStore) -> None:
    path = exported(store, "csv", columns=["reproducibility_notes", "backend_version"])
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["reproducibility_notes", "backend_version"]
    assert sorted(text for text, _ in rows) == sorted(TEXTS)
    assert '"",\n' in path.read_text()


def test_export_without_rows_keeps_the_columns(tmp_path: Path, store: ResultStore) -> None:
    for ending in ENDINGS:
        path = tmp_path / f"none.{ending}"
        scan = store.scan(["backend", "total_tokens"], where=[("backend", "==", "no such")])
        assert scan.export(path) == 0
    assert (tmp_path / "none.csv").read_text() == "backend,total_tokens\n"
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "none.parquet").schema.names == ["backend", "total_tokens"]
    assert pa.ipc.open_file(tmp_path / "none.arrow").read_all().num_rows == 0


def test_export_power_traces_reads_back(tmp_path: Path, make_result: Callable[..., ExperimentResult]) -> None:
    store = ResultStore(tmp_path / "results")
    trace = pa.table(
        {
            "timestamp_s": [0.0, 1.0, 2.0],
            "gpu_index": pa.array([0, -1, 1], pa.int32()),
            "power_w": pa.array([0.1, None, math.inf], pa.float32()),
        }
    )
    store.save(make_result(experiment_id="x"), trace, durable=False)
    scan = store.scan_timeseries(["timestamp_s", "gpu_index", "power_w"])
    for ending in ENDINGS:
        assert scan.export(tmp_path / f"t.{ending}") == 3
    assert pq.read_table(tmp_path / "t.parquet").equals(scan.to_arrow())
    assert (
        tmp_path / "t.csv"
    ).read_text() == "timestamp_s,gpu_index,power_w\n0.0,0,0.1\n1.0,-1,\n2.0,1,Infinity\n"
    lines = (tmp_path / "t.jsonl").read_text().splitlines()
    assert [json.loads(line)["power_w"] for line in lines] == [0.1, None, "Infinity"]


@pytest.mark.parametrize("name", ["table", "table.json", "table.csv.gz", ".csv", "table.xlsx"])
def test_export_with_unknown_ending_raises_before_reading(
    store: ResultStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ValueError, match=r"expects an ending of \.parquet, \.csv, "):
        store.scan(progress=lambda *_: pytest.fail("it was read")).export(tmp_path / name)


@pytest.mark.parametrize("ending", ENDINGS)
def test_export_with_invalid_record_keeps_the_old_file(store: ResultStore, ending: str) -> None:
    bad = store.root / "zz" / "result.json"
    bad.parent.mkdir()
    bad.write_text("{")
    path = store.root.parent / f"table.{ending}"
    path.write_text("old")
    with pytest.raises(ResultCorruptError):
        store.scan(batch_size=2).export(path)
    assert path.read_text() == "old"
    assert names(path.parent) == ["results", path.name]
    scan = store.scan(on_error="collect")
    assert scan.export(path) == len(TEXTS)
    assert list(scan.errors) == [bad]


@pytest.mark.parametrize("ending", ENDINGS)
def test_interrupt_export_leaves_no_file(store: ResultStore, ending: str) -> None:
    def interrupt(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    path = store.root.parent / f"table.{ending}"
    with pytest.raises(KeyboardInterrupt):
        store.scan(["backend"], progress=interrupt).export(path)
    assert names(path.parent) == ["results"]


def test_export_to_missing_directory_names_it(store: ResultStore, tmp_path: Path) -> None:
    with pytest.raises(PersistenceError, match="absent"):
        store.scan().export(tmp_path / "absent" / "table.csv")
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        store.scan().export(tmp_path / "table.csv")
    assert names(tmp_path) == ["results", "table.csv"]


def test_export_over_power_trace_of_a_result_raises(store: ResultStore, tmp_path: Path) -> None:
    record = next(store.root.glob("*/result.json"))
    with pytest.raises(ValueError, match="power trace"):
        store.scan().export(record.with_name("timeseries.parquet"))
    assert names(record.parent) == ["result.json"]
    assert store.scan().export(tmp_path / "timeseries.parquet") == len(TEXTS)


def test_export_inside_the_store_adds_no_result(store: ResultStore) -> None:
    path = store.root / "table.parquet"
    assert [store.scan().export(path) for _ in range(2)] == [len(TEXTS)] * 2


def test_export_to_relative_path_replaces_a_symlink(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target").write_text("another's")
    (tmp_path / "table.csv").symlink_to("target")
    store.scan(["backend"]).export("table.csv")
    assert not (tmp_path / "table.csv").is_symlink()
    assert (tmp_path / "target").read_text() == "another's"


def test_export_real_results_reads_back(data: Path, tmp_path: Path) -> None:
    from llenergymeasure import ExperimentResult

    store = ResultStore(tmp_path / "results")
    with (data / "mlenergy_llm_results.jsonl").open() as lines:
        results = [ExperimentResult.model_validate_json(line) for line in lines]
    store.save_many(results, durable=False)
    expected = store.scan().to_arrow()
    assert store.scan().export(tmp_path / "t.parquet") == len(results)
    assert store.scan().export(tmp_path / "t.arrow") == len(results)
    assert store.scan().export(tmp_path / "t.jsonl") == len(results)
    assert pq.read_table(tmp_path / "t.parquet").equals(expected)
    assert pa.ipc.open_file(tmp_path / "t.arrow").read_all().equals(expected)
    with (tmp_path / "t.jsonl").open() as lines:
        assert [json.loads(line) for line in lines] == plain(
            [{name: plain(value) for name, value in row.items()} for row in expected.to_pylist()]
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_export_without_rows_keeps_an_old_file_and_warns(store: ResultStore, ending: str) -> None:
    path = store.root.parent / f"table.{ending}"
    nothing = store.scan(["path"], where=[("backend", "==", "none")])
    assert nothing.export(path) == 0
    path.write_text("old")
    with pytest.warns(UserWarning, match=f"nothing to export: the table has no rows; .*table.{ending} is"):
        assert nothing.export(path) == 0
    for record in store.root.rglob("result.json"):
        record.write_text("{")
    with pytest.warns(UserWarning, match="nothing to export"):
        assert store.scan(["path"], on_error="collect").export(path) == 0
    with pytest.warns(UserWarning, match="nothing to export"):
        assert store.scan_timeseries(on_error="collect").export(path) == 0
    assert path.read_text() == "old"
    assert names(path.parent) == ["results", path.name]


def test_export_for_a_spreadsheet_escapes_formulas_and_keeps_numbers(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    for number, text in enumerate(["=1+1", "+a", "-a", "@a", "\ta", "\ra", "-1.5", "plain; =1"]):
        config = {
            "model": "m",
            "text": text,
            "number": -number - 1,
            "mixed": [-1, "-a", None, True][number % 4],
        }
        result = make_result(
            experiment_id=str(number),
            effective_config=config,
            measurement_warnings=[text],
            total_energy_j=-0.5,
        )
        store.save(result, durable=False)
    columns = [
        *("experiment_id", "effective_config.text", "effective_config.number", "effective_config.mixed"),
        *("total_energy_j", "measurement_warnings"),
    ]
    path = tmp_path / "t.csv"
    assert store.scan(columns).export(path, excel=True) == 8
    with path.open(newline="") as file:
        head, *rows = sorted(csv.reader(file), reverse=True)
    assert head == columns
    rows.sort()
    assert [row[1] for row in rows] == ["'=1+1", "'+a", "'-a", "'@a", "'\ta", "'\ra", "-1.5", "plain; =1"]
    assert [row[2] for row in rows] == [str(-number - 1) for number in range(8)]
    assert [row[3] for row in rows] == ["-1", '"-a"', "", "true"] * 2
    assert {row[4] for row in rows} == {"-0.5"}
    assert rows[0][5] == '["=1+1"]'
    store.scan(columns).export(path)
    assert "\n0,=1+1,-1," in path.read_text()
    with pytest.raises(ValueError, match=r"excel expects a path that ends in \.csv"):
        store.scan(columns).export(tmp_path / "t.parquet", excel=True)


def test_export_without_columns_is_refused(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="expected a table with columns, got none"):
        store.scan([]).export(store.root / "t.csv")
