"""Writers in programs whose threads gevent or eventlet has replaced."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult, PersistenceError, ResultStore
from support.optional import needs
from support.processes import run_code

if TYPE_CHECKING:
    from collections.abc import Callable

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all({})",
    "eventlet": "import eventlet; eventlet.monkey_patch({})",
}
PROGRAM = """
    import sys, warnings
    warnings.simplefilter("ignore")
    {patch}
    from llenergymeasure import ExperimentResult, ResultStore
    record, root = sys.argv[1:]
    result, store = ExperimentResult.from_json(record), ResultStore(root)
    try:
        with store.writer() as writer:
            writer.submit(result)
        print("saved")
    except RuntimeError as error:
        print(error)
    print(len(store.save_many([result] * 3)), store.save(result).exists(), len(store.load_all()))
"""


@pytest.mark.parametrize("library", [pytest.param(name, marks=needs(name)) for name in PATCHES])
def test_open_writer_under_green_threads_raises(
    library: str, result: ExperimentResult, tmp_path: Path
) -> None:
    record = result.save(tmp_path / "one")
    program = PROGRAM.format(patch=PATCHES[library].format(""))
    run = run_code(program, record, tmp_path / "many", timeout=60, check=True)
    refusal, others = run.stdout.splitlines()
    assert refusal.startswith(f"a writer expects threads of the operating system, got those of {library}, ")
    assert others == "3 True 4"


@pytest.mark.parametrize("library", [pytest.param(name, marks=needs(name)) for name in PATCHES])
def test_open_writer_under_patches_that_spare_threads_saves(
    library: str, result: ExperimentResult, tmp_path: Path
) -> None:
    record = result.save(tmp_path / "one")
    program = PROGRAM.format(patch=PATCHES[library].format("thread=False"))
    run = run_code(program, record, tmp_path / "many", timeout=60, check=True)
    assert run.stdout.splitlines() == ["saved", "3 True 5"]


@pytest.mark.parametrize("name", ["_start_new_thread", "_start_joinable_thread"])
def test_open_writer_with_a_replaced_thread_start_raises(
    name: str, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("no thread starts")

    monkeypatch.setattr(threading, name, start, raising=False)
    with pytest.raises(RuntimeError, match="a writer expects threads of the operating system, got those of"):
        store.writer()
    assert not store.root.exists()


def test_save_many_interrupted_without_threads_undoes_in_place(
    make_result: Callable[..., ExperimentResult], store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def results() -> Any:
        yield make_result()
        raise KeyboardInterrupt

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    monkeypatch.setattr("llenergymeasure.results.save_many._GRACE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        store.save_many(results())


@pytest.mark.parametrize(
    ("step", "action"),
    [
        ("start", "start a thread for the saves in"),
        ("start_reading", "start a thread to read the results in"),
    ],
)
def test_error_of_a_thread_names_the_operation(step: str, action: str) -> None:
    text = str(PersistenceError(11, "Resource temporarily unavailable", "results", step))
    assert text.startswith(f"cannot {action} 'results': Resource temporarily unavailable [EAGAIN]")
    assert ("saved" in text) is (step == "start")
