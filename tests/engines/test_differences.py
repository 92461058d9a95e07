"""The differences between engines that docs/how-to/engines.md names, and no others."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results.scan import Scan
from support.optional import load, needs
from support.results import make_result

pl = load("polars")
pytestmark = [needs("duckdb", "pandas", "polars", "pyarrow"), pytest.mark.filterwarnings("default")]


@pytest.fixture
def odd(tmp_path: Path) -> Scan:
    """Return a scan of a float that is a number, NaN and null, and of an unsigned integer."""
    store = ResultStore(tmp_path / "store")
    values: list[Any] = [7.5, math.nan, None]
    store.save_many(
        [
            make_result(experiment_id=str(value), effective_config={"x": value, "large": 2**64 - 1})
            for value in values
        ],
        durable=False,
    )
    return store.scan(["experiment_id", "effective_config.x", "effective_config.large"])


def test_order_selects_nan_in_polars_and_duckdb_only(odd: Scan, tmp_path: Path) -> None:
    frame = odd.to_pandas()
    assert list(frame[frame["effective_config.x"] > 5]["experiment_id"]) == ["7.5"]
    found = odd.lazy().filter(pl.col("effective_config.x") > 5).select("experiment_id").collect()
    assert sorted(found.to_series()) == ["7.5", "nan"]
    query = 'select experiment_id from results where "effective_config.x" > 5 order by 1'
    assert odd.sql(query).fetchall() == [("7.5",), ("nan",)]
    where = ResultStore(tmp_path / "store").scan(["experiment_id"], where=[("effective_config.x", ">", 5)])
    assert where.to_pydict()["experiment_id"] == ["7.5"]


def test_inequality_selects_null_in_pandas_only(odd: Scan) -> None:
    frame = odd.to_pandas()
    assert sorted(frame[frame["effective_config.x"] != 7.5]["experiment_id"]) == ["None", "nan"]
    found = odd.lazy().filter(pl.col("effective_config.x") != 7.5).collect()
    assert found["experiment_id"].to_list() == ["nan"]
    query = 'select experiment_id from results where "effective_config.x" != 7.5'
    assert odd.sql(query).fetchall() == [("nan",)]


def test_null_of_floats_is_nan_in_pandas_only(odd: Scan) -> None:
    assert odd.to_pandas()["effective_config.x"].isna().sum() == 2
    assert odd.to_polars()["effective_config.x"].null_count() == 1
    assert odd.sql('select count("effective_config.x") from results').fetchall() == [(2,)]


def test_sum_of_nothing_is_null_in_duckdb_only(odd: Scan) -> None:
    assert odd.sql('select sum("effective_config.x") from results where false').fetchall() == [(None,)]
    assert odd.lazy().filter(pl.lit(value=False)).select(pl.sum("effective_config.x")).collect().item() == 0
    assert odd.to_pandas()["effective_config.x"].iloc[:0].sum() == 0


@needs("deltalake")
def test_unsigned_integers_are_decimals_in_delta_only(odd: Scan, tmp_path: Path) -> None:
    import deltalake

    odd.to_delta(tmp_path / "table")
    values = deltalake.DeltaTable(tmp_path / "table").to_pyarrow_table()["effective_config.large"].to_pylist()
    assert values == [Decimal(2**64 - 1)] * 3
    assert odd.to_polars()["effective_config.large"].to_list() == [2**64 - 1] * 3
    assert odd.sql('select max("effective_config.large") from results').fetchall() == [(2**64 - 1,)]
