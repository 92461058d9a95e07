"""`Scan.lazy`: a polars lazy frame asks the scan only for the columns and rows of its query."""

from __future__ import annotations

import gc
import math
import pickle
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.errors import ResultCorruptError
from llenergymeasure.results.scan import Scan
from support.optional import load, needs
from support.results import make_result, make_trace

pl = load("polars")
pytestmark = needs("polars")
Asked = list[dict[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Note what lazy frames ask of a scan."""
    notes: Asked = []
    derived = Scan.derived

    def note(scan: Scan, columns: Any, where: Any = (), head: int | None = None) -> Scan:
        notes.append({"columns": list(columns), "where": list(where), "head": head})
        return derived(scan, columns, where, head)

    monkeypatch.setattr(Scan, "derived", note)
    return notes


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """Return a store of 3000 results."""
    store = ResultStore(tmp_path_factory.mktemp("many"))
    store.save_many((make_result(total_tokens=number) for number in range(3000)), durable=False)
    return store


def test_lazy_frame_has_the_columns_of_the_scan(scan: Scan) -> None:
    assert dict(scan.lazy().collect_schema()) == dict(scan.to_polars().schema)
    assert scan.lazy().collect().equals(scan.to_polars(), null_equal=True)
    assert scan.lazy().collect(engine="streaming").equals(scan.to_polars(), null_equal=True)


def test_collect_query_pushes_projection_and_predicate(scan: Scan, asked: Asked) -> None:
    query = (
        scan.lazy()
        .filter(pl.col("total_tokens") > 17, pl.col("backend").is_in(["vllm", "q"]))
        .filter(pl.col("effective_config.mixed") == "1", pl.col("total_energy_j") > 2)
        .select("path")
    )
    plan = query.explain()
    assert "PYTHON[llenergymeasure]" in plan
    assert "PROJECT 5/22 COLUMNS" in plan
    assert "FILTER" not in plan
    query.collect()
    (note,) = asked
    assert sorted(note["columns"]) == sorted(
        ["path", "backend", "total_tokens", "total_energy_j", "effective_config.mixed"]
    )
    # The texts of a column of mixed kinds are JSON, which a condition does not compare.
    assert sorted(note["where"], key=repr) == [
        ("backend", "in", ["vllm", "q"]),
        ("total_energy_j", "not <=", 2.0),
        ("total_tokens", ">", 17),
    ]


def test_collect_limit_opens_few_records(many: ResultStore) -> None:
    opened = [0]
    scan = many.scan(["path", "total_tokens"], progress=lambda done, _: opened.append(done))
    assert scan.lazy().head(5).collect().rows() == scan.lazy().collect().rows()[:5]
    opened[:] = [0]
    assert len(scan.lazy().head(5).collect()) == 5
    assert max(opened) <= 300
    opened[:] = [0]
    assert scan.lazy().filter(pl.col("total_tokens") < 3).select(pl.len()).collect().item() == 3
    assert max(opened) == 3000


def test_collect_limit_then_filter_applies_the_limit_first(many: ResultStore) -> None:
    first = many.scan(["path", "total_tokens"]).lazy().head(7)
    expected = [row for row in first.collect().rows() if row[1] > 100]
    assert first.filter(pl.col("total_tokens") > 100).collect().rows() == expected


def test_collect_count_reads_one_column(many: ResultStore, asked: Asked) -> None:
    assert many.scan().lazy().select(pl.len()).collect().item() == 3000
    assert [len(note["columns"]) for note in asked] == [1]


def test_collect_batches_holds_one_at_a_time(many: ResultStore) -> None:
    sizes: list[int] = []

    def note(frame: Any) -> Any:
        sizes.append(len(frame))
        return frame

    query = many.scan(["path"], batch_size=500).lazy().map_batches(note, streamable=True)
    assert len(query.collect(engine="streaming")) == 3000
    assert max(sizes) <= 1000


def test_pickle_lazy_frame_keeps_query_and_types(scan: Scan) -> None:
    query = scan.lazy().filter(pl.col("effective_config.batch") == 1).select("path")
    for copy in (pickle.loads(pickle.dumps(query)), pl.LazyFrame.deserialize(_serialized(query))):  # noqa: S301
        assert copy.collect().equals(query.collect())


def _serialized(query: Any) -> Any:
    import io

    return io.BytesIO(query.serialize())


def test_lazy_frame_of_partitions_reads_each_row_once(scan: Scan) -> None:
    parts = [part.lazy() for part in scan.partitions(5)]
    wanted = pl.col("effective_config.model") > "a"
    assert pl.concat(parts).filter(wanted).collect().equals(scan.lazy().filter(wanted).collect())


def test_lazy_frame_of_partition_with_names_of_floats_orders_them_as_texts(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for name in ("a", "NaN", "NaN"):
        store.save(make_result(effective_config={"model": "m", "x": name}), durable=False)
    scan = store.scan(["path", "effective_config.x"])
    wanted = pl.col("effective_config.x") > "A"
    found = [
        part.lazy().filter(wanted).collect()["effective_config.x"].to_list() for part in scan.partitions(3)
    ]
    assert found == [["a"], ["NaN"], ["NaN"]]
    equal = pl.col("effective_config.x") == "a"
    assert [len(part.lazy().filter(equal).collect()) for part in scan.partitions(3)] == [1, 0, 0]


def test_lazy_frame_of_power_traces_reads_their_samples(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "store")
    store.save(make_result(), make_trace(4), durable=False)
    frame = store.scan_timeseries().lazy()
    query = frame.filter(pl.col("power_w") > 251).select("power_w")
    assert query.collect().rows() == [(251.5,), (253.0,), (254.5,)]
    assert len(frame.head(2).collect()) == 2


def test_collect_with_invalid_record_raises_its_error(dirty_tree: ResultStore) -> None:
    with pytest.raises(ResultCorruptError, match="the file is empty"):
        dirty_tree.scan(["path"]).lazy().collect()
    scan = dirty_tree.scan(["path"], on_error="collect")
    assert len(scan.lazy().collect()) == 2
    assert len(scan.errors) == 1


@pytest.fixture
def dirty_tree(tmp_path: Path, result: ExperimentResult) -> ResultStore:
    """Return a store of three records, of which one is empty."""
    store = ResultStore(tmp_path / "dirty")
    first, *_ = store.save_many([result] * 3, durable=False)
    Path(str(first)).write_text("")
    return store


def test_lazy_frame_outlives_its_scan(many: ResultStore) -> None:
    frame = many.scan(["path"]).lazy()
    gc.collect()
    assert len(frame.collect()) == len(frame.collect()) == 3000


NAN = math.nan
NOON = datetime(2026, 2, 18, 12)  # noqa: DTZ001 - a local time
Build = Callable[[], Any]
PREDICATES: dict[str, tuple[Build, list[tuple[str, str, Any]]]] = {
    "order": (lambda: pl.col("i") > 1, [("i", ">", 1)]),
    "mirrored": (lambda: pl.lit(1) >= pl.col("i"), [("i", "<=", 1)]),
    "both": (lambda: (pl.col("i") == 1) & (pl.col("s") != "x"), [("i", "==", 1), ("s", "!=", "x")]),
    "either": (lambda: (pl.col("i") == 1) | (pl.col("s") != "x"), []),
    "two columns": (lambda: pl.col("i") == pl.col("u"), []),
    "between": (lambda: pl.col("i").is_between(1, 2, "right"), [("i", ">", 1), ("i", "<=", 2)]),
    "in": (lambda: pl.col("s").is_in(["a", "b"]), [("s", "in", ["a", "b"])]),
    "in one": (lambda: pl.col("s").is_in(pl.Series(["a"])), [("s", "in", ["a"])]),
    "in many": (lambda: pl.col("i").is_in(list(range(5000))), []),
    "null": (lambda: pl.col("s").is_null(), [("s", "==", None)]),
    "not null": (lambda: pl.col("s").is_not_null(), [("s", "!=", None)]),
    "boolean": (lambda: pl.col("b"), [("b", "==", True)]),
    "not boolean": (lambda: ~pl.col("b"), [("b", "==", False)]),
    "nan is greatest": (lambda: pl.col("f") > 1, [("f", "not <=", 1)]),
    "nan is greatest or equal": (lambda: pl.col("f") >= 1.5, [("f", "not <", 1.5)]),
    "nan equals nan": (lambda: pl.col("f") != NAN, [("f", "!=", math.nan)]),
    "order with nan": (lambda: pl.col("f") < NAN, []),
    "float of an integer": (lambda: pl.col("i") > 1.5, []),
    "beyond floats": (lambda: pl.col("u") == 2**60, []),
    "begins": (lambda: pl.col("s").str.starts_with("a"), [("s", "~", "a")]),
    "ends": (lambda: pl.col("s").str.ends_with("a"), [("s", "~", "a")]),
    "contains": (lambda: pl.col("s").str.contains("a.b", literal=True), [("s", "~", "a.b")]),
    "pattern": (lambda: pl.col("s").str.contains("a.b"), []),
    "local time": (lambda: pl.col("t") < pl.lit(NOON), [("t", "<", NOON)]),
    "instant for a local time": (lambda: pl.col("t") < pl.lit(NOON.replace(tzinfo=timezone.utc)), []),
    "date": (lambda: pl.col("t") < pl.lit(NOON.date()), []),
    "nanoseconds": (lambda: pl.col("t") < pl.lit(NOON, dtype=pl.Datetime("ns")), []),
    "unknown column": (lambda: pl.col("other") == 1, []),
    "arithmetic": (lambda: pl.col("i") + 1 == 2, []),
    "null operand": (lambda: pl.col("i") > pl.lit(None), []),
}


@pytest.mark.parametrize("name", PREDICATES)
def test_find_implied_conditions_of_predicate(name: str) -> None:
    from llenergymeasure.results._predicates import implied

    columns = {
        "i": pl.Int64(),
        "u": pl.UInt64(),
        "f": pl.Float64(),
        "s": pl.String(),
        "b": pl.Boolean(),
        "t": pl.Datetime("us"),
    }
    build, expected = PREDICATES[name]
    # By their texts, so that NaN equals itself.
    assert sorted(map(repr, implied(build(), columns))) == sorted(map(repr, expected))
