"""Flushes and closes of a writer, and the failures that they report."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    PersistenceError,
    ResultStore,
    SidecarError,
)
from llenergymeasure.results.writer import Writer
from support.processes import HANG, open_descriptors, store_threads, wait_until
from support.results import ids, make_results
from support.stores import count_unfinished
from support.trees import load_saved_ids

pytestmark = pytest.mark.usefixtures("no_thread_survives")

Make = Callable[..., ExperimentResult]


@pytest.mark.parametrize("wait", [Writer.flush, Writer.close])
def test_wait_inside_a_callback_raises_instead_of_deadlock(
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
        wait_until(second.done)
        wait_until(lambda: bool(raised) or not running)
    if running:
        assert "cannot wait for its own writer" in str(raised[0])


def test_flush_reports_failures_since_the_last_flush(store: ResultStore) -> None:
    results: list[Any] = make_results(6)
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


def test_exit_writer_block_raises_its_failures(store: ResultStore) -> None:
    results = make_results(5)
    with pytest.raises(BulkSaveError) as caught, store.writer() as writer:  # noqa: PT012 - it is the end
        writer.submit(None)  # type: ignore[arg-type]
        for result in results:
            writer.submit(result)
    assert list(caught.value.failed) == [0]
    assert sorted(caught.value.saved) == [1, 2, 3, 4, 5]
    assert load_saved_ids(store.root) == ids(results)


def test_flush_leaves_submitted_results_on_disk(store: ResultStore) -> None:
    results = make_results(60)
    with store.writer() as writer:
        for n, result in enumerate(results):
            future = writer.submit(result)
            if n % 10 == 9:
                writer.flush()
                assert future.done()
                assert load_saved_ids(store.root) == ids(results[: n + 1])


def test_flush_from_several_threads_reports_each_failure_once(store: ResultStore) -> None:
    failures: list[int] = []
    saved: list[int] = []
    results = make_results(20)
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
def test_exit_writer_block_with_exception_saves_first(
    store: ResultStore, kind: type[BaseException], *, fails: bool
) -> None:
    results = make_results(30)
    futures: list[Future[Path]] = []
    with pytest.raises(kind, match="mine") as caught, store.writer() as writer:  # noqa: PT012 - as above
        if fails:
            writer.submit("no result")  # type: ignore[arg-type]
        futures += [writer.submit(result) for result in results]
        raise kind("mine")
    assert count_unfinished(futures) == 0
    assert load_saved_ids(store.root) == ids(results)
    if sys.version_info >= (3, 11):
        notes = getattr(caught.value, "__notes__", [])
        assert ["at index 0" in note for note in notes] == ([True] if fails else [])


def test_submit_to_closed_writer_raises(result: ExperimentResult, store: ResultStore) -> None:
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
    assert load_saved_ids(store.root) == ids([result])


def test_close_writer_leaves_no_thread_and_no_descriptor(
    result: ExperimentResult, store: ResultStore
) -> None:
    store.save(result)
    before = open_descriptors()
    with store.writer() as writer:
        writer.submit(result)
    assert store_threads() == []
    assert open_descriptors() == before


@pytest.mark.parametrize("max_pending", [0, -1])
def test_open_writer_rejects_max_pending_below_one(store: ResultStore, max_pending: int) -> None:
    with pytest.raises(ValueError, match="max_pending expects at least 1"):
        store.writer(max_pending=max_pending)
    assert store_threads() == []


def test_open_writer_rejects_unknown_on_error(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="'raise', 'ignore' or a function, got 'warn'"):
        store.writer(on_error="warn")  # type: ignore[arg-type]
    assert store_threads() == []


def test_submit_with_on_error_ignore_keeps_the_error_in_its_future(
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


def test_submit_with_on_error_function_calls_it_in_the_writers_thread(
    make_result: Make, store: ResultStore, tmp_path: Path
) -> None:
    (tmp_path / "bad").touch()
    results: list[Any] = [*make_results(2), make_result(total_tokens=1)]
    results[2].effective_config["handle"] = object()
    reported: list[tuple[object, Exception, int]] = []

    def listen(result: ExperimentResult, error: Exception) -> None:
        reported.append((result, error, threading.get_ident()))

    with store.writer(on_error=listen) as writer:
        futures = [
            writer.submit(results[0]),
            writer.submit(results[1], tmp_path / "bad"),
            writer.submit(results[2]),
        ]
        writer.flush()
    assert sorted(reported, key=lambda each: results.index(each[0])) == [
        (results[n], futures[n].exception(), reported[0][2]) for n in (1, 2)
    ]
    assert {thread for *_, thread in reported}.isdisjoint({threading.get_ident()})


@pytest.mark.parametrize("bad", ["result", "sidecar"])
def test_flush_with_failing_on_error_function_reports_its_exception(
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


@pytest.mark.parametrize("wait", ["flush", "close"])
@pytest.mark.parametrize("bad", ["'no result'", "result, __file__"])
def test_wait_inside_an_on_error_function_raises_instead_of_deadlock(
    script: Callable[[str], str], wait: str, bad: str
) -> None:
    output = script(f"""
    def listen(result, error):
        try:
            writer.{wait}()
        except RuntimeError as error:
            print(error)

    with store.writer(on_error=listen) as writer:
        writer.submit({bad})
    """)
    assert "cannot wait for its own writer" in output


@pytest.mark.parametrize("who", ["on_error", "callback"])
def test_exit_program_at_the_first_error_ends(
    script: Callable[[str], str], store: ResultStore, who: str
) -> None:
    output = script(f"""
    def leave(*_):
        sys.exit(0)

    futures = []
    try:
        with store.writer(on_error=leave if {who!r} == "on_error" else "ignore") as writer:
            futures.append(writer.submit(None))
            try:
                futures[0].add_done_callback(leave if {who!r} == "callback" else print)
            except SystemExit:  # the future was done already
                pass
            futures += [writer.submit(result) for _ in range(20)]
    except (BulkSaveError, SystemExit, RuntimeError):
        pass
    print(sum(future.done() for future in futures))
    """)
    assert output.endswith("21\n")
    assert len(load_saved_ids(store.root)) == 20


def test_submit_below_a_file_fails_every_future(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    futures = []
    with (
        pytest.raises(BulkSaveError) as caught,
        ResultStore(tmp_path / "file").writer(max_pending=4) as writer,
    ):
        futures += [writer.submit(result) for result in make_results(50)]
    assert list(caught.value.failed) == list(range(50))
    assert caught.value.saved == {}
    for future in futures:
        error = future.exception(timeout=0)
        assert isinstance(error, PersistenceError)
        assert isinstance(error, NotADirectoryError)
        assert not error.committed


def test_open_writer_without_threads_raises(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(PersistenceError, match="start"):
            store.writer()
    gc.collect()
