"""Results saved in the background: futures, flushes, failures, and writers that nobody closed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    PersistenceError,
    ResultStore,
    SidecarError,
    _store,
)
from llenergymeasure.results.timeseries import Timeseries
from llenergymeasure.results.writer import Writer

Make = Callable[..., ExperimentResult]

ENGINES = [None, "fsync", "syncfs"]
HANG = 20
"""Seconds after which something that should have happened is not going to."""


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "out")


@pytest.fixture(autouse=True)
def _no_thread_survives() -> Iterator[None]:
    """Whatever a test does to a writer, its threads end."""
    yield
    gc.collect()
    wait_for(lambda: threads() == [])


def several(make_result: Make, count: int, **changes: Any) -> list[ExperimentResult]:
    """Results that differ, and share a name."""
    return [make_result(experiment_id=f"experiment-{n}", **changes) for n in range(count)]


def trace() -> Timeseries:
    return Timeseries(timestamp_s=[0.0, 0.1], gpu_index=[0, 0], power_w=[250.0, 251.5])


def ids(results: list[ExperimentResult]) -> list[str]:
    return sorted(result.experiment_id for result in results)


def on_disk(root: Path) -> list[str]:
    """The ids of the results in a directory in which nothing but whole results is."""
    records = sorted(root.glob("*/result.json"))
    assert sorted(root.rglob("*")) == sorted(file for path in records for file in (path.parent, path))
    return sorted(ExperimentResult.from_json(path).experiment_id for path in records)


def threads() -> list[str]:
    """The names of the threads of the store that this process has."""
    names = [thread.name for thread in threading.enumerate()]
    for task in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return [name for name in names if name.startswith("llem")]


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + HANG
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.001)


def unfinished(futures: list[Future[Path]]) -> int:
    return sum(not future.done() for future in futures)


class Interrupting:
    """A source that is interrupted while it is asked for its data."""

    def __init__(self, until: Callable[[], object]) -> None:
        self._until = until

    def __arrow_c_stream__(self, _: object = None) -> NoReturn:
        self._until()
        raise KeyboardInterrupt


# What is submitted is saved.


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_future_resolves_to_its_own_result(
    make_result: Make, store: ResultStore, engine: str | None, *, durable: bool
) -> None:
    store._engine = engine
    results = several(make_result, 200)
    with store.writer(durable=durable) as writer:
        futures = [writer.submit(result) for result in results]
    paths = [future.result(timeout=0) for future in futures]
    assert len(set(paths)) == 200
    for path, result in zip(paths, results, strict=True):
        assert path.parent.parent == store.root
        assert path.read_text() == result.model_dump_json(indent=2)
    assert on_disk(store.root) == ids(results)


def test_a_result_that_nobody_follows_is_not_waited_for_in_vain(
    result: ExperimentResult, store: ResultStore
) -> None:
    with store.writer() as writer:
        for _ in range(3):
            assert writer.submit(result).result(timeout=HANG).exists()


def test_a_result_is_saved_as_it_was_submitted(make_result: Make, store: ResultStore) -> None:
    result = make_result()
    before = result.model_dump_json(indent=2)
    with store.writer() as writer:
        future = writer.submit(result)
        result.effective_config["model"] = "changed"
    assert future.result().read_text() == before


def test_a_writer_that_is_given_nothing_makes_nothing(store: ResultStore) -> None:
    with store.writer() as writer:
        writer.flush()
    writer.close()
    assert not store.root.exists()


def test_threads_may_share_a_writer(make_result: Make, store: ResultStore) -> None:
    results = several(make_result, 50)
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
        assert unfinished(futures) == 0
    assert len({future.result() for future in futures}) == 400
    assert on_disk(store.root) == sorted(ids(results) * 8)


@pytest.mark.parametrize("source", ["path", "arrow", None])
@pytest.mark.parametrize("engine", ENGINES)
def test_sidecars_are_saved_beside(
    result: ExperimentResult, store: ResultStore, tmp_path: Path, engine: str | None, source: str | None
) -> None:
    beside = result.save(tmp_path / "source", trace()).with_name("timeseries.parquet")
    given: Any = {"path": beside, "arrow": trace(), None: None}[source]
    store._engine = engine
    with store.writer() as writer:
        futures = [writer.submit(result, timeseries_source=given) for _ in range(20)]
    for future in futures:
        path = future.result()
        loaded = ExperimentResult.from_json(path, missing_sidecar="error")
        assert loaded.timeseries == (None if source is None else beside.name)
        if source is not None:
            assert path.with_name(beside.name).read_bytes() == beside.read_bytes()


@pytest.mark.parametrize(
    "source",
    ["absent", "absent/below", "file/below", "bad", "directory", "dangling", "loop/x", "x" * 300, 3, "nul\0"],
)
def test_what_is_wrong_with_a_source_is_told_as_a_single_save_tells_it(
    result: ExperimentResult, store: ResultStore, tmp_path: Path, source: str | int
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "bad").write_bytes(b"not parquet at all")
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    given: Any = tmp_path / source if isinstance(source, str) else source

    def told(save: Callable[[], Path]) -> tuple[list[type[Warning]], type[Exception] | None, int | None]:
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
        assert told(lambda: writer.submit(result, given).result(timeout=HANG)) == told(
            lambda: store.save(result, given)
        )


def test_a_source_that_does_not_exist_is_told_of_at_the_submit(
    result: ExperimentResult, store: ResultStore, tmp_path: Path
) -> None:
    with store.writer() as writer:
        with pytest.warns(UserWarning, match="does not exist") as warned:
            future = writer.submit(result, tmp_path / "absent")
        assert [warning.filename for warning in warned] == [__file__]
        assert os.listdir(future.result().parent) == ["result.json"]  # noqa: PTH208


def test_a_warning_that_is_an_error_costs_nothing(
    result: ExperimentResult, store: ResultStore, tmp_path: Path
) -> None:
    with store.writer() as writer, pytest.raises(UserWarning, match="does not exist"):
        writer.submit(result, tmp_path / "absent")
    assert on_disk(store.root) == ids([result])


# Futures.


def test_futures_are_the_standard_ones(make_result: Make, store: ResultStore) -> None:
    called: list[Path] = []
    with store.writer() as writer:
        futures = [writer.submit(result) for result in several(make_result, 30)]
        for future in futures:
            future.add_done_callback(lambda done: called.append(done.result()))
        over = {future.result() for future in concurrent.futures.as_completed(futures, timeout=HANG)}
        assert concurrent.futures.wait(futures, timeout=HANG).not_done == set()
    assert set(called) == over
    assert len(called) == 30


def test_a_future_cannot_be_cancelled(result: ExperimentResult, store: ResultStore) -> None:
    with store.writer() as writer:
        future = writer.submit(result)
        assert not future.cancel()
    assert future.result().exists()


def test_coroutines_await_their_results(make_result: Make, store: ResultStore) -> None:
    results = several(make_result, 40)

    async def save(writer: Writer, result: ExperimentResult) -> Path:
        return await asyncio.wrap_future(writer.submit(result))

    async def sweep() -> list[Path]:
        with store.writer() as writer:
            return await asyncio.gather(*(save(writer, result) for result in results))

    paths = asyncio.run(sweep())
    assert [ExperimentResult.from_json(path) for path in paths] == results


def test_a_coroutine_that_is_cancelled_loses_no_result(result: ExperimentResult, store: ResultStore) -> None:
    async def sweep() -> None:
        with store.writer() as writer:
            task = asyncio.ensure_future(asyncio.wrap_future(writer.submit(result)))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(sweep())
    assert on_disk(store.root) == ids([result])


def test_a_coroutine_gets_the_error(store: ResultStore) -> None:
    async def sweep() -> None:
        with store.writer(on_error="ignore") as writer, pytest.raises(TypeError, match="not str"):
            await asyncio.wrap_future(writer.submit("no result"))  # type: ignore[arg-type]

    asyncio.run(sweep())


def test_a_callback_that_raises_stops_nobody(
    make_result: Make, store: ResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    results = several(make_result, 20)

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
    assert on_disk(store.root) == ids(results)


def test_a_callback_may_submit(make_result: Make, store: ResultStore) -> None:
    results = several(make_result, 2)
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
    assert on_disk(store.root) == ids(results)


@pytest.mark.parametrize("wait", [Writer.flush, Writer.close])
def test_a_callback_that_waits_for_its_own_writer_is_told_so(
    result: ExperimentResult, store: ResultStore, wait: Callable[[Writer], None]
) -> None:
    raised: list[BaseException] = []
    release = threading.Event()
    with store.writer() as writer:

        def deadlock(_: Future[Path]) -> None:
            release.wait(HANG)
            try:
                wait(writer)
            except RuntimeError as error:
                raised.append(error)

        first = writer.submit(result)
        first.add_done_callback(lambda _: release.wait(HANG))
        second = writer.submit(result)
        second.add_done_callback(deadlock)
        running = not second.done()
        release.set()
        wait_for(second.done)
        wait_for(lambda: bool(raised) or not running)
    if running:
        assert "cannot wait for its own writer" in str(raised[0])


def test_results_are_not_kept_longer_than_they_are_under_way(make_result: Make, store: ResultStore) -> None:
    with store.writer(on_error=lambda *_: None) as writer:
        result = make_result()
        gone = weakref.ref(result)
        future = writer.submit(result)
        del result
        future.result(timeout=HANG)
        writer.flush()
        assert gone() is None


# Flushing, and what failed.


def test_a_flush_tells_what_failed_since_the_last_one(make_result: Make, store: ResultStore) -> None:
    results: list[Any] = several(make_result, 6)
    results[1] = results[4] = "no result"
    with store.writer() as writer:
        futures = [writer.submit(result) for result in results[:3]]
        with pytest.raises(BulkSaveError, match="1 of 3 results failed; the first at") as first:
            writer.flush()
        writer.flush()
        futures += [writer.submit(result) for result in results[3:]]
        with pytest.raises(BulkSaveError, match="1 of 3 results failed; the first at") as second:
            writer.close()
        writer.close()
    assert first.value.saved == {n: futures[n].result() for n in (0, 2)}
    assert second.value.saved == {n: futures[n].result() for n in (3, 5)}
    assert first.value.failed == {1: futures[1].exception()}
    assert second.value.failed == {4: futures[4].exception()}


def test_the_end_of_the_block_raises_what_failed(make_result: Make, store: ResultStore) -> None:
    results = several(make_result, 5)
    with pytest.raises(BulkSaveError) as caught, store.writer() as writer:  # noqa: PT012 - it is the end
        writer.submit(None)  # type: ignore[arg-type]
        for result in results:
            writer.submit(result)
    assert list(caught.value.failed) == [0]
    assert sorted(caught.value.saved) == [1, 2, 3, 4, 5]
    assert on_disk(store.root) == ids(results)


def test_every_flush_that_is_over_leaves_its_results_on_disk(make_result: Make, store: ResultStore) -> None:
    results = several(make_result, 60)
    with store.writer() as writer:
        for n, result in enumerate(results):
            future = writer.submit(result)
            if n % 10 == 9:
                writer.flush()
                assert future.done()
                assert on_disk(store.root) == ids(results[: n + 1])


def test_of_many_flushes_each_failure_is_in_one(make_result: Make, store: ResultStore) -> None:
    failures: list[int] = []
    saved: list[int] = []
    results = several(make_result, 20)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with store.writer(durable=False) as writer:

            def work(n: int) -> None:
                for result in results:
                    writer.submit("no result" if n % 2 else result)  # type: ignore[arg-type]
                    try:
                        writer.flush()
                    except BulkSaveError as error:
                        failures.extend(error.failed)
                        saved.extend(error.saved)

            crew = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in crew:
                thread.start()
            for thread in crew:
                thread.join(HANG)
    finally:
        sys.setswitchinterval(interval)
    assert len(failures) == len(set(failures)) == 80
    assert len(saved) == len(set(saved))


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("fails", [False, True])
def test_an_exception_of_the_block_comes_out_after_what_was_submitted_is_saved(
    make_result: Make, store: ResultStore, kind: type[BaseException], *, fails: bool
) -> None:
    results = several(make_result, 30)
    futures: list[Future[Path]] = []
    with pytest.raises(kind, match="mine") as caught, store.writer() as writer:  # noqa: PT012 - as above
        if fails:
            writer.submit("no result")  # type: ignore[arg-type]
        futures += [writer.submit(result) for result in results]
        raise kind("mine")
    assert unfinished(futures) == 0
    assert on_disk(store.root) == ids(results)
    if sys.version_info >= (3, 11):
        notes = getattr(caught.value, "__notes__", [])
        assert ["at index 0" in note for note in notes] == ([True] if fails else [])


def test_a_closed_writer_takes_nothing_more(result: ExperimentResult, store: ResultStore) -> None:
    writer = store.writer()
    future = writer.submit(result)
    assert repr(writer).startswith(f"<Writer of '{store.root}', ")
    writer.close()
    assert future.done()
    assert repr(writer) == f"<Writer of '{store.root}', closed>"
    with pytest.raises(ValueError, match="the writer is closed"):
        writer.submit(result)
    writer.flush()
    writer.close()
    assert on_disk(store.root) == ids([result])


def test_a_closed_writer_has_nothing_running_or_open(result: ExperimentResult, store: ResultStore) -> None:
    store.save(result)
    before = descriptors()
    with store.writer() as writer:
        writer.submit(result)
    assert threads() == []
    assert descriptors() == before


@pytest.mark.parametrize("max_pending", [0, -1])
def test_a_writer_takes_at_least_one_result_at_a_time(store: ResultStore, max_pending: int) -> None:
    with pytest.raises(ValueError, match="max_pending is at least 1"):
        store.writer(max_pending=max_pending)
    assert threads() == []


def test_an_unknown_way_to_treat_errors_is_refused(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="'raise', 'ignore' or a function, not 'warn'"):
        store.writer(on_error="warn")  # type: ignore[arg-type]
    assert threads() == []


def test_errors_that_are_ignored_are_in_the_future_alone(
    make_result: Make, store: ResultStore, tmp_path: Path
) -> None:
    (tmp_path / "bad").touch()
    with store.writer(on_error="ignore") as writer:
        failed = writer.submit("no result")  # type: ignore[arg-type]
        no_sidecar = writer.submit(make_result(), tmp_path / "bad")
        saved = writer.submit(make_result())
        writer.flush()
    assert isinstance(failed.exception(), TypeError)
    assert isinstance(no_sidecar.exception(), SidecarError)
    assert saved.result().exists()


def test_a_function_is_told_of_each_error_in_the_writers_thread(
    make_result: Make, store: ResultStore, tmp_path: Path
) -> None:
    (tmp_path / "bad").touch()
    results: list[Any] = [*several(make_result, 2), make_result(total_tokens=1)]
    results[2].effective_config["handle"] = object()
    told: list[tuple[object, Exception, int]] = []

    def tell(result: ExperimentResult, error: Exception) -> None:
        told.append((result, error, threading.get_ident()))

    with store.writer(on_error=tell) as writer:
        futures = [
            writer.submit(results[0]),
            writer.submit(results[1], tmp_path / "bad"),
            writer.submit(results[2]),
        ]
        writer.flush()
    assert sorted(told, key=lambda each: results.index(each[0])) == [
        (results[n], futures[n].exception(), told[0][2]) for n in (1, 2)
    ]
    assert {thread for *_, thread in told}.isdisjoint({threading.get_ident()})


@pytest.mark.parametrize("bad", ["result", "sidecar"])
def test_a_function_that_raises_is_heard_of_at_the_flush(
    result: ExperimentResult, store: ResultStore, tmp_path: Path, bad: str
) -> None:
    (tmp_path / "bad").touch()

    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError("mine")

    given: Any = ("no result", None) if bad == "result" else (result, tmp_path / "bad")
    with store.writer(on_error=fail) as writer:
        future = writer.submit(*given)
        with pytest.raises(BulkSaveError, match="ZeroDivisionError: mine"):
            writer.flush()
        assert isinstance(future.exception(timeout=HANG), TypeError if bad == "result" else SidecarError)
        assert writer.submit(result).result(timeout=HANG).exists()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Run a script in a process of its own, which is killed when it hangs; return what it prints.

    It has a `result`, a `store`, and what it imports.
    """
    head = f"""
    import faulthandler, os, signal, sys, threading, traceback
    from datetime import datetime
    from llenergymeasure import BulkSaveError, ExperimentResult, ResultStore

    faulthandler.dump_traceback_later({HANG}, exit=True)
    now = datetime(2026, 2, 18)
    result = ExperimentResult(
        experiment_id="x", measurement_config_hash="0123456789abcdef", measurement_methodology="total",
        total_tokens=1, total_energy_j=1, total_inference_time_sec=1, avg_tokens_per_second=1,
        avg_energy_per_token_j=1, total_flops=1, start_time=now, end_time=now,
    )
    store = ResultStore({str(tmp_path / "out")!r})
    """

    def run(text: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(head) + textwrap.dedent(text))
        run = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout

    return run


@pytest.mark.parametrize("wait", ["flush", "close"])
@pytest.mark.parametrize("bad", ["'no result'", "result, __file__"])
def test_a_function_that_waits_for_its_own_writer_is_told_so(
    script: Callable[[str], str], wait: str, bad: str
) -> None:
    said = script(f"""
    def tell(result, error):
        try:
            writer.{wait}()
        except RuntimeError as error:
            print(error)

    with store.writer(on_error=tell) as writer:
        writer.submit({bad})
    """)
    assert "cannot wait for its own writer" in said


@pytest.mark.parametrize("who", ["on_error", "callback"])
def test_a_program_that_exits_at_the_first_error_does_not_hang(
    script: Callable[[str], str], store: ResultStore, who: str
) -> None:
    said = script(f"""
    def leave(*_):
        sys.exit(0)

    futures = []
    try:
        with store.writer(on_error=leave if {who!r} == "on_error" else "ignore") as writer:
            futures.append(writer.submit(None))
            try:
                futures[0].add_done_callback(leave if {who!r} == "callback" else print)
            except SystemExit:  # it was done already
                pass
            futures += [writer.submit(result) for _ in range(20)]
    except (BulkSaveError, SystemExit, RuntimeError):
        pass
    print(sum(future.done() for future in futures))
    """)
    assert said.endswith("21\n")
    assert len(on_disk(store.root)) == 20


def test_an_interrupt_at_any_line_of_a_submit_neither_hangs_nor_loses_what_was_submitted(
    script: Callable[[str], str], store: ResultStore
) -> None:
    # As a signal does it: between any two lines of the writer, in the thread that submits.
    said = script("""
    from llenergymeasure.results import writer as module

    lines = 0

    def trace(frame, event, _):
        global lines
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == interrupted_at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    interrupted_at, reached, returned = 0, True, 0
    while reached:
        interrupted_at += 1
        lines, futures, reached = 0, [], False
        with store.writer(durable=False) as writer:
            futures.append(writer.submit(result))
            try:
                sys.settrace(trace)
                futures.append(writer.submit(result))
                futures.append(writer.submit("no result"))
            except KeyboardInterrupt:
                reached = True
            finally:
                sys.settrace(None)
            futures.append(writer.submit(result))
            try:
                writer.flush()
            except BulkSaveError:
                pass
        assert all(future.done() for future in futures), interrupted_at
        returned += sum(future.exception() is None for future in futures)
        assert all(future.exception() or future.result().exists() for future in futures)
    print(interrupted_at, returned)
    """)
    lines, returned = map(int, said.split())
    assert lines > 20
    assert returned <= len(on_disk(store.root)) <= returned + lines


def test_a_file_in_the_way_fails_every_future(make_result: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    futures = []
    with (
        pytest.raises(BulkSaveError) as caught,
        ResultStore(tmp_path / "file").writer(max_pending=4) as writer,
    ):
        futures += [writer.submit(result) for result in several(make_result, 50)]
    assert list(caught.value.failed) == list(range(50))
    assert caught.value.saved == {}
    for future in futures:
        error = future.exception(timeout=0)
        assert isinstance(error, PersistenceError)
        assert isinstance(error, NotADirectoryError)
        assert not error.committed


def test_without_a_thread_there_is_no_writer(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(PersistenceError, match="start"):
            store.writer()
    gc.collect()


# Back-pressure.


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("max_pending", [1, 2, 8])
def test_no_more_are_under_way_than_may_be(
    result: ExperimentResult, store: ResultStore, max_pending: int, *, durable: bool
) -> None:
    futures: list[Future[Path]] = []
    most = 0
    with store.writer(max_pending=max_pending, durable=durable) as writer:
        for _ in range(150):
            futures.append(writer.submit(result))
            most = max(most, unfinished(futures))
    assert most <= max_pending
    assert len({future.result() for future in futures}) == 150


@pytest.mark.parametrize("slow", ["callback", "on_error"])
def test_whoever_listens_slowly_pushes_back_too(
    result: ExperimentResult, store: ResultStore, tmp_path: Path, slow: str
) -> None:
    (tmp_path / "bad").touch()
    release = threading.Event()
    futures: list[Future[Path]] = []
    most = 0
    with store.writer(max_pending=4, on_error=lambda *_: release.wait(HANG)) as writer:
        listening = False
        while not listening:
            first = writer.submit(result, tmp_path / "bad" if slow == "on_error" else None)
            first.add_done_callback(lambda _: release.wait(0 if slow == "on_error" else HANG))
            # Done before anybody listened: then the callback was made here.
            listening = slow == "on_error" or not first.done()

        def submit() -> None:
            nonlocal most
            for _ in range(50):
                futures.append(writer.submit(result))
                most = max(most, unfinished(futures))

        thread = threading.Thread(target=submit)
        thread.start()
        before = -1
        while thread.is_alive() and before != len(futures):
            before = len(futures)
            thread.join(0.3)
        release.set()
        thread.join(HANG)
    assert most <= 4
    assert len({future.result() for future in futures}) == 50


def test_a_submit_that_is_interrupted_takes_nothing_and_holds_up_nobody(
    make_result: Make, store: ResultStore
) -> None:
    results = several(make_result, 2)
    flushing, flushed = threading.Event(), threading.Event()
    with store.writer() as writer:

        def flush() -> None:
            flushing.set()
            writer.flush()
            flushed.set()

        thread = threading.Thread(target=flush)

        def wait() -> None:
            thread.start()
            flushing.wait(HANG)
            time.sleep(0.1)

        with pytest.raises(KeyboardInterrupt):
            writer.submit(results[0], Interrupting(wait))
        came = flushed.wait(HANG / 4)
        writer.submit(results[1])
        thread.join(HANG)
    assert came
    assert on_disk(store.root) == ids(results[1:])


def test_a_submit_that_waits_for_room_when_the_writer_is_closed_is_refused_or_saved(
    make_result: Make, store: ResultStore
) -> None:
    results = several(make_result, 400)
    outcomes: list[Future[Path] | BaseException] = []
    begun = threading.Event()
    writer = store.writer(max_pending=1)

    def submit(part: list[ExperimentResult]) -> None:
        for result in part:
            try:
                outcomes.append(writer.submit(result))
            except BaseException as error:  # noqa: BLE001 - whatever comes out is what is tested
                outcomes.append(error)
            begun.set()

    crew = [threading.Thread(target=submit, args=(results[n::4],)) for n in range(4)]
    for thread in crew:
        thread.start()
    assert begun.wait(HANG)
    writer.close()
    for thread in crew:
        thread.join(HANG)
    assert len(outcomes) == 400
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {(type(error), str(error)) for error in refused} == {(ValueError, "the writer is closed")}
    saved = [outcome for outcome in outcomes if isinstance(outcome, Future)]
    assert len({future.result(timeout=0) for future in saved}) == len(saved)
    assert len(on_disk(store.root)) == len(saved)


@pytest.mark.parametrize("how", ["submit", "refuse"])
def test_what_is_given_up_while_its_submit_is_being_refused_is_refused(tmp_path: Path, how: str) -> None:
    bulk = _store.Bulk(str(tmp_path), durable=False, max_results=1, max_bytes=1 << 20, many=False)
    under_way: dict[int, Any] = {}
    bulk.submit(0, "name", b"{}", interruptible=False, under_way=under_way, patient=True)
    refused: list[Exception] = []

    def hand_over() -> None:
        kinds: dict[str, Any] = {
            "interruptible": False,
            "under_way": under_way,
            "entry": None,
            "patient": True,
        }
        try:
            if how == "submit":
                bulk.submit(1, "name", b"{}", **kinds)
            else:
                bulk.refuse(1, ValueError(), **kinds)
        except Exception as error:  # noqa: BLE001 - whatever comes out is what is tested
            refused.append(error)

    thread = threading.Thread(target=hand_over)
    thread.start()
    wait_for(lambda: 1 in under_way)
    under_way.clear()
    bulk.close()
    thread.join(HANG)
    bulk.join()
    assert [(type(error), str(error)) for error in refused] == [(ValueError, "the writer is closed")]


# A directory that does not stay.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("gone", ["removed", "moved"])
def test_an_output_directory_that_goes_away_meanwhile_is_made_again(
    make_result: Make, store: ResultStore, engine: str | None, gone: str
) -> None:
    store._engine = engine
    results = several(make_result, 12)
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
    assert on_disk(store.root) == ids(results[6:])


# Writers that nobody closed.


def test_a_writer_that_nobody_holds_any_more_saves_everything_and_warns(
    make_result: Make, store: ResultStore
) -> None:
    results = several(make_result, 100)
    writer = store.writer()
    futures = [writer.submit(result) for result in results]
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match="unclosed writer of") as warned:
        held.clear()
    assert str(store.root) in str(warned[0].message)
    paths = {future.result(timeout=HANG) for future in futures}
    assert len(paths) == 100
    assert on_disk(store.root) == ids(results)


def test_a_writer_in_a_cycle_is_not_kept_by_its_own_thread(
    result: ExperimentResult, store: ResultStore
) -> None:
    class Runner:
        def __init__(self) -> None:
            self.writer = store.writer()
            self.itself = self

    runner = Runner()
    future = runner.writer.submit(result)
    del runner
    with pytest.warns(ResourceWarning, match="unclosed writer of"):
        gc.collect()
    assert future.result(timeout=HANG).exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_failed_in_a_writer_that_nobody_closed_is_told(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    writer = store.writer()
    writer.submit("no result")  # type: ignore[arg-type]
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match="unclosed writer of"):
        held.clear()
    wait_for(lambda: threads() == [])
    (error,) = told
    assert isinstance(error, BulkSaveError)
    assert isinstance(error.failed[0], TypeError)


def test_a_future_whose_lock_a_signal_left_taken_holds_up_no_other(
    make_result: Make, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llenergymeasure.results.writer._LOST", 0.1)
    go = threading.Event()
    lost, other = several(make_result, 2)
    with store.writer() as writer:
        future = writer.submit(lost, Live(go))
        future._condition.acquire()
        go.set()
        assert writer.submit(other).result(HANG).exists()
        writer.flush()
    assert not future._state.startswith("FINISHED")
    assert len(list(store.root.glob("*/result.json"))) == 2


# Streams that take their time.


class Live:
    """A stream that gives its rows when it is told to."""

    def __init__(self, go: threading.Event, nbytes: int = 0) -> None:
        self.nbytes = nbytes
        self._go = go

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        schema = pa.schema([("power_w", pa.float32())])

        def batches() -> Iterator[pa.RecordBatch]:
            assert self._go.wait(HANG), "nobody told the stream to go on"
            yield pa.record_batch([pa.array([250.0], pa.float32())], schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches()).__arrow_c_stream__(requested_schema)


def test_no_result_waits_for_the_streams_of_others(make_result: Make, store: ResultStore) -> None:
    plain_is_safe = threading.Event()
    first, plain, *others = several(make_result, 6)
    with store.writer() as writer:
        live = [writer.submit(first, Live(plain_is_safe))]
        future = writer.submit(plain)
        future.add_done_callback(lambda _: plain_is_safe.set())
        live += [writer.submit(other, Live(plain_is_safe)) for other in others]
        assert future.result(HANG).exists()
    assert all(each.result().with_name("timeseries.parquet").exists() for each in live)


def test_tables_push_back_by_what_they_weigh(make_result: Make, store: ResultStore) -> None:
    go, submitted = threading.Event(), []
    results = several(make_result, 6)
    with store.writer() as writer:

        def submit() -> None:
            for result in results:
                submitted.append(writer.submit(result, Live(go, nbytes=40 << 20)))  # noqa: PERF401 - watched

        thread = threading.Thread(target=submit)
        thread.start()
        wait_for(lambda: len(submitted) == 1)
        thread.join(0.3)
        assert len(submitted) == 1, "two of these are more than may be in memory"
        go.set()
        thread.join()
    assert on_disk_with_sidecars(store.root) == ids(results)


def on_disk_with_sidecars(root: Path) -> list[str]:
    sidecars = sorted(root.glob("*/timeseries.parquet"))
    return ids([ExperimentResult.from_json(path.parent) for path in sidecars])


def test_what_cannot_be_serialised_waits_for_room_too(store: ResultStore) -> None:
    go, submitted = threading.Event(), []

    def listen(_: object, error: Exception) -> None:
        assert isinstance(error, TypeError)
        assert go.wait(HANG)

    with store.writer(max_pending=4, on_error=listen) as writer:

        def submit() -> None:
            for _ in range(20):
                submitted.append(writer.submit("no result"))  # type: ignore[arg-type]  # noqa: PERF401

        thread = threading.Thread(target=submit)
        thread.start()
        wait_for(lambda: len(submitted) == 4)
        thread.join(0.3)
        assert len(submitted) == 4
        go.set()
        thread.join()
    assert len(submitted) == 20


def test_a_writer_that_is_given_up_ends_and_resolves_every_future(
    make_result: Make, store: ResultStore
) -> None:
    go = threading.Event()
    writer = store.writer()
    futures = [writer.submit(result, Live(go)) for result in several(make_result, 20)]
    writer._abandon(0)
    go.set()
    kinds = {type(future.exception(HANG)) for future in futures}
    assert kinds <= {type(None), CancelledError}
    assert CancelledError in kinds
    wait_for(lambda: threads() == [])
    saved = [future.result() for future in futures if future.exception() is None]
    assert len(on_disk_with_sidecars(store.root)) == len(saved)
    assert len(list(store.root.glob("*"))) == len(saved)
