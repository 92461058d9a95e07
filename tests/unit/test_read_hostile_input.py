"""Drawn names, traces, records and trees, as in the fuzz targets of `rust/store/src/fuzzing`."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore, SidecarError
from llenergymeasure.errors import LLEMError, ResultError
from llenergymeasure.results.timeseries import read_timeseries
from support.traces import footer_length, varint

Make = Callable[..., ExperimentResult]
# The long form of the crash tests draws other inputs each time.
thorough = settings(
    derandomize=os.environ.get("LLEM_CRASH") != "long",
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=80,
)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Path]:
    """Yield the names of fresh directories."""
    return (tmp_path / f"{number}" for number in itertools.count())


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Limit this process to 2 GiB more than it has, so that a false claim of a file ends it."""
    resource = pytest.importorskip("resource")
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        pytest.skip("no /proc to read the memory of a process from")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def mutated(draw: Callable[[st.SearchStrategy[Any]], Any], content: bytes) -> bytes:
    """Change, remove and insert some bytes, and sometimes truncate the rest."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(changed)))
        changed[at : at + draw(st.sampled_from([0, 1, 1, 1, 2, 8]))] = draw(st.binary(max_size=3))
    return bytes(changed[: draw(st.integers(0, len(changed)))] if draw(st.integers(0, 9)) == 0 else changed)


@thorough
@given(model=st.text() | st.none(), backend=st.text())
def test_save_and_read_result_with_any_model_name_succeeds(
    model: str | None, backend: str, make_result: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("named") / "results"
    config = {} if model is None else {"model": model}
    result = make_result(effective_config=config, backend=backend)
    store = ResultStore(root)
    path = store.save(result, durable=False)
    assert path.parent.parent == root
    assert [entry.name for entry in root.parent.iterdir()] == ["results"]
    assert store.scan(["path", "backend"]).to_pydict() == {"path": [path.parent.name], "backend": [backend]}
    assert store.load(path) == result
    assert store.verify().complete == 1


def parquet(table: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target, store_schema=False, **options)
    return target.getvalue()


def with_footer(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change the footer of a file together with its length."""
    length = footer_length(content)
    footer = change(content[-8 - length : -8])
    return content[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


SECONDS = [float(second) for second in range(40)]
USUAL = {
    "timestamp_s": SECONDS,
    "power_w": pa.array([None, *SECONDS[1:]], pa.float32()),
    "gpu_index": pa.array([0] * 40, pa.int32()),
}
ODD = {
    "timestamp_s": list(range(40)),
    "power_w": list(range(40)),
    "text": ["a", "ab", "abc", None] * 10,
    "fixed": pa.array([b"0123456", None] * 20, pa.binary(7)),
    "flag": [True, None] * 20,
    "list": [[1, 2], None] * 20,
    "object": [{"x": 1}, None] * 20,
}
PLAIN = {"timestamp_s": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY", "power_w": "BYTE_STREAM_SPLIT"}
TRACES = {
    "usual": parquet(pa.table(USUAL), compression="zstd"),
    "bare": parquet(pa.table(USUAL), compression="none", use_dictionary=False, write_statistics=False),
    "odd": parquet(pa.table(ODD), compression="snappy", data_page_version="2.0"),
    "delta": parquet(pa.table(ODD), compression="none", use_dictionary=False, column_encoding=PLAIN),
    "groups": parquet(pa.table(USUAL), compression="none", row_group_size=7, data_page_size=16),
}


@st.composite
def traces(draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Draw Parquet files with some changed bytes, in the footer or anywhere."""
    complete = draw(st.sampled_from(sorted(TRACES.items())))[1]
    if draw(st.booleans()):
        return with_footer(complete, lambda footer: mutated(draw, footer))
    return mutated(draw, complete)


@pytest.mark.usefixtures("little_memory")
def test_read_and_save_any_bytes_as_trace_succeeds_or_raises(
    make_result: Make, places: Iterator[Path]
) -> None:
    @settings(thorough, max_examples=150)
    @given(content=traces() | st.binary(max_size=64))
    def are_read_or_refused(content: bytes) -> None:
        place = next(places)
        place.mkdir()
        source = place / "source.parquet"
        source.write_bytes(content)
        try:
            trace = read_timeseries(source)
        except ResultError as error:
            assert f"{source} ({len(content)} bytes)" in str(error)  # noqa: PT017 - one outcome of two
            trace = None
        store = ResultStore(place / "results")
        try:
            saved = store.save(make_result(), source, durable=False)
        except SidecarError:
            assert [entry.name for entry in store.root.glob("*/*")] == ["result.json"]
            assert trace is None
            return
        assert saved.with_name("timeseries.parquet").read_bytes() == content
        scan = store.scan_timeseries(["power_w"], on_error="collect")
        powers = scan.to_pydict()["power_w"]
        found = store.verify(deep=True)
        assert found.complete + len(found.damaged) == 1
        assert not powers or not scan.errors
        if trace is not None and len(trace):
            assert len(powers) == len(trace)

    are_read_or_refused()


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
def test_read_trace_with_huge_values_needs_little_memory(make_result: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    seconds = [float(second) for second in range(160)]
    usual = {"timestamp_s": seconds, "power_w": seconds}
    nulls = parquet(pa.table(usual | {"fixed": pa.array([None] * 160, pa.binary(77))}))

    def of_length(length: int) -> bytes:
        # In an element of the schema, field 1 is the type, field 2 the zigzag length.
        field = b"\x15\x0e\x15"
        as_it_is, claimed = field + varint(77 << 1), field + varint(length << 1)
        return with_footer(nulls, lambda footer: footer.replace(as_it_is, claimed))

    claims = {
        "past": of_length(2**31 - 1),
        "long": of_length(16 << 20),
        # Each row repeats the one string of the dictionary, of 16 MiB.
        "dictionary": parquet(
            pa.table(usual | {"text": pa.array(["x" * (16 << 20)]).dictionary_encode().take([0] * 160)}),
            compression="zstd",
        ),
    }
    for name, content in claims.items():
        source = tmp_path / name
        source.write_bytes(content)
        store.save(make_result(experiment_id=name), source, durable=False)
        assert len(read_timeseries(source)) == 160
    found = store.verify(deep=True)
    assert found.complete == 2
    assert "values of 2147483647 bytes" in found.damaged[0].problem


def test_scan_timeseries_with_exaggerated_row_count_reports_it(make_result: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    source = tmp_path / "source.parquet"
    # The row count, in field 3 of the file and of its row group.
    source.write_bytes(
        with_footer(
            TRACES["bare"],
            lambda footer: footer.replace(b"\x16" + varint(40 << 1), b"\x16" + varint((2**40) << 1)),
        )
    )
    path = store.save(make_result(), source, durable=False)
    scan = store.scan_timeseries(["power_w"], on_error="collect")
    assert scan.to_pydict() == {"power_w": []}
    ((where, error),) = scan.errors.items()
    assert where == path.with_name("timeseries.parquet")
    assert "the limit is 536870912, half of the 1073741824 bytes for all traces" in str(error)


NUMBERS = ["0", "-0", "1.0", "1e2", "1E400", "01", "1.", "-", "9007199254740993", "1e999", "NaN"]
TEXTS = ['"x"', '""', '"NaN"', '"\\ud800"', '"\\u00e9"', '"\\x"', '"\n"', '"2026-02-18T14:30:00Z"']
OTHERS = ["null", "true", "[]", "{}", "[1,]", '{"a": 1, "a": 2}', "nul", "", "[" * 200 + "]" * 200]
VALUES = st.sampled_from([*NUMBERS, *TEXTS, *OTHERS])


@st.composite
def records(draw: Callable[[st.SearchStrategy[Any]], Any], members: dict[str, str]) -> bytes:
    """Draw records with changed, missing, repeated and reordered members, and with changed bytes."""
    drawn = list(members.items())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(drawn) - 1))
        name = drawn[at][0]
        drawn[at : at + draw(st.integers(0, 1))] = draw(
            st.just([]) | st.tuples(st.just(name), VALUES).map(lambda member: [member])
        )
    if draw(st.integers(0, 5)) == 0:
        drawn = draw(st.permutations(drawn))
    between = draw(st.sampled_from([",", ", ", ",\n  "]))
    text = "{" + between.join(f'"{name}": {value}' for name, value in drawn) + "}"
    content = text.encode(errors="surrogatepass")
    return mutated(draw, content) if draw(st.booleans()) else content


@pytest.fixture
def members(make_result: Make) -> dict[str, str]:
    """Return the JSON of each field of a record."""
    result = make_result(effective_config={"model": "gpt2", "nested": {"é": [1, None]}})
    return {name: json.dumps(value) for name, value in json.loads(result.model_dump_json()).items()}


def refuse(constant: str) -> None:
    raise ValueError(constant)


def plainly(content: bytes) -> dict[str, Any]:
    """Parse a record with Python's parser, as RFC 8259 defines it."""
    parsed = json.loads(content.decode(), parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


SCALARS = ["experiment_id", "total_tokens", "total_energy_j", "timeseries", "backend"]


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and other in ("NaN", "Infinity", "-Infinity"):
        return repr(float(str(other))) == repr(one)
    if isinstance(one, float) and isinstance(other, (int, float)) and not isinstance(other, bool):
        # For an integer, -0 equals 0.
        signs = {math.copysign(1, value) for value in (one, other) if isinstance(value, float)}
        return float(other) == one and (isinstance(other, int) or len(signs) == 1)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def test_scan_any_record_matches_a_plain_parser_or_reports_it(
    members: dict[str, str], places: Iterator[Path]
) -> None:
    defaults = {"timeseries": None, "backend": json.loads(members["backend"])}

    @settings(thorough, max_examples=200)
    @given(content=records(members))
    def is_read_so(content: bytes) -> None:
        record = next(places) / "result.json"
        record.parent.mkdir()
        record.write_bytes(content)
        store = ResultStore(record.parent)
        scan = store.scan(SCALARS, on_error="collect")
        row = scan.to_pydict()
        assert list(scan.errors) == ([] if row["backend"] else [record])
        # A scan of all columns returns the same row or none.
        everything = store.scan(on_error="collect")
        complete = everything.to_pydict()
        assert list(everything.errors) == ([] if complete["backend"] else [record])
        if not row["backend"]:
            assert not complete["backend"]
            return
        parsed = plainly(content)
        for name in SCALARS:
            assert same(row[name][0], parsed.get(name, defaults.get(name))), name
            assert not complete[name] or repr(complete[name]) == repr(row[name])
        assert store.verify().complete == 1

    is_read_so()


def test_scan_checks_utf8_of_skipped_fields(members: dict[str, str], tmp_path: Path) -> None:
    text = "{" + ",".join(f'"{name}": {value}' for name, value in members.items()) + "}"
    content = text.encode().replace(b'"experiment-1"', b'"experiment-\xff"')
    (tmp_path / "result.json").write_bytes(content)
    scan = ResultStore(tmp_path).scan(["total_tokens"], on_error="collect")
    assert scan.to_pydict() == {"total_tokens": []}
    assert "not UTF-8" in str(scan.errors[tmp_path / "result.json"])


def test_read_any_tree_gives_consistent_rows_and_errors(
    members: dict[str, str], places: Iterator[Path]
) -> None:
    indented = json.dumps({name: json.loads(value) for name, value in members.items()}, indent=2).encode()
    contents = records(members) | st.sampled_from([indented, b"", b"\0" * 9, indented[:-1]])
    trees = st.dictionaries(st.sampled_from(["", "a", "a/b", "c", "c/d/e", "f"]), contents, max_size=6)

    @thorough
    @given(tree=trees)
    def is_so(tree: dict[str, bytes]) -> None:
        root = next(places)
        root.mkdir()
        # A scan searches nothing below a result, except below the root.
        results = {
            name: content
            for name, content in tree.items()
            if not any(other and name.startswith(f"{other}/") for other in tree)
        }
        files = {root / name / "result.json": content for name, content in results.items()}
        for file, content in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        store = ResultStore(root)
        scan = store.scan(["path", "measurement_config_hash"], on_error="collect")
        row = scan.to_pydict()
        rows = [root / path / "result.json" for path in row["path"]]
        assert sorted([*rows, *scan.errors]) == sorted(files)
        assert all(isinstance(error, LLEMError) for error in scan.errors.values())
        assert all(plainly(files[file]) for file in rows)
        shallow, deep = store.verify(), store.verify(deep=True)
        for found in (shallow, deep):
            damaged = {finding.path / "result.json" for finding in found.damaged}
            assert found.complete + len(damaged) == len(files)
            assert damaged <= files.keys()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert set(row["measurement_config_hash"]) <= store.completed()
            loaded = list(store.iter_results(on_error="skip"))
        # A bare NaN is not JSON, but it loads.
        assert deep.complete <= min(len(loaded), shallow.complete)
        bare = sum(b"NaN" in content or b"Infinity" in content for content in files.values())
        assert len(loaded) <= deep.complete + bare

    is_so()
