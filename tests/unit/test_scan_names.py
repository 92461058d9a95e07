"""Names of columns and keys: short ones, unknown ones, and ones that differ in case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from support.optional import load, needs

Put = Callable[..., Path]


@pytest.fixture
def store(put: Put, tmp_path: Path) -> ResultStore:
    """Return a store of two results with a few keys."""
    put("a", effective_config={"model": "m", "batch_size": 8, "optim": {"lr": 0.1}})
    put("b", effective_config={"model": "m", "batch_size": 16, "optimizer.lr": 0.2, "tensor_parallel": 2})
    return ResultStore(tmp_path)


def test_scan_short_names_are_the_columns_of_the_table(store: ResultStore) -> None:
    rows = store.scan(
        ["id", "model", "batch_size", "config.optim.lr", "effective_config.batch_size"]
    ).to_pydict()
    assert rows == {
        "id": ["experiment-1"] * 2,
        "model": ["m", "m"],
        "batch_size": [8, 16],
        "config.optim.lr": [0.1, None],
        "effective_config.batch_size": [8, 16],
    }
    assert list(store.scan(["config"]).to_pydict()) == list(store.scan(["effective_config"]).to_pydict())
    where: Any = [("batch_size", ">", 8), ("when", ">", "2020-01-01")]
    assert store.scan(["path"], where=where).to_pydict() == {"path": ["b"]}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("config.batchsize", "there is config.batch_size"),
        ("config.Batch_Size", "there is config.batch_size"),
        ("effective_config.modell", "there is effective_config.model"),
        ("config.lr", 'there is config."optimizer.lr", config.optim.lr'),
        ("config.*", "there is config"),
        ("effective_config.optim.*", "there is effective_config.optim"),
        ("config.zzz", "there is config.batch_size, config.model"),
    ],
)
def test_scan_unknown_key_suggests_the_nearest_names(store: ResultStore, name: str, hint: str) -> None:
    scans: list[Any] = [
        store.scan([name]),
        store.scan(["path"], where=[(name, "!=", 1)]),
        store.scan(["config", name], where=[("path", "==", "a")]),
    ]
    for scan in scans:
        with pytest.raises(ValueError, match="no result has the key") as caught:
            scan.to_pydict()
        assert str(caught.value).startswith(f"no result has the key '{name}'; {hint}")


@pytest.mark.parametrize("name", ["tensor_parallel", "tensor_paralel"])
def test_scan_unknown_column_suggests_a_key(store: ResultStore, name: str) -> None:
    for asked in ({"columns": [name]}, {"where": [(name, "==", 1)]}):
        with pytest.raises(ValueError, match=rf"no column '{name}'; there is .*config\.tensor_parallel"):
            store.scan(**asked)


def test_scan_key_of_an_excluded_result_is_known(store: ResultStore) -> None:
    wheres: list[Any] = [[("path", "==", "a")], [("batch_size", "==", 8)]]
    for where in wheres:
        assert store.scan(["config.tensor_parallel"], where=where).to_pydict() == {
            "config.tensor_parallel": [None]
        }
    assert store.scan(
        ["path"], where=[("path", "==", "a"), ("config.tensor_parallel", "==", 2)]
    ).to_pydict() == {"path": []}


def test_scan_empty_store_knows_every_key(tmp_path: Path) -> None:
    scan = ResultStore(tmp_path).scan(["config.nope"], where=[("config.other", "==", 1)])
    assert scan.to_pydict() == {"config.nope": []}


def test_scan_optional_key_may_be_absent(store: ResultStore) -> None:
    scan = store.scan(
        ["path", "config.nope"],
        where=[("config.other", "==", None)],
        optional=["effective_config.nope", "config.other"],
    )
    assert scan.to_pydict() == {"path": ["a", "b"], "config.nope": [None, None]}
    with pytest.raises(ValueError, match="no column 'nope'"):
        store.scan(["path"], optional=["nope"])
    with pytest.raises(TypeError, match="optional expects a list of names"):
        store.scan(["path"], optional="config.nope")


def test_scan_keys_with_dots_and_quotes_are_distinct(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"a.b": 1, "a": {"b": 2}, 'say "x"': 3, "a,b": 4, "c=d": 5})
    names = ['config."a.b"', "config.a.b", 'config."say \\"x\\""', 'config."a,b"', 'config."c=d"']
    assert list(ResultStore(tmp_path).scan(names).to_pydict().values()) == [[1], [2], [3], [4], [5]]


@needs("duckdb")
def test_sql_distinguishes_names_by_case(put: Put, tmp_path: Path) -> None:
    load("duckdb")
    put("a", effective_config={"TP": 1})
    put("b", effective_config={"tp": 2, "Tp": 3})
    scan = ResultStore(tmp_path).scan(["path", "config.TP", "config.tp", "config.Tp"])

    def rows(query: str) -> list[Any]:
        return list(scan.sql(query).fetchall())

    assert rows('select "config.tp" from results order by path') == [(None,), (2,)]
    assert rows('select "config.TP", "config.Tp" from results order by path') == [(1, None), (None, 3)]
    assert rows("""select '"config.tp"' -- "config.tp"\nfrom results where "config.Tp" = 3""") == [
        ('"config.tp"',)
    ]
    assert scan.sql('select "config.tp" from results').columns == ["config.tp"]
    assert len(set(scan.sql("select * from results").columns)) == 4
    with pytest.raises(ValueError, match=r"name of one column, got 'CONFIG\.TP'"):
        rows('select "CONFIG.TP" from results')


def test_export_keeps_names_that_differ_in_case(put: Put, tmp_path: Path) -> None:
    put("tree/a", effective_config={"TP": 1, "tp": 2, "x.y": 3, "x": {"y": 4}})
    ResultStore(tmp_path / "tree").scan(["effective_config"]).export(tmp_path / "out.csv")
    head, row = (tmp_path / "out.csv").read_text().splitlines()
    assert head == 'effective_config.TP,effective_config.tp,"effective_config.""x.y""",effective_config.x.y'
    assert row == "1,2,3,4"
