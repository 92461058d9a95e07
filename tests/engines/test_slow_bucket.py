"""Dask and Spark read a bucket behind a slow proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from llenergymeasure import ResultStore, _store
from support import servers, spark
from support.faulty_proxy import FaultyProxy
from support.locations import Location, S3Location
from support.optional import needs
from support.results import make_results

COLUMNS = ["path", "total_tokens", "config.model"]
RESULTS = 40
pytestmark = [
    pytest.mark.skipif(not hasattr(_store, "ObjectStorage"), reason="this build has no object stores"),
    pytest.mark.filterwarnings("default"),  # of the engines themselves
]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Location, FaultyProxy, list[Any]]]:
    """Return a bucket of results behind a proxy that delays, the proxy, and the rows."""
    with servers.moto(tmp_path_factory.mktemp("moto")) as server:
        location = S3Location(server)
        results = [
            result.model_copy(update={"total_tokens": number})
            for number, result in enumerate(make_results(RESULTS))
        ]
        location.store().save_many(results)
        expected = sorted(zip(*location.store().scan(COLUMNS).to_pydict().values(), strict=True))
        with closing(FaultyProxy(location.port)) as proxy:
            rates = {"slow": 0.7, "drop_before": 0.1, "slow_down": 0.1}
            proxy.plan(seed=14, slow=0.05, rates={"GET": rates, "LIST": {"slow": 1.0}})
            yield location.through(proxy), proxy, expected


@needs("dask", "pandas", "pyarrow")
def test_dask_reads_bucket_behind_slow_proxy(slow: tuple[Location, FaultyProxy, list[Any]]) -> None:
    from llenergymeasure.integrations.dask import read_results

    location, proxy, expected = slow
    proxy.clear()
    store = ResultStore(location.root, options=location.options, cache=False)
    frame = read_results(store, COLUMNS, npartitions=4, schema={"config.model": "string"})
    read = frame.compute(scheduler="processes", num_workers=2)
    assert sorted(read.itertuples(index=False, name=None)) == expected
    # One listing, and each record once, but for what the proxy lost.
    assert len({one["key"] for one in proxy.requests("GET")}) == RESULTS


@needs("pyspark", "pyarrow")
def test_spark_reads_bucket_behind_slow_proxy(slow: tuple[Location, FaultyProxy, list[Any]]) -> None:
    location, _, expected = slow
    options = {f"store__{name}": value for name, value in (location.options or {}).items()}
    frame = spark.load(
        location.root,
        columns=",".join(COLUMNS),
        schema='{"config.model": "string"}',
        partitions="4",
        **options,
    )
    assert sorted(map(tuple, frame.collect())) == expected
    assert frame.where("total_tokens >= 30").count() == 10


@needs("pyspark", "pyarrow")
def test_load_shows_no_secret(slow: tuple[Location, FaultyProxy, list[Any]]) -> None:
    from llenergymeasure.integrations.spark import ResultsSource

    location, _, _ = slow
    options = {f"store.{name}": value for name, value in (location.options or {}).items()}
    with pytest.raises(ValueError, match="partitions") as caught:
        ResultsSource({"path": location.root, "partitions": "x"} | options)
    assert options["store.secret_access_key"] not in str(caught.value)
