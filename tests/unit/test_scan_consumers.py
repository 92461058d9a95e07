"""Whoever takes a scan gets the same rows: pyarrow, polars, pandas, DuckDB, and Python without them."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from llenergymeasure import ExperimentResult, ResultCorruptError, ResultStore
from llenergymeasure.results.scan import Scan

Make = Callable[..., ExperimentResult]
sql: Any = duckdb.sql  # its type tells of None, which a select never is

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
    """Ask for columns of every type."""
    return store.scan(COLUMNS)


def plain(value: Any) -> Any:
    """Make values of any library comparable."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def test_plain_lists_are_what_was_saved(scan: Scan, store: ResultStore) -> None:
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


def test_the_schema_is_that_of_the_stream_and_of_every_batch(scan: Scan) -> None:
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
    assert required >= {"path", "has_timeseries", "total_tokens", "start_time"}
    assert not any(name.startswith("effective_config") for name in required)
    assert repr(scan.schema).splitlines()[0] == "path: string"


def test_pyarrow_takes_a_scan_again_and_again(scan: Scan) -> None:
    expected = scan.to_pydict()
    for _ in range(2):
        table = pa.table(scan)
        table.validate(full=True)
        assert plain(list(table.to_pydict().values())) == plain(list(expected.values()))
        assert table.schema == scan.to_arrow().schema
        assert plain(list(scan.to_arrow().to_pydict().values())) == plain(list(expected.values()))
    reader = pa.RecordBatchReader.from_stream(scan)
    assert sum(batch.num_rows for batch in reader) == 3


def test_two_streams_of_one_scan_do_not_disturb_each_other(store: ResultStore) -> None:
    scan = store.scan(["path"], batch_size=1)
    first, second = (pa.RecordBatchReader.from_stream(scan) for _ in range(2))
    rows: list[list[Any]] = [[], []]
    for one, other in zip(first, second, strict=True):
        rows[0] += one.to_pydict()["path"]
        rows[1] += other.to_pydict()["path"]
    assert rows[0] == rows[1] == scan.to_pydict()["path"]


def test_a_schema_that_is_asked_for_is_given_where_it_can_be(store: ResultStore) -> None:
    scan = store.scan(["path", "total_energy_j"])
    asked = pa.schema([("path", pa.large_string()), ("total_energy_j", pa.float32())])
    assert pa.table(scan, schema=asked).schema.types == asked.types


def test_polars_takes_a_scan(scan: Scan) -> None:
    expected = plain(list(scan.to_pydict().values()))
    series = pl.from_arrow(scan)
    assert isinstance(series, pl.Series)
    for frame in (scan.to_polars(), pl.DataFrame(scan), series.struct.unnest()):
        assert frame.columns == scan.schema.names
        assert plain([column.to_list() for column in frame.get_columns()]) == expected
        assert frame.schema["effective_config.large"] == pl.UInt64
        assert frame.schema["start_time.utc"] == pl.Datetime("us", "UTC")
        assert frame.schema["energy_per_device_j"] == pl.List(pl.Float64)


def test_pandas_takes_a_scan_and_loses_no_integer(scan: Scan) -> None:
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


def test_duckdb_takes_a_scan_by_its_name_and_by_the_methods(scan: Scan) -> None:
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


def test_an_answer_of_duckdb_outlives_the_scan_and_is_read_again(store: ResultStore) -> None:
    relation = store.scan(["path"]).sql("select * from results")
    gc.collect()
    assert len(relation.fetchall()) == 3
    assert len(relation.fetchall()) == 3
    assert relation.count("*").fetchall() == [(3,)]


def test_a_table_without_rows_has_its_columns_everywhere(tmp_path: Path) -> None:
    scan = ResultStore(tmp_path).scan()
    width = len(scan.schema)
    assert width > 100
    assert pa.table(scan).shape == scan.to_arrow().shape == (0, width)
    assert pl.DataFrame(scan).shape == scan.to_polars().shape == (0, width)
    assert scan.to_pandas().shape == (0, width)
    assert scan.sql("select count(*), sum(total_energy_j) from results").fetchall() == [(0, None)]
    assert sql("select count(*) from scan").fetchall() == [(0,)]


def test_a_table_without_columns_still_counts_its_rows(store: ResultStore) -> None:
    scan = store.scan([])
    assert [len(batch) for batch in scan] == [3]
    assert pa.table(scan).num_rows == 3


# Bad files.


@pytest.fixture
def dirty(tmp_path: Path, result: ExperimentResult) -> ResultStore:
    """Make a tree whose bad file comes after many good ones."""
    for number in range(300):
        (tmp_path / "tree" / f"{number:03}").mkdir(parents=True)
        text = "" if number == 250 else result.model_dump_json()
        (tmp_path / "tree" / f"{number:03}" / "result.json").write_text(text)
    return ResultStore(tmp_path / "tree")


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
}
OWN = ("pydict", "to_arrow", "to_polars", "to_pandas", "sql")


@pytest.mark.parametrize("how", CONSUMERS)
def test_a_bad_file_in_mid_stream_is_an_error_that_names_it(dirty: ResultStore, how: str) -> None:
    scan = dirty.scan(["path"], batch_size=10)
    kind = ResultCorruptError if how in OWN else Exception
    with pytest.raises(kind, match=r"250/result\.json \(0 bytes\) is not a whole result: the file is empty"):
        CONSUMERS[how](scan)


@pytest.mark.parametrize("how", CONSUMERS)
def test_every_consumer_collects_the_errors_or_warns_once(dirty: ResultStore, how: str) -> None:
    scan = dirty.scan(["path"], on_error="collect", batch_size=10)
    CONSUMERS[how](scan)
    assert list(scan.errors) == [dirty.root / "250" / "result.json"]
    scan = dirty.scan(["path"], on_error="skip", batch_size=10)
    with pytest.warns(UserWarning, match=r"^1 file was skipped; the first: .*250/result\.json") as warned:
        CONSUMERS[how](scan)
    assert len(warned) == 1


@pytest.mark.parametrize("how", CONSUMERS)
def test_a_warning_that_is_an_error_is_one_for_every_consumer(dirty: ResultStore, how: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Exception, match="1 file was skipped"):
            CONSUMERS[how](dirty.scan(["path"], on_error="skip"))


def test_a_stream_that_is_given_up_ends(dirty: ResultStore) -> None:
    reader = pa.RecordBatchReader.from_stream(dirty.scan(["path"], batch_size=1))
    assert reader.read_next_batch().num_rows == 1
    reader.close()
    del reader
    capsule = dirty.scan(["path"]).__arrow_c_stream__()
    del capsule
    gc.collect()


def test_a_stream_is_read_in_another_thread(dirty: ResultStore) -> None:
    reader = pa.RecordBatchReader.from_stream(dirty.scan(["path"], on_error="collect", batch_size=10))
    rows: list[int] = []
    thread = threading.Thread(target=lambda: rows.extend(batch.num_rows for batch in reader))
    thread.start()
    thread.join(60)
    assert sum(rows) == 299


# Programs of their own.


def run(script: str, *arguments: Any) -> str:
    """Run a script; return what it printed."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


BLOCK = """
import importlib.abc, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
from llenergymeasure import ResultStore
"""


def test_each_method_names_the_package_that_it_lacks_and_plain_python_needs_none(store: ResultStore) -> None:
    script = """
        scan = ResultStore(sys.argv[1]).scan()
        assert len(scan.to_pydict()["path"]) == sum(map(len, scan)) == 3
        assert scan.schema.names[0] == "path"
        for name in ("to_arrow", "to_pandas", "to_polars", "sql"):
            try:
                getattr(scan, name)(*["select 1"] * (name == "sql"))
            except ImportError as error:
                print(error.name, "|", error)
        """
    said = run(
        "BLOCKED = {'pyarrow', 'pandas', 'polars', 'duckdb', 'numpy'}" + BLOCK + textwrap.dedent(script),
        store.root,
    )
    assert said.splitlines() == [
        "pyarrow | Scan.to_arrow needs pyarrow: pip install pyarrow",
        "pandas | Scan.to_pandas needs pandas: pip install pandas",
        "polars | Scan.to_polars needs polars: pip install polars",
        "duckdb | Scan.sql needs duckdb: pip install duckdb",
    ]


@pytest.mark.parametrize(
    "consumer",
    [
        "import polars as pl; print(len(scan.to_polars()), len(pl.DataFrame(scan)))",
        "import pandas as pd; print(len(scan.to_pandas()), len(scan.to_pandas()))",
        (
            "import duckdb; print(*scan.sql('select count(*) from results').fetchall()[0],"
            " *duckdb.sql('select count(*) from scan').fetchall()[0])"
        ),
    ],
    ids=["polars", "pandas", "duckdb"],
)
def test_every_consumer_but_pyarrow_does_without_pyarrow(store: ResultStore, consumer: str) -> None:
    script = "BLOCKED = {'pyarrow'}" + BLOCK + "scan = ResultStore(sys.argv[1]).scan()\n" + consumer
    assert run(script, store.root).split() == ["3", "3"]


def test_a_scan_imports_nothing_that_was_not_asked_for(store: ResultStore) -> None:
    script = """
        import sys
        from llenergymeasure import ResultStore
        ResultStore(sys.argv[1]).scan().to_pydict()
        print([name for name in ("pyarrow", "pandas", "polars", "duckdb", "numpy") if name in sys.modules])
        """
    assert run(script, store.root) == "[]\n"


INTERRUPTED = """
import os, signal, sys, threading
from llenergymeasure import ResultStore

def interrupt(*_):
    global calls
    calls += 1
    if calls == 3:
        os.kill(os.getpid(), signal.SIGINT)

calls = 0
signal.signal(signal.SIGINT, signal.default_int_handler)
scan = ResultStore(sys.argv[1]).scan(COLUMNS, batch_size=5, progress=interrupt)
try:
    WHAT
except KeyboardInterrupt:
    print("interrupted")
whole = ResultStore(sys.argv[1]).scan(["path"], on_error="collect")
print(len(whole.to_pydict()["path"]))
"""


@pytest.mark.parametrize("what", ["list(scan)", "scan.to_pydict()", "scan.to_arrow()", "scan.schema"])
def test_ctrl_c_ends_a_scan_and_the_next_one_is_whole(dirty: ResultStore, what: str) -> None:
    columns = "None" if what == "scan.schema" else '["path"]'
    script = INTERRUPTED.replace("COLUMNS", columns).replace("WHAT", what)
    assert run(script, dirty.root) == "interrupted\n299\n"


def test_what_progress_raises_ends_the_scan(dirty: ResultStore) -> None:
    def stop(_: int, __: int | None) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        dirty.scan(["path"], progress=stop).to_pydict()


def test_a_signal_handler_of_the_caller_runs_while_a_scan_is_read(dirty: ResultStore) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        for number, _ in enumerate(dirty.scan(["path"], on_error="collect", batch_size=10)):
            if number == 1:
                os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


def test_pandas_has_the_types_of_the_schema_whatever_the_values_are(
    tmp_path: Path, make_result: Make
) -> None:
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


def test_pandas_counts_the_rows_of_a_table_without_columns(store: ResultStore) -> None:
    assert len(store.scan([]).to_pandas()) == 3


@pytest.mark.parametrize(("column", "kind"), [("total_tokens", pa.int32()), ("backend", pa.int64())])
def test_a_schema_that_the_values_do_not_fit_loses_none_in_silence(
    tmp_path: Path, make_result: Make, column: str, kind: pa.DataType
) -> None:
    ResultStore(tmp_path).save(make_result(total_tokens=2**40), durable=False)
    scan = ResultStore(tmp_path).scan([column])
    try:
        read = pa.table(scan, schema=pa.schema([(column, kind)])).to_pydict()
    except (ValueError, TypeError, pa.ArrowException):
        return
    assert read == scan.to_pydict()


INTERRUPTED_STREAM = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from llenergymeasure import ResultStore

def has_read():
    return int(Path(f"/proc/{os.getppid()}/io").read_text().split()[1])

signal.signal(signal.SIGINT, signal.default_int_handler)
reader = pa.RecordBatchReader.from_stream(ResultStore(sys.argv[1]).scan(["path"]))
child = os.fork()
if child == 0:
    signal.alarm(60)
    while has_read() < int(sys.argv[2]):
        pass
    os.kill(os.getppid(), signal.SIGINT)
    os._exit(0)
try:
    try:
        reader.read_all()
    except Exception as error:
        print(type(error).__name__, "KeyboardInterrupt" in str(error), flush=True)
    os.waitpid(child, 0)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="what was read is told by /proc")
def test_ctrl_c_in_a_stream_is_an_interrupt(tmp_path: Path, make_result: Make) -> None:
    record = tmp_path / "record"
    record.write_text(make_result(effective_config={"padding": "x" * 300_000}).model_dump_json())
    for number in range(3000):
        (tmp_path / "tree" / f"{number:04}").mkdir(parents=True)
        os.link(record, tmp_path / "tree" / f"{number:04}" / "result.json")
    said = run(INTERRUPTED_STREAM, tmp_path / "tree", 500_000_000)
    assert said.splitlines()[-1] == "interrupted"


FORKED = """
import os, sys, warnings
import pyarrow as pa
from llenergymeasure import ResultStore

warnings.simplefilter("ignore", DeprecationWarning)
reader = pa.RecordBatchReader.from_stream(ResultStore(sys.argv[1]).scan(["path"], batch_size=1))
reader.read_next_batch()
child = os.fork()
if child == 0:
    import signal
    signal.alarm(10)
    try:
        WHAT
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], sum(batch.num_rows for batch in reader))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process is forked")
@pytest.mark.parametrize("what", ["list(reader)", "del reader"])
def test_a_stream_that_a_fork_inherits_is_an_error_there_and_does_not_hang(
    tmp_path: Path, result: ExperimentResult, what: str
) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04}").mkdir()
        (tmp_path / f"{number:04}" / "result.json").write_text(result.model_dump_json())
    said = run(FORKED.replace("WHAT", what), tmp_path)
    assert said.splitlines()[-1] == "0 2999"
    assert ("another process" in said) == (what == "list(reader)")
