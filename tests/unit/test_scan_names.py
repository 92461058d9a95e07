"""Names of columns and keys: short ones, unknown ones, and ones that differ in case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llenergymeasure import ResultStore
from llenergymeasure.cli.query.columns import head_of_key, split_names
from llenergymeasure.cli.query.where import conditions
from support.optional import load, needs
from support.results import make_result

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
    with pytest.raises(ValueError, match=r"no column 'nope'; write config\.nope to declare a key"):
        store.scan(["path"], optional=["nope"])
    with pytest.raises(TypeError, match="optional expects a list of names"):
        store.scan(["path"], optional="config.nope")


def test_scan_optional_key_is_a_column_of_all_keys(store: ResultStore, tmp_path: Path) -> None:
    optional = ["config.nope", "config.batch_size", "config.optim", 'config."a.b"']
    (tmp_path / "empty").mkdir()
    for asked in (None, ["config"]):
        rows = store.scan(asked, optional=optional).to_pydict()
        assert rows["effective_config.nope"] == rows['effective_config."a.b"'] == [None, None]
        assert rows["effective_config.batch_size"] == [8, 16]
        assert "effective_config.optim" not in rows
        empty = ResultStore(tmp_path / "empty").scan(asked, optional=optional)
        assert "effective_config.nope" in empty.to_pydict()


def test_scan_config_as_json_has_the_name_that_was_asked_for(store: ResultStore) -> None:
    assert list(store.scan(["config", "id"], config="json").to_pydict()) == ["config", "id"]
    assert list(store.scan(["effective_config"], config="json").to_pydict()) == ["effective_config"]
    assert store.scan(["config", "effective_config"]).schema.names == store.scan(["config"]).schema.names


awkward = st.text("aé.,=!<>~\"' \\\n\x00\u202e\u00a0\u0301😀", max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(awkward, min_size=1, max_size=4, unique=True))
@example(["com,ma", "a=b", "a<b", "~t", "=1+1", " lead", "trail ", "", "z\x00", "new\nline", "a!"])
def test_scan_every_printed_name_of_a_key_resolves_to_the_key(keys: list[str]) -> None:
    values = {key: number for number, key in enumerate(keys)}
    with TemporaryDirectory() as root:
        record = Path(root) / "r" / "result.json"
        record.parent.mkdir()
        record.write_text(make_result(effective_config={"x": values}).model_dump_json())
        store = ResultStore(root)
        columns = store.scan(["config"]).to_pydict()
        assert [column[0] for column in columns.values()] == list(values.values())
        with pytest.raises(ValueError, match="no result has the key") as caught:
            store.scan(["config.x.unlike"]).to_pydict()
        suggested = split_names([str(caught.value).partition("; there is ")[2]])
        heads = [f"config.{head_of_key(column)}" for column in columns]
        for name in [*columns, *heads, *suggested]:
            assert name.isprintable()
            assert split_names([name]) == [name]
            if name not in ("config.x", "effective_config.x"):
                (value,) = store.scan([name]).to_pydict()[name]
                where = conditions("", [f"{name}={value}"])
                assert store.scan([name], where=where).to_pydict() == {name: [value]}


@needs("polars", "pyarrow")
def test_scan_key_with_nul_reaches_arrow(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"z\0": 1})
    store = ResultStore(tmp_path)
    name = 'effective_config."z\\u0000"'
    for scan in (store.scan(), store.scan(["config.z\0"])):
        assert load("polars").DataFrame(scan)[name].to_list() == [1]
        assert load("pyarrow").table(scan)[name].to_pylist() == [1]


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
