"""`Scan.sql`: a DuckDB relation that reads what a query needs, when it is executed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results.scan import Scan
from support.optional import load, needs
from support.results import make_result

duckdb = load("duckdb")
pytestmark = needs("duckdb", "polars", "pyarrow")


def test_query_pushes_projection_and_filters(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[tuple[list[str], list[Any]]] = []
    derived = Scan.derived

    def note(scan: Scan, columns: Any, where: Any = (), head: int | None = None) -> Scan:
        if head is None:
            notes.append((sorted(columns), sorted(where, key=repr)))
        return derived(scan, columns, where, head)

    monkeypatch.setattr(Scan, "derived", note)
    relation = scan.sql(
        "select sum(total_tokens) from results where backend = 'vllm' and total_energy_j <= 5"
        ' and "effective_config.batch" in (1, 2) and total_tokens between 1 and 50'
    )
    assert not notes
    assert "backend" in relation.explain()
    relation.fetchall()
    assert notes[-1] == (
        ["backend", "effective_config.batch", "total_energy_j", "total_tokens"],
        [
            ("backend", "==", "vllm"),
            ("effective_config.batch", "in", [1, 2]),
            ("total_energy_j", "<=", 5.0),
            ("total_tokens", "<=", 50),
            ("total_tokens", ">=", 1),
        ],
    )


def test_query_lazy_frame_by_name_pushes_filters(scan: Scan) -> None:
    frame = scan.lazy()
    assert frame is not None  # DuckDB finds it by its name
    relation = duckdb.sql("select path from frame where backend = 'vllm'")
    assert "'vllm'" in relation.explain()
    assert sorted(relation.fetchall()) == sorted(
        scan.sql("select path from results where backend = 'vllm'").fetchall()
    )


def test_query_keys_that_differ_in_case_pushes_filters_on_each(scan: Scan) -> None:
    for name in ("tp", "TP"):
        query = f'select count(*) from results where "effective_config.{name}" = 2'  # noqa: S608
        values = scan.to_pydict()[f"effective_config.{name}"]
        assert scan.sql(query).fetchall() == [(values.count(2),)]


def test_execute_relation_again_reads_the_tree_again(tmp_path: Any) -> None:
    store = ResultStore(tmp_path)
    store.save(make_result(), durable=False)
    relation = store.scan(["path"]).sql("select count(*) from results")
    store.save(make_result(), durable=False)
    assert relation.fetchall() == [(2,)]


def test_query_without_polars_reads_the_whole_table(tmp_path: Any) -> None:
    ResultStore(tmp_path).save(make_result(), durable=False)
    script = f"""
import sys
sys.modules["polars"] = None
from llenergymeasure import ResultStore
print(ResultStore({str(tmp_path)!r}).scan(["backend"]).sql("select * from results").fetchall())
"""  # noqa: S608 - of a test
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("[('pytorch',)]\n", "")
