"""Sidecars of many results that are saved at once."""

from __future__ import annotations

import errno as codes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    ResultStore,
    SidecarError,
    save_results,
)
from support.results import ids, make_results, make_trace, record_text
from support.stores import FLUSH_METHODS, open_store
from support.trees import assert_holds_exactly, load_saved_ids


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize("kind", [list, iter])
def test_save_many_stores_each_sidecar_with_its_result(
    tmp_path: Path,
    flush_method: str | None,
    kind: Callable[..., Any],
    *,
    durable: bool,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    results = make_results(40)
    table = pa.table({"timestamp_s": [0.0], "gpu_index": [0], "power_w": [7.5]})
    files = []
    for n in range(10):
        files.append(tmp_path / f"{n}.parquet")
        pq.write_table(pa.table({"timestamp_s": [0.0], "power_w": [float(n)]}), files[-1])
    sources: list[Any] = [(None, files[n // 4], str(files[n // 4]), table)[n % 4] for n in range(40)]
    root = tmp_path / "out"
    paths = open_store(root, flush_method).save_many(
        results, timeseries_sources=kind(sources), durable=durable
    )
    for result, source, path in zip(results, sources, paths, strict=True):
        sidecar = path.with_name("timeseries.parquet")
        name = None if source is None else sidecar.name
        assert path.read_text() == record_text(result.model_copy(update={"timeseries": name}))
        expected = ["result.json", *([] if source is None else [sidecar.name])]
        assert sorted(os.listdir(path.parent)) == expected  # noqa: PTH208 - hidden files count
        if isinstance(source, (str, Path)):
            assert sidecar.read_bytes() == Path(source).read_bytes()
        elif source is not None:
            assert pq.read_table(sidecar).equals(table)


def test_save_many_reads_streams_that_python_produces(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("timestamp_s", pa.float64()), ("power_w", pa.float64())])

    def stream(n: int) -> Any:
        def batches() -> Iterator[Any]:
            for k in range(3):
                yield pa.record_batch({"timestamp_s": [k], "power_w": [float(n * k)]}, schema=schema)
            if n % 5 == 4:
                raise ZeroDivisionError(f"broken-{n}")

        return pa.RecordBatchReader.from_batches(schema, batches())

    results = make_results(20)
    with pytest.raises(BulkSaveError) as caught:
        ResultStore(tmp_path).save_many(results, timeseries_sources=(stream(n) for n in range(20)))
    assert sorted(caught.value.failed) == [4, 9, 14, 19]
    for n, error in caught.value.failed.items():
        assert isinstance(error, SidecarError)
        assert f"broken-{n}" in str(error)
        assert error.result_path is not None
        assert ExperimentResult.from_json(error.result_path) == results[n]
    for n, path in caught.value.saved.items():
        power = pq.read_table(path.with_name("timeseries.parquet"))["power_w"].to_pylist()
        assert power == [0.0, n, 2.0 * n]


@pytest.mark.parametrize("count", [2, 4])
def test_save_many_with_wrong_number_of_sources_saves_nothing(tmp_path: Path, count: int) -> None:
    root = tmp_path / "out"
    with pytest.raises(ValueError, match=f"expects 3 sources, got {count}"):
        ResultStore(root).save_many(make_results(3), timeseries_sources=[None] * count)
    assert not root.exists()


@pytest.mark.parametrize(("given", "sources"), [(5, 3), (3, 5)])
def test_save_many_with_wrong_number_of_lazy_sources_saves_the_paired_results(
    tmp_path: Path, given: int, sources: int
) -> None:
    results = make_results(given)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ResultStore(tmp_path).save_many(iter(results), timeseries_sources=iter([None] * sources))
    assert load_saved_ids(tmp_path) == ids(results[: min(given, sources)])


@pytest.mark.parametrize("sources", ["x.parquet", b"x.parquet", Path("x.parquet"), 3])
def test_save_many_rejects_a_single_source(tmp_path: Path, sources: Any) -> None:
    with pytest.raises(TypeError):
        ResultStore(tmp_path / "out").save_many(make_results(9), timeseries_sources=sources)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", [[1], list(range(0, 30, 2))])
def test_save_many_with_missing_sources_warns_once(tmp_path: Path, missing: list[int]) -> None:
    results = make_results(30)
    sources = [tmp_path / "absent.parquet" if n in missing else None for n in range(30)]
    with pytest.warns(UserWarning, match=f"{len(missing)} of 30 timeseries sources do not exist") as warned:
        paths = ResultStore(tmp_path / "out").save_many(results, timeseries_sources=sources)
    assert_holds_exactly(tmp_path / "out", paths, results)
    (warning,) = warned
    assert warning.filename == __file__
    named = str(warning.message).rpartition(": ")[2].split(", ")
    assert named[:10] == [str(n) for n in missing[:10]]
    assert named[10:] == (["..."] if len(missing) > 10 else [])


def test_save_results_with_missing_source_warns_at_the_callers_line(
    result: ExperimentResult, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="do not exist") as warned:
        save_results([result], tmp_path / "out", timeseries_sources=[tmp_path / "absent"])
    assert warned[0].filename == __file__
    line = Path(__file__).read_text().splitlines()[warned[0].lineno - 1]
    assert line.strip().startswith("save_results(")


def test_save_many_with_warnings_as_errors_saves_all(tmp_path: Path) -> None:
    results = make_results(5)
    # The configuration of pytest turns warnings into errors.
    with pytest.raises(UserWarning, match="do not exist"):
        ResultStore(tmp_path / "out").save_many(results, timeseries_sources=[tmp_path / "absent"] * 5)
    assert load_saved_ids(tmp_path / "out") == ids(results)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_with_failed_sidecar_keeps_its_result(
    tmp_path: Path, flush_method: str | None, *, durable: bool
) -> None:
    class Failing:
        def __arrow_c_stream__(self, _: object = None) -> NoReturn:
            raise RuntimeError("no trace")

    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 is not enough")
    results = make_results(8)
    sources: list[Any] = [None, bad, Failing(), 3, tmp_path, f"/{'x' * 300}", None, make_trace()]
    with pytest.raises(BulkSaveError) as caught:
        open_store(tmp_path / "out", flush_method).save_many(
            results, timeseries_sources=sources, durable=durable
        )
    error = caught.value
    assert sorted(error.saved) == [0, 6, 7]
    assert sorted(error.failed) == [1, 2, 3, 4, 5]
    for index, failure in error.failed.items():
        assert isinstance(failure, SidecarError)
        assert failure.result_path is not None
        assert ExperimentResult.from_json(failure.result_path) == results[index]
        assert os.listdir(Path(failure.result_path).parent) == ["result.json"]  # noqa: PTH208
    assert error.failed[1].errno == codes.EINVAL  # type: ignore[attr-defined]
    assert error.failed[5].errno == codes.ENAMETOOLONG  # type: ignore[attr-defined]
