"""Columns of power traces of every type: readers return equal numbers, or refuse them with one message."""

from __future__ import annotations

import decimal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.results.timeseries import read_timeseries
from support.optional import load, needs

pytestmark = pytest.mark.published

pd, pl, duckdb = load("pandas"), load("polars"), load("duckdb")
USUAL = {"timestamp_s": pa.array([0.0, 1.0, 2.0]), "power_w": pa.array([10.0, 20.0, 30.0])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.parquet"


def answers(source: Path, result: ExperimentResult, root: Path) -> tuple[Any, Any, Any]:
    """Return what each reader returns of a trace, or its message without the path."""
    store = ResultStore(root)
    sidecar = store.save(result, source, durable=False).with_name("timeseries.parquet")

    def said(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except ResultError as error:
            return str(error).removeprefix(f"{sidecar} ")

    def scan() -> dict[str, list[Any]]:
        columns = store.scan_timeseries(columns=["timestamp_s", "gpu_index", "power_w", "throttle_reasons"])
        return columns.to_pydict()

    def read() -> dict[str, list[Any]]:
        trace = read_timeseries(sidecar)
        return {name: getattr(trace, name) for name in scan()}

    damaged = store.verify(deep=True).damaged
    return said(read), said(scan), damaged[0].problem.removeprefix("timeseries.parquet ") if damaged else None


def agreed(source: Path, result: ExperimentResult, root: Path) -> Any:
    """Return the answer of all readers."""
    read, scan, problem = answers(source, result, root)
    assert read == scan
    assert problem == (read if isinstance(read, str) else None)
    return read


SECONDS = [0, 1, 2]
ACCEPTED = {
    **{f"duration-{unit}": pa.array([0, per, 2 * per], pa.duration(unit)) for unit, per in
       {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}.items()},
    **{str(kind): pa.array(SECONDS, kind) for kind in
       (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
    **{str(kind): pa.array(SECONDS, kind) for kind in (pa.float32(), pa.float64())},
    "half": pa.array([float(second) for second in SECONDS], pa.float64()).cast(pa.float16()),
    "dictionary": pa.array([0.0, 1.0, 2.0]).dictionary_encode(),
    **{str(kind): pa.array([decimal.Decimal(second) for second in SECONDS], kind) for kind in
       (pa.decimal128(9, 4), pa.decimal128(18, 4), pa.decimal128(38, 20), pa.decimal256(76, 40))},
}  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
def test_read_trace_with_times_of_any_numeric_type_returns_seconds(
    kind: str, result: ExperimentResult, path: Path
) -> None:
    pq.write_table(pa.table(USUAL | {"timestamp_s": ACCEPTED[kind]}), path)
    read = agreed(path, result, path.parent / "store")
    assert read["timestamp_s"] == [0.0, 1.0, 2.0]
    assert read_timeseries(path).energy_j == 40.0


REFUSED = {
    "timestamp": ("timestamp_s", pa.array(SECONDS, pa.timestamp("us")), "got Timestamp"),
    "timestamp in seconds": ("timestamp_s", pa.array(SECONDS, pa.timestamp("s")), "got Timestamp"),
    "time": ("timestamp_s", pa.array(SECONDS, pa.time64("us")), "got Time64"),
    "boolean": ("gpu_index", pa.array([True, False, True]), "got Boolean"),
    "bool8": (
        "gpu_index",
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, 0], pa.int8())),
        "arrow.bool8",
    ),
    "fraction": ("gpu_index", pa.array([0.0, 0.5, 1.0]), "expects Int32, got 0.5 in row 1"),
    "decimal fraction": (
        "gpu_index",
        pa.array([decimal.Decimal("0.5")] * 3),
        "expects Int32, got 5e-1 in row 0",
    ),
    "wide index": ("gpu_index", pa.array([0, 1, 2**40]), "expects Int32, got 1099511627776 in row 2"),
    "list index": ("gpu_index", pa.array([[0], [1], [2]]), "expects numbers, got List"),
    "nulls": ("gpu_index", pa.array([0, None, 1]), "gpu_index has nulls"),
    "text": ("power_w", pa.array(["1", "2", "3"]), "expects numbers, got Utf8"),
    "text in a dictionary": (
        "power_w",
        pa.array(["1", "2", "3"]).dictionary_encode(),
        "expects numbers, got Utf8",
    ),
    "duration": ("power_w", pa.array(SECONDS, pa.duration("us")), "expects numbers, got Duration"),
    "structure": ("power_w", pa.array([{"w": 1.0}] * 3), "expects numbers, got Struct"),
    "large power": ("power_w", pa.array([1.0, 1e300, 2.0]), "expects Float32, got 1000"),
    "precise power": ("power_w", pa.array([1, 2, 2**24 + 1]), "expects Float32, got 16777217 in row 2"),
    "precise time": (
        "timestamp_s",
        pa.array([0, 1, 2**53 + 1]),
        "expects Float64, got 9007199254740993 in row 2",
    ),
    "unsigned mask": (
        "throttle_reasons",
        pa.array([0, 1, 2**63], pa.uint64()),
        "got 9223372036854775808 in row 2",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_read_trace_with_column_of_another_type_names_it(
    kind: str, result: ExperimentResult, path: Path
) -> None:
    name, column, reason = REFUSED[kind]
    pq.write_table(pa.table(USUAL | {name: column}), path)
    said = agreed(path, result, path.parent / "store")
    assert "is not a power trace: its column " in said
    assert name in said
    assert reason in said


@pytest.mark.parametrize("name", ["timestamp_s", "power_w"])
def test_read_trace_without_a_column_reports_it_everywhere(
    name: str, result: ExperimentResult, path: Path
) -> None:
    pq.write_table(
        pa.table({key: column for key, column in USUAL.items() if key != name} | {"timestamp": [1, 2, 3]}),
        path,
    )
    store = ResultStore(path.parent / "store")
    if name == "timestamp_s":
        with pytest.warns(UserWarning, match='expected a column "timestamp_s", got "power_w", "timestamp"'):
            saved = store.save(result, path, durable=False)
    else:
        saved = store.save(result, path, durable=False)
    for read in (lambda: read_timeseries(saved), lambda: store.scan_timeseries([name]).to_pydict(),
                 lambda: store.scan_timeseries(["timestamp"]).to_pydict()):  # fmt: skip
        with pytest.raises(ResultError, match=f"it has no column {name}"):
            read()
    assert f"it has no column {name}" in store.verify(deep=True).damaged[0].problem
    shown = subprocess.run([sys.executable, "-m", "llenergymeasure", "show", saved.parent],
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert f"it has no column {name}" in shown.stdout + shown.stderr


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_read_trace_with_durations_returns_the_nearest_float(values: list[int], unit: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.parquet")
        pq.write_table(
            pa.table({"timestamp_s": pa.array(values, pa.duration(unit)), "power_w": [1.0] * len(values)}),
            path,
        )
        per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        exact = [value % per != 0 or int(float(value // per)) == value // per for value in values]
        if all(exact):
            assert read_timeseries(path).timestamp_s == [value / per for value in values]
        else:
            with pytest.raises(ResultError, match="expects Float64, got"):
                read_timeseries(path)


@needs("pandas", "polars", "duckdb")
def test_read_trace_of_other_writers_agrees(result: ExperimentResult, path: Path) -> None:
    frame = pd.DataFrame({"timestamp_s": pd.to_timedelta([0.0, 1.5], unit="s"), "power_w": [10.0, 20.0]})
    writers: dict[str, Callable[[], object]] = {
        "pandas": lambda: frame.to_parquet(path),
        "polars": lambda: (
            pl.DataFrame({"timestamp_s": frame["timestamp_s"].to_numpy(), "power_w": [10.0, 20.0]})
            .with_columns(
                pl.col("timestamp_s").cast(pl.Duration("ms")), pl.col("power_w").cast(pl.Decimal(10, 2))
            )
            .write_parquet(path)
        ),
        "duckdb": lambda: duckdb.sql(
            "select 1.5 * i as timestamp_s, cast(10 * (i + 1) as smallint) as power_w from range(2) t(i)"
        ).write_parquet(str(path)),
    }
    for name, write in writers.items():
        write()
        read = agreed(path, result, path.parent / name)
        assert (read["timestamp_s"], read["power_w"]) == ([0.0, 1.5], [10.0, 20.0]), name


def test_scan_timeseries_other_columns_of_times_keeps_their_value(
    result: ExperimentResult, path: Path
) -> None:
    extra = {
        "elapsed": pa.array([0, 1500, None], pa.duration("ms")),
        "note": pa.nulls(3),
        "price": pa.array([decimal.Decimal("0.10"), None, decimal.Decimal("0.30")]),
    }
    pq.write_table(pa.table(USUAL | extra), path)
    store = ResultStore(path.parent / "store")
    store.save(result, path, durable=False)
    assert store.scan_timeseries(list(extra)).to_pydict() == {
        "elapsed": [0.0, 1.5, None],
        "note": [None] * 3,
        "price": [0.1, None, 0.3],
    }


@pytest.mark.parametrize("schema", [b"!", b"AAAA", b"A" * 60, b"/" * 60])
def test_read_trace_with_hostile_arrow_schema_names_it(schema: bytes, path: Path) -> None:
    pq.write_table(pa.table(USUAL), path)
    content = path.read_bytes()
    start = content.rindex(b"/////")
    path.write_bytes(content[:start] + schema + content[start + len(schema) :])
    with pytest.raises(ResultError, match="the types in its metadata ARROW:schema cannot be read"):
        read_timeseries(path)


def test_read_trace_beyond_the_memory_names_the_limit(
    result: ExperimentResult, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 100_000
    pq.write_table(pa.table({"timestamp_s": [1.0] * rows, "power_w": [1.0] * rows}), path)
    with pytest.raises(ResultError, match="raise max_trace_bytes or LLEM_MAX_TRACE_BYTES"):
        read_timeseries(path, max_bytes=1 << 20)
    root = path.parent / "store"
    for n in range(3):
        ResultStore(root).save(result, path, durable=False)
        (root / f"s{n}").mkdir()
    small = ResultStore(root, max_trace_bytes=1 << 20)
    with pytest.raises(
        ResultError, match="of memory or more; the limit is 524288, half of the 1048576 bytes"
    ):
        small.scan_timeseries().to_pydict()
    # One trace at a time fits.
    fitting = ResultStore(root, max_trace_bytes=16 << 20)
    assert len(fitting.scan_timeseries(["power_w"]).to_pydict()["power_w"]) == 3 * rows
    assert fitting.verify(deep=True).complete == 3
    monkeypatch.setenv("LLEM_MAX_TRACE_BYTES", "1048576")
    with pytest.raises(ResultError, match="the limit is 524288"):
        read_timeseries(path)
    for wrong, error in ((0, ValueError), ("1", TypeError), (True, TypeError)):
        with pytest.raises(error, match="max_trace_bytes expects"):
            ResultStore(root, max_trace_bytes=wrong)  # type: ignore[arg-type]
