"""Backpressure of a writer, slow streams, interrupts, and writers that are never closed."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    ResultStore,
    _store,
)
from support.processes import HANG, store_threads, wait_until
from support.results import ids, make_results
from support.stores import count_unfinished
from support.trees import load_saved_ids

pytestmark = pytest.mark.usefixtures("no_thread_survives")


class Interrupting:
    """A source that raises an interrupt when a save reads it."""

    def __init__(self, until: Callable[[], object]) -> None:
        self._until = until

    def __arrow_c_stream__(self, _: object = None) -> NoReturn:
        self._until()
        raise KeyboardInterrupt


def test_submit_interrupted_at_any_line_loses_no_result(
    script: Callable[[str], str], store: ResultStore
) -> None:
    # As a signal does: between any two lines of the writer, in the thread that submits.
    output = script("""
    from llenergymeasure.results import _submissions, writer as module

    lines = 0

    def trace(frame, event, _):
        global lines
        if frame.f_code.co_filename not in (module.__file__, _submissions.__file__):
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
    lines, returned = map(int, output.split())
    assert lines > 20
    assert returned <= len(load_saved_ids(store.root)) <= returned + lines


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("max_pending", [1, 2, 8])
def test_submit_keeps_pending_results_within_max_pending(
    result: ExperimentResult, store: ResultStore, max_pending: int, *, durable: bool
) -> None:
    futures: list[Future[Path]] = []
    most = 0
    with store.writer(max_pending=max_pending, durable=durable) as writer:
        for _ in range(150):
            futures.append(writer.submit(result))
            most = max(most, count_unfinished(futures))
    assert most <= max_pending
    assert len({future.result() for future in futures}) == 150


@pytest.mark.parametrize("slow", ["callback", "on_error"])
def test_submit_waits_for_slow_listeners(
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
            # A future that is already done calls back in this thread.
            listening = slow == "on_error" or not first.done()

        def submit() -> None:
            nonlocal most
            for _ in range(50):
                futures.append(writer.submit(result))
                most = max(most, count_unfinished(futures))

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


def test_submit_interrupted_saves_nothing_and_blocks_no_other_thread(store: ResultStore) -> None:
    results = make_results(2)
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
    assert load_saved_ids(store.root) == ids(results[1:])


def test_close_writer_refuses_or_saves_submits_that_wait_for_room(
    store: ResultStore,
) -> None:
    results = make_results(400)
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
    assert len(load_saved_ids(store.root)) == len(saved)


@pytest.mark.parametrize("how", ["submit", "refuse"])
def test_abandon_submit_that_is_refused_raises(tmp_path: Path, how: str) -> None:
    bulk = _store.Bulk(str(tmp_path), durable=False, max_results=1, max_bytes=1 << 20, is_batch=False)
    in_flight: dict[int, Any] = {}
    bulk.submit(0, "name", b"{}", in_flight=in_flight, patient=True)
    refused: list[Exception] = []

    def hand_over() -> None:
        kinds: dict[str, Any] = {
            "in_flight": in_flight,
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
    wait_until(lambda: 1 in in_flight)
    in_flight.clear()
    bulk.close()
    thread.join(HANG)
    bulk.join()
    assert [(type(error), str(error)) for error in refused] == [(ValueError, "the writer is closed")]


def test_drop_unclosed_writer_saves_all_and_warns(store: ResultStore) -> None:
    results = make_results(100)
    writer = store.writer()
    futures = [writer.submit(result) for result in results]
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match="unclosed writer of") as warned:
        held.clear()
    assert str(store.root) in str(warned[0].message)
    paths = {future.result(timeout=HANG) for future in futures}
    assert len(paths) == 100
    assert load_saved_ids(store.root) == ids(results)


def test_collect_unclosed_writer_in_a_cycle_saves_and_warns(
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
def test_drop_unclosed_writer_reports_its_failures(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    writer = store.writer()
    writer.submit("no result")  # type: ignore[arg-type]
    held = [writer]
    del writer
    with pytest.warns(ResourceWarning, match="unclosed writer of"):
        held.clear()
    wait_until(lambda: store_threads() == [])
    (error,) = reported
    assert isinstance(error, BulkSaveError)
    assert isinstance(error.failed[0], TypeError)


def test_submit_next_to_future_with_locked_condition_saves_the_others(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llenergymeasure.results._submissions._LOCK_TIMEOUT", 0.1)
    go = threading.Event()
    lost, other = make_results(2)
    with store.writer() as writer:
        future = writer.submit(lost, Live(go))
        future._condition.acquire()
        go.set()
        assert writer.submit(other).result(HANG).exists()
        writer.flush()
    assert not future._state.startswith("FINISHED")
    assert len(list(store.root.glob("*/result.json"))) == 2


class Live:
    """A stream that waits for an event before it returns its rows."""

    def __init__(self, go: threading.Event, nbytes: int = 0) -> None:
        self.nbytes = nbytes
        self._go = go

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        schema = pa.schema([("timestamp_s", pa.float64()), ("power_w", pa.float32())])

        def batches() -> Iterator[pa.RecordBatch]:
            assert self._go.wait(HANG), "the stream waits in vain"
            yield pa.record_batch({"timestamp_s": [0.0], "power_w": [250.0]}, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches()).__arrow_c_stream__(requested_schema)


def test_submit_next_to_slow_streams_saves_without_waiting(store: ResultStore) -> None:
    plain_is_safe = threading.Event()
    first, plain, *others = make_results(6)
    with store.writer() as writer:
        live = [writer.submit(first, Live(plain_is_safe))]
        future = writer.submit(plain)
        future.add_done_callback(lambda _: plain_is_safe.set())
        live += [writer.submit(other, Live(plain_is_safe)) for other in others]
        assert future.result(HANG).exists()
    assert all(each.result().with_name("timeseries.parquet").exists() for each in live)


def test_submit_limits_pending_tables_by_their_bytes(store: ResultStore) -> None:
    go, submitted = threading.Event(), []
    results = make_results(6)
    with store.writer() as writer:

        def submit() -> None:
            for result in results:
                submitted.append(writer.submit(result, Live(go, nbytes=40 << 20)))  # noqa: PERF401 - watched

        thread = threading.Thread(target=submit)
        thread.start()
        wait_until(lambda: len(submitted) == 1)
        thread.join(0.3)
        assert len(submitted) == 1, "two tables exceed the memory of a writer"
        go.set()
        thread.join()
    assert on_disk_with_sidecars(store.root) == ids(results)


def on_disk_with_sidecars(root: Path) -> list[str]:
    sidecars = sorted(root.glob("*/timeseries.parquet"))
    return ids([ExperimentResult.from_json(path.parent) for path in sidecars])


def test_submit_invalid_results_waits_for_room(store: ResultStore) -> None:
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
        wait_until(lambda: len(submitted) == 4)
        thread.join(0.3)
        assert len(submitted) == 4
        go.set()
        thread.join()
    assert len(submitted) == 20


def test_abandon_writer_resolves_every_future(store: ResultStore) -> None:
    go = threading.Event()
    writer = store.writer()
    futures = [writer.submit(result, Live(go)) for result in make_results(20)]
    writer._abandon(0)
    go.set()
    kinds = {type(future.exception(HANG)) for future in futures}
    assert kinds <= {type(None), CancelledError}
    assert CancelledError in kinds
    wait_until(lambda: store_threads() == [])
    saved = [future.result() for future in futures if future.exception() is None]
    assert len(on_disk_with_sidecars(store.root)) == len(saved)
    assert len(list(store.root.glob("*"))) == len(saved)
