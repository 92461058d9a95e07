"""Writers in forked and spawned processes, and at the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, ResultStore, SidecarError, save_results
from support.processes import HANG, run_script

if TYPE_CHECKING:
    Race = Callable[..., Any]
    Suffixes = Callable[[Path], dict[str, list[int]]]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., tuple[int, str, list[str]]]:
    """Run `writer_worker.py`; return its exit code, its stderr, and the ids of the results that exist."""

    def program(what: str, how: str = "") -> tuple[int, str, list[str]]:
        root = tmp_path / "out"
        run = run_script(Path(__file__).with_name("writer_worker.py"), what, how, root)
        records = sorted(root.glob("*/result.json"))
        assert sorted(root.rglob("*")) == sorted(file for path in records for file in (path.parent, path))
        left = [ExperimentResult.from_json(path).experiment_id for path in records]
        assert len(set(left)) == len(left)
        return run.returncode, run.stderr, left

    return program


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_write_in_children_of_every_kind_keeps_every_result(
    program: Callable[..., tuple[int, str, list[str]]], method: str
) -> None:
    code, stderr, left = program("write_in_children", method)
    assert (code, stderr) == (0, "")
    assert len(left) == 250


@pytest.mark.parametrize("how", ["os._exit", "sys.exit"])
def test_use_writer_in_fork_raises_and_keeps_the_parents_results(
    program: Callable[..., tuple[int, str, list[str]]], how: str
) -> None:
    code, stderr, left = program("use_in_a_fork", how)
    assert (code, stderr) == (0, "")
    assert "stolen" not in left
    children = [name for name in left if name.startswith("child-")]
    assert len(children) == (0 if how == "os._exit" else 12)


def test_leave_writer_block_in_fork_raises(
    program: Callable[..., tuple[int, str, list[str]]],
) -> None:
    code, stderr, left = program("use_in_a_fork", "the end of the block")
    assert code == 1
    assert "AssertionError" in stderr
    assert "belongs to process" in stderr
    assert "stolen" not in left


@pytest.mark.parametrize("what", ["forget_in_a_fork", "fork_while_saving_many"])
def test_end_fork_keeps_the_parents_results(
    program: Callable[..., tuple[int, str, list[str]]], what: str
) -> None:
    code, stderr, left = program(what)
    assert (code, stderr) == (0, "")
    assert len(left) == (240 if what == "forget_in_a_fork" else 250)


@pytest.mark.parametrize(
    ("what", "how", "code"),
    [
        ("end_in_main", "", 0),
        ("end_by_exit", "", 3),
        ("end_by_error", "", 1),
        ("end_with_a_failure", "", 0),
        ("end_with_two_writers", "", 0),
        ("end_before_a_thread", "", 0),
        ("end_before_a_pool", "", 0),
        ("end_in_a_child", "fork", 0),
        ("end_in_a_child", "spawn", 0),
        ("end_in_a_child", "forkserver", 0),
    ],
)
def test_exit_interpreter_without_close_saves_everything(
    program: Callable[..., tuple[int, str, list[str]]], what: str, how: str, code: int
) -> None:
    ended, stderr, left = program(what, how)
    assert ended == code, stderr
    assert len(left) == 100
    if what == "end_with_a_failure":
        assert "BulkSaveError: 1 of 101 results failed; the first at index 100: TypeError" in stderr
    elif what == "end_by_error":
        assert stderr.endswith("ZeroDivisionError: mine\n")
        assert "Error" not in stderr.replace("ZeroDivisionError", "")
    else:
        assert stderr == ""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_send_store_and_errors_between_processes_keeps_their_contents(
    results: list[ExperimentResult], tmp_path: Path, method: str
) -> None:
    if method == "fork" and sys.version_info >= (3, 12) and threading.active_count() > 1:
        pytest.skip("a process with threads is not forked here")
    bad = tmp_path / "bad.parquet"
    bad.write_text("this is no parquet file")
    store = ResultStore(tmp_path / "out")
    mixed: list[Any] = [*results, "no result"]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        paths = pool.submit(store.save_many, results).result(timeout=HANG)
        error = pool.submit(save_results, mixed, store.root, timeseries_sources=[None, bad, None]).exception(
            timeout=HANG
        )
    assert [ExperimentResult.from_json(path) for path in paths] == results
    assert isinstance(error, BulkSaveError)
    assert (list(error.saved), list(error.failed)) == ([0], [1, 2])
    assert isinstance(error.failed[1], SidecarError)
    assert error.failed[1].result_path is not None
    assert ExperimentResult.from_json(error.failed[1].result_path) == results[1]
    assert isinstance(error.failed[2], TypeError)


def test_pickle_writer_raises(results: list[ExperimentResult], tmp_path: Path) -> None:
    with ResultStore(tmp_path).writer() as writer:
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(writer)
        assert writer.submit(results[0]).result(timeout=HANG).exists()
