"""Failures and interrupts of many saves at once, and the errors that report them."""

from __future__ import annotations

import pickle
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    LLEMError,
    PersistenceError,
    ResultStore,
    SaveInterrupted,
)
from llenergymeasure.results import save_many as module
from support.processes import HANG, store_threads, wait_until
from support.results import ids, make_results
from support.stores import FLUSH_METHODS, open_store
from support.trees import assert_holds_exactly, load_saved_ids

Make = Callable[..., ExperimentResult]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_with_invalid_results_saves_the_rest(
    make_result: Make, tmp_path: Path, flush_method: str | None, *, durable: bool
) -> None:
    class Annotated(ExperimentResult):
        note: str = "lost"

    results: list[Any] = make_results(100)
    results[0] = "no result"
    results[7] = None
    results[50] = make_result()
    results[50].effective_config["handle"] = object()
    results[51] = make_result().model_copy(update={"total_tokens": "many"})
    results[99] = Annotated(**make_result().model_dump())
    bad = (0, 7, 50, 51, 99)
    with pytest.raises(BulkSaveError) as caught:
        open_store(tmp_path, flush_method).save_many(results, durable=durable)
    error = caught.value
    assert isinstance(error, LLEMError)
    assert list(error.failed) == sorted(bad)
    assert list(error.saved) == [n for n in range(100) if n not in bad]
    kinds = [type(error.failed[n]) for n in (0, 7, 51, 99)]
    assert kinds[:2] == [TypeError, TypeError]
    assert issubclass(kinds[2], ValueError)
    assert kinds[3] is TypeError
    assert_holds_exactly(tmp_path, list(error.saved.values()), [results[n] for n in error.saved])
    assert "5 of 100 results failed; the first at index 0: TypeError" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_below_a_file_fails_all_and_keeps_the_file(
    tmp_path: Path, flush_method: str | None
) -> None:
    (tmp_path / "file").write_text("theirs")
    with pytest.raises(BulkSaveError) as caught:
        open_store(tmp_path / "file" / "out", flush_method).save_many(make_results(50))
    assert not caught.value.saved
    assert list(caught.value.failed) == list(range(50))
    for error in caught.value.failed.values():
        assert isinstance(error, NotADirectoryError)
        assert isinstance(error, PersistenceError)
        assert not error.committed
    assert (tmp_path / "file").read_text() == "theirs"


def test_save_many_with_missing_source_and_failure_raises_the_failure(tmp_path: Path) -> None:
    results: list[Any] = [*make_results(2), "no result"]
    sources = [tmp_path / "absent", None, None]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(BulkSaveError) as caught:
            ResultStore(tmp_path / "out").save_many(results, timeseries_sources=sources)
    assert (list(caught.value.saved), list(caught.value.failed)) == ([0, 1], [2])
    assert len(warned) == 1
    with pytest.raises(BulkSaveError):
        ResultStore(tmp_path / "out").save_many(results, timeseries_sources=sources)


def test_save_many_in_a_directory_that_is_swept_fails_only_the_lost_results(
    tmp_path: Path,
) -> None:
    root = tmp_path / "out"
    over = threading.Event()

    def sweep() -> None:
        while not over.is_set():
            shutil.rmtree(root, ignore_errors=True)
            time.sleep(0.001)

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        saved, failed = ResultStore(root).save_many(make_results(200)), {}
        outcomes = dict(enumerate(saved))
    except BulkSaveError as error:
        outcomes, failed = error.saved, error.failed
    finally:
        over.set()
        thread.join(HANG)
    assert sorted([*outcomes, *failed]) == list(range(200))
    # A name that the sweep freed is claimed again, so that two results can meet in one directory.
    assert all(isinstance(error, (FileNotFoundError, FileExistsError)) for error in failed.values())


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("durable", [True, False])
def test_save_many_with_failing_iterable_saves_the_given_results_first(
    tmp_path: Path, kind: type[BaseException], *, durable: bool
) -> None:
    results = make_results(33)

    def generate() -> Iterator[ExperimentResult]:
        yield from results
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        ResultStore(tmp_path).save_many(generate(), durable=durable)
    assert load_saved_ids(tmp_path) == ids(results)


def test_save_many_with_failing_sources_saves_the_paired_results_first(tmp_path: Path) -> None:
    results = make_results(9)

    def sources() -> Iterator[None]:
        for _ in range(5):
            yield None
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ResultStore(tmp_path).save_many(results, timeseries_sources=sources())
    assert load_saved_ids(tmp_path) == ids(results[:5])


@pytest.mark.parametrize("last", [False, True])
def test_save_many_with_failing_progress_saves_the_given_results_first(tmp_path: Path, *, last: bool) -> None:
    given: list[ExperimentResult] = []
    called = 0

    def generate() -> Iterator[ExperimentResult]:
        for result in make_results(40):
            given.append(result)
            yield result
        if last:
            # Then only the last call of progress can report all of them.
            wait_until(lambda: len(list(tmp_path.glob("*/result.json"))) == 40)

    def progress(done: int, _: int | None) -> None:
        nonlocal called
        if done == 40 or not last:
            called += 1
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ResultStore(tmp_path).save_many(generate(), progress=progress)
    assert called == 1
    assert load_saved_ids(tmp_path) == ids(given)


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize("durable", [True, False])
def test_save_many_interrupted_reports_every_result(
    tmp_path: Path, flush_method: str | None, *, durable: bool
) -> None:
    results = make_results(50)

    def generate() -> Iterator[Any]:
        yield from results[:20]
        wait_until(lambda: len(list(tmp_path.glob("*/result.json"))) == 20)
        yield "no result"
        yield from results[21:]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        open_store(tmp_path, flush_method).save_many(generate(), durable=durable)
    error = caught.value
    assert isinstance(error, SaveInterrupted)
    assert isinstance(error.__cause__, KeyboardInterrupt)
    assert list(error.failed) == [20]
    # The disk does not hang, so every result has an outcome.
    assert error.unconfirmed == {}
    assert set(error.saved) >= set(range(20))
    assert_holds_exactly(tmp_path, list(error.saved.values()), [results[n] for n in error.saved])
    message = str(error)
    assert f"{len(error.saved)} results are safe" in message
    assert "\n" not in message
    wait_until(lambda: store_threads() == [])


def test_save_many_interrupted_inside_an_error_raises_save_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    made = 0
    plain = PersistenceError.__init__

    def interrupt(self: PersistenceError, *args: Any, **kwargs: Any) -> None:
        nonlocal made
        made += 1
        plain(self, *args, **kwargs)
        if made == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PersistenceError, "__init__", interrupt)
    # Test runs in the background ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SaveInterrupted) as caught:
            ResultStore(tmp_path / "file").save_many(make_results(20))
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.saved == {}
    assert all(isinstance(error, NotADirectoryError) for error in caught.value.failed.values())


@pytest.mark.parametrize("durable", [True, False])
def test_save_many_interrupted_at_any_line_reports_every_result(tmp_path: Path, *, durable: bool) -> None:
    # As a signal does: between any two lines, in the thread that saves.
    results: list[Any] = [*make_results(3), "no result"]
    lines = at = line = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal lines, line
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == at:
                line = frame.f_lineno
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    while lines >= at:
        lines, at, root = 0, at + 1, tmp_path / str(at)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            ResultStore(root).save_many(iter(results), durable=durable)
        except SaveInterrupted as error:
            saved = error.saved
        except KeyboardInterrupt as interrupt:
            # The interrupt may replace the error on its way out.
            failed = interrupt.__context__
            saved = failed.saved if isinstance(failed, BulkSaveError) else {}
        except BulkSaveError:
            continue
        finally:
            sys.settrace(before)
        wait_until(lambda: store_threads() == [])
        assert load_saved_ids(root) == ids([results[n] for n in saved]), f"line {line}"
    assert at > 40


def test_pickle_bulk_save_error_keeps_its_contents(tmp_path: Path) -> None:
    (tmp_path / "bad").touch()
    results: list[Any] = [*make_results(3), "no result"]
    with pytest.raises(BulkSaveError) as caught:
        ResultStore(tmp_path / "out").save_many(
            results, timeseries_sources=[None, tmp_path / "bad", None, None]
        )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(caught.value, protocol))  # noqa: S301 - our own bytes
        assert type(copy) is BulkSaveError
        assert copy.saved == caught.value.saved
        assert {n: (type(e), str(e)) for n, e in copy.failed.items()} == {
            n: (type(e), str(e)) for n, e in caught.value.failed.items()
        }
        assert str(copy) == str(caught.value)


def test_pickle_save_interrupted_keeps_its_contents() -> None:
    error = SaveInterrupted({0: Path("/a")}, {1: TypeError("b")}, {2: Path("/c")})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
        assert type(copy) is SaveInterrupted
        assert (copy.saved, copy.unconfirmed) == ({0: Path("/a")}, {2: Path("/c")})
        assert repr(copy.failed) == repr(error.failed)
        assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BulkSaveError({}, {3: TypeError("x")}), "1 of 1 results failed; the first at index 3: TypeError: x"),
        (BulkSaveError({}, {}), "0 of 0 results failed"),
        (SaveInterrupted({}, {}, {}), "interrupted: 0 results are safe; the others were not saved"),
        (
            SaveInterrupted({0: Path("a")}, {1: TypeError()}, {2: Path("b")}),
            (
                "interrupted: 1 results are safe, 1 failed, 1 more are in place with an unconfirmed flush; "
                "the others were not saved"
            ),
        ),
    ],
)
def test_format_bulk_errors_gives_one_sentence(error: BaseException, message: str) -> None:
    assert str(error) == message
