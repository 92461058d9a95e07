"""Submits to a writer: futures, callbacks and sidecars."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import shutil
import threading
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llenergymeasure import (
    ExperimentResult,
    ResultStore,
    SidecarError,
)
from llenergymeasure.results.writer import Writer
from support.processes import HANG
from support.results import ids, make_results, make_trace
from support.stores import FLUSH_METHODS, count_unfinished
from support.trees import load_saved_ids

pytestmark = pytest.mark.usefixtures("no_thread_survives")

Make = Callable[..., ExperimentResult]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_submit_resolves_each_future_to_its_own_result(
    store: ResultStore, flush_method: str | None, *, durable: bool
) -> None:
    store._flush_method = flush_method
    results = make_results(200)
    with store.writer(durable=durable) as writer:
        futures = [writer.submit(result) for result in results]
    paths = [future.result(timeout=0) for future in futures]
    assert len(set(paths)) == 200
    for path, result in zip(paths, results, strict=True):
        assert path.parent.parent == store.root
        assert path.read_text() == result.model_dump_json(indent=2)
    assert load_saved_ids(store.root) == ids(results)


def test_submit_without_flush_resolves_its_future(result: ExperimentResult, store: ResultStore) -> None:
    with store.writer() as writer:
        for _ in range(3):
            assert writer.submit(result).result(timeout=HANG).exists()


def test_submit_saves_the_result_as_it_was_at_the_call(make_result: Make, store: ResultStore) -> None:
    result = make_result()
    before = result.model_dump_json(indent=2)
    with store.writer() as writer:
        future = writer.submit(result)
        result.effective_config["model"] = "changed"
    assert future.result().read_text() == before


def test_close_writer_without_results_creates_nothing(store: ResultStore) -> None:
    with store.writer() as writer:
        writer.flush()
    writer.close()
    assert not store.root.exists()


def test_submit_from_several_threads_saves_all(store: ResultStore) -> None:
    results = make_results(50)
    futures: list[Future[Path]] = []
    with store.writer(max_pending=16) as writer:

        def submit() -> None:
            for result in results:
                futures.append(writer.submit(result))  # noqa: PERF401 - each as it comes
            writer.flush()

        crew = [threading.Thread(target=submit) for _ in range(8)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join(HANG)
        assert count_unfinished(futures) == 0
    assert len({future.result() for future in futures}) == 400
    assert load_saved_ids(store.root) == sorted(ids(results) * 8)


@pytest.mark.parametrize("source", ["path", "arrow", None])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_submit_stores_each_sidecar_with_its_result(
    result: ExperimentResult, store: ResultStore, tmp_path: Path, flush_method: str | None, source: str | None
) -> None:
    sidecar = result.save(tmp_path / "source", make_trace()).with_name("timeseries.parquet")
    given: Any = {"path": sidecar, "arrow": make_trace(), None: None}[source]
    store._flush_method = flush_method
    with store.writer() as writer:
        futures = [writer.submit(result, timeseries_source=given) for _ in range(20)]
    for future in futures:
        path = future.result()
        loaded = ExperimentResult.from_json(path, missing_sidecar="error")
        assert loaded.timeseries == (None if source is None else sidecar.name)
        if source is not None:
            assert path.with_name(sidecar.name).read_bytes() == sidecar.read_bytes()


@pytest.mark.parametrize(
    "source",
    ["absent", "absent/below", "file/below", "bad", "directory", "dangling", "loop/x", "x" * 300, 3, "nul\0"],
)
def test_submit_with_invalid_source_fails_like_a_single_save(
    result: ExperimentResult, store: ResultStore, tmp_path: Path, source: str | int
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "bad").write_bytes(b"not parquet at all")
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    given: Any = tmp_path / source if isinstance(source, str) else source

    def reported(save: Callable[[], Path]) -> tuple[list[type[Warning]], type[Exception] | None, int | None]:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                path: str | Path | None = save()
                error: Exception | None = None
            except SidecarError as failed:
                error, path = failed, failed.result_path
        assert path is not None
        assert os.listdir(Path(path).parent) == ["result.json"]  # noqa: PTH208 - hidden files count
        kinds = [warning.category for warning in warned]
        return kinds, None if error is None else type(error), getattr(error, "errno", None)

    with store.writer(on_error="ignore") as writer:
        assert reported(lambda: writer.submit(result, given).result(timeout=HANG)) == reported(
            lambda: store.save(result, given)
        )


def test_submit_with_missing_source_warns_at_once(
    result: ExperimentResult, store: ResultStore, tmp_path: Path
) -> None:
    with store.writer() as writer:
        with pytest.warns(UserWarning, match="does not exist") as warned:
            future = writer.submit(result, tmp_path / "absent")
        assert [warning.filename for warning in warned] == [__file__]
        assert os.listdir(future.result().parent) == ["result.json"]  # noqa: PTH208


def test_submit_with_warnings_as_errors_saves_the_result(
    result: ExperimentResult, store: ResultStore, tmp_path: Path
) -> None:
    with store.writer() as writer, pytest.raises(UserWarning, match="does not exist"):
        writer.submit(result, tmp_path / "absent")
    assert load_saved_ids(store.root) == ids([result])


def test_submit_returns_standard_futures(store: ResultStore) -> None:
    called: list[Path] = []
    with store.writer() as writer:
        futures = [writer.submit(result) for result in make_results(30)]
        for future in futures:
            future.add_done_callback(lambda done: called.append(done.result()))
        over = {future.result() for future in concurrent.futures.as_completed(futures, timeout=HANG)}
        assert concurrent.futures.wait(futures, timeout=HANG).not_done == set()
    assert set(called) == over
    assert len(called) == 30


def test_cancel_future_of_writer_has_no_effect(result: ExperimentResult, store: ResultStore) -> None:
    with store.writer() as writer:
        future = writer.submit(result)
        assert not future.cancel()
    assert future.result().exists()


def test_await_wrapped_future_returns_its_path(store: ResultStore) -> None:
    results = make_results(40)

    async def save(writer: Writer, result: ExperimentResult) -> Path:
        return await asyncio.wrap_future(writer.submit(result))

    async def sweep() -> list[Path]:
        with store.writer() as writer:
            return await asyncio.gather(*(save(writer, result) for result in results))

    paths = asyncio.run(sweep())
    assert [ExperimentResult.from_json(path) for path in paths] == results


def test_cancel_coroutine_keeps_its_result(result: ExperimentResult, store: ResultStore) -> None:
    async def sweep() -> None:
        with store.writer() as writer:
            task = asyncio.ensure_future(asyncio.wrap_future(writer.submit(result)))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(sweep())
    assert load_saved_ids(store.root) == ids([result])


def test_await_failed_future_raises_its_error(store: ResultStore) -> None:
    async def sweep() -> None:
        with store.writer(on_error="ignore") as writer, pytest.raises(TypeError, match="got str"):
            await asyncio.wrap_future(writer.submit("no result"))  # type: ignore[arg-type]

    asyncio.run(sweep())


def test_submit_with_failing_callbacks_saves_all(
    store: ResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    results = make_results(20)

    def fail(_: Future[Path]) -> NoReturn:
        release.wait(HANG)
        raise ZeroDivisionError("mine")

    with store.writer() as writer, caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        first = writer.submit(results[0])
        first.add_done_callback(lambda _: release.wait(HANG))
        futures = [writer.submit(result) for result in results[1:]]
        for future in futures:
            future.add_done_callback(fail)
        release.set()
    assert load_saved_ids(store.root) == ids(results)


def test_submit_inside_a_callback_saves_its_result(store: ResultStore) -> None:
    results = make_results(2)
    then: Future[Path] | None = None
    there = threading.Event()

    with store.writer(max_pending=1) as writer:

        def follow(_: Future[Path]) -> None:
            nonlocal then
            then = writer.submit(results[1])
            there.set()

        writer.submit(results[0]).add_done_callback(follow)
        assert there.wait(HANG)
    assert then is not None
    assert load_saved_ids(store.root) == ids(results)


def test_submit_releases_its_result_after_the_save(make_result: Make, store: ResultStore) -> None:
    with store.writer(on_error=lambda *_: None) as writer:
        result = make_result()
        gone = weakref.ref(result)
        future = writer.submit(result)
        del result
        future.result(timeout=HANG)
        writer.flush()
        assert gone() is None


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize("gone", ["removed", "moved"])
def test_submit_recreates_an_output_directory_that_is_gone(
    store: ResultStore, flush_method: str | None, gone: str
) -> None:
    store._flush_method = flush_method
    results = make_results(12)
    with store.writer() as writer:
        for result in results[:6]:
            writer.submit(result)
        writer.flush()
        if gone == "removed":
            shutil.rmtree(store.root)
        else:
            store.root.rename(store.root.with_name("moved"))
        futures = [writer.submit(result) for result in results[6:]]
    assert [ExperimentResult.from_json(future.result()) for future in futures] == results[6:]
    assert load_saved_ids(store.root) == ids(results[6:])
