"""`integrations.spark`: options, types and filters of the data source, and what Spark does otherwise."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engines.tree import COLUMNS, RESULTS
from llenergymeasure import ResultStore
from support import spark
from support.optional import needs
from support.results import make_results

pytestmark = [needs("pyspark", "pyarrow"), pytest.mark.filterwarnings("default")]  # of Spark itself

LEAKS = "Spark 4.3 keeps the filters of the latest query for the whole frame"


def rows(frame: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a frame in order."""
    return sorted((tuple(row) for row in frame.collect()), key=repr)


def test_load_gives_spark_types_of_columns(tree: ResultStore) -> None:
    frame = spark.load(str(tree.root), columns=json.dumps(list(COLUMNS)))
    kinds = dict(frame.dtypes)
    assert kinds["total_tokens"] == "bigint"
    assert kinds["effective_config.large"] == "decimal(20,0)"
    assert (kinds["start_time"], kinds["start_time.utc"]) == ("timestamp_ntz", "timestamp")
    assert (kinds["effective_config.tags"], kinds["effective_config.layers"]) == (
        "array<string>",
        "array<bigint>",
    )
    assert kinds['effective_config."opt.lr"'] == "double"


def test_load_divides_store_and_selects_columns_and_rows(tree: ResultStore) -> None:
    frame = spark.load(str(tree.root), columns="path, tokens", partitions="7", where="tokens<10")
    assert (frame.columns, frame.rdd.getNumPartitions()) == (["path", "tokens"], 7)
    expected = tree.scan(["path", "tokens"], where=[("tokens", "<", 10)]).to_pydict()
    assert rows(frame) == sorted(zip(*expected.values(), strict=True), key=repr)
    several = spark.load(str(tree.root), columns="path", where='["backend=vllm", ["tokens", "<", 10]]')
    both = tree.scan(["path"], where=[("tokens", "<", 10), ("backend", "==", "vllm")])
    assert rows(several) == [(name,) for name in sorted(both.names())]


def test_load_with_given_types_skips_other_values(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for number, result in enumerate(make_results(4)):
        config = {"batch": number or "text"}
        store.save(result.model_copy(update={"effective_config": config}), durable=False)
    types = json.dumps({"config.batch": "int64"})
    frame = spark.load(str(tmp_path), columns="config.batch", schema=types, on_error="skip")
    assert rows(frame) == [(1,), (2,), (3,)]


def test_load_converts_to_schema_of_user(tree: ResultStore) -> None:
    reader = (
        spark.session().read.format("llenergymeasure").schema("total_tokens decimal(20,0), backend string")
    )
    frame = reader.load(str(tree.root))
    assert frame.dtypes == [("total_tokens", "decimal(20,0)"), ("backend", "string")]
    assert frame.count() == RESULTS
    assert {type(value) for value, _ in frame.collect()} == {Decimal}


def test_load_of_empty_store_has_no_rows(tmp_path: Path) -> None:
    assert rows(spark.load(str(tmp_path), columns="path,tokens")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colums": "path"}, "expected an option of path, columns"),
        ({"partitions": "0"}, "partitions expects an integer of at least 1, got '0'"),
        ({"where": "tokens"}, "where expects a column, one of"),
        ({"where": "a=1 and b=2"}, "where expects one condition"),
        ({"schema": "[]"}, "schema expects a JSON object"),
        ({"on_error": "collect"}, "on_error expects 'raise' or 'skip'"),
        ({"pushdown": "yes"}, "pushdown expects true or false"),
    ],
)
def test_read_options_rejects_invalid_option(options: dict[str, str], message: str, tmp_path: Path) -> None:
    from llenergymeasure.integrations.spark import ResultsSource

    with pytest.raises(ValueError, match=message):
        ResultsSource({"path": str(tmp_path)} | options)


def test_second_query_of_frame_is_independent_of_first(tree: ResultStore) -> None:
    frame = spark.load(str(tree.root), columns="path,tokens")
    low, high = frame.where("tokens < 10"), frame.where("tokens >= 10")
    assert low.count() + high.count() == RESULTS
    assert (low.union(high).count(), frame.count()) == (RESULTS, RESULTS)


FILTERS = [
    "`total_tokens` >= 40",
    "`effective_config.large` = 18446744073709551615",
    "`effective_config.model` in ('m1', 'x')",
    "not `effective_config.model` in ('m1', 'x')",
    "`effective_config.model` like 'm%'",
    "`effective_config.lr` < 0.5D",
    "`effective_config.lr` = double('NaN')",
    "`effective_config.lr` > 0.5D",
    "`effective_config.lr` >= double('NaN')",
    "`effective_config.mixed` = '\"1\"'",
    "`effective_config.flag`",
    "`start_time` < timestamp_ntz'2026-02-18 12:00:00'",
    "`start_time.utc` >= timestamp'2026-02-18 11:30:00Z'",
    "`effective_config.batch` is null",
    "`effective_config.model` is null",
]


@pytest.mark.parametrize("query", FILTERS)
def test_pushed_filter_selects_same_rows(query: str, tree: ResultStore) -> None:
    options = {"columns": json.dumps(list(COLUMNS)), "partitions": "2"}
    expected = rows(spark.load(str(tree.root), **options).where(query).select("path"))
    assert expected
    assert (
        rows(spark.load(str(tree.root), pushdown="true", **options).where(query).select("path")) == expected
    )


def test_implied_conditions_leave_out_what_spark_compares_otherwise(tree: ResultStore) -> None:
    from pyspark.sql import datasource as ds

    from llenergymeasure.integrations._spark_filters import implied

    schema = tree.scan(list(COLUMNS)).schema

    def of(one: Any) -> Any:
        return implied([one], schema)

    lr, model, batch = ("effective_config.lr",), ("effective_config.model",), ("effective_config.batch",)
    assert of(ds.LessThan(lr, 0.5)) == [("effective_config.lr", "<", 0.5)]
    assert of(ds.GreaterThan(lr, 0.5)) == [("effective_config.lr", "not <=", 0.5)]  # Spark selects NaN
    assert of(ds.GreaterThanOrEqual(lr, math.nan)) == []
    assert of(ds.LessThan(lr, math.nan)) == []
    assert of(ds.EqualTo(("effective_config.mixed",), "1")) == []  # the text of a JSON value
    assert of(ds.IsNull(batch)) == []  # an integer beyond 64 bits
    assert of(ds.IsNotNull(batch)) == [("effective_config.batch", "!=", None)]
    assert of(ds.Not(ds.EqualTo(model, "m1"))) == [("effective_config.model", "!=", "m1")]
    assert of(ds.Not(ds.LessThan(batch, 1))) == []
    assert of(ds.StringStartsWith(model, "é")) == []
    assert of(ds.EqualTo(("effective_config.large",), Decimal(7))) == [("effective_config.large", "==", 7)]
    assert of(ds.EqualTo(("a", "b"), 1)) == []


@pytest.mark.xfail(reason=LEAKS, strict=True)
def test_union_of_two_pushed_filters_has_rows_of_both(tree: ResultStore) -> None:
    frame = spark.load(str(tree.root), columns="path,tokens", pushdown="true")
    assert frame.where("tokens < 10").union(frame.where("tokens >= 10")).count() == RESULTS


def test_nan_equals_nan_and_is_greatest_in_spark_only(tree: ResultStore) -> None:
    name = "effective_config.lr"
    frame = spark.load(str(tree.root), columns=json.dumps(["path", name]))
    values = tree.scan([name]).to_pydict()[name]
    nans = sum(value is not None and math.isnan(value) for value in values)
    above = sum(value is not None and value > 0.25 for value in values)
    assert nans > 0
    assert frame.where(f"`{name}` = double('NaN')").count() == nans
    assert frame.where(f"`{name}` > 0.25D").count() == above + nans
    assert tree.scan(["path"], where=[(name, ">", 0.25)]).count() == above


def test_unsigned_integer_is_decimal_in_spark(tree: ResultStore) -> None:
    frame = spark.load(str(tree.root), columns="effective_config.large")
    values = {row[0] for row in frame.collect()}
    assert Decimal(2**64 - 1) in values
    assert frame.selectExpr("sum(`effective_config.large`)").collect()[0][0] == sum(values) * (
        RESULTS // len(values)
    )
