"""Writers beside others: in one directory, in processes of every kind, and at the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, ResultStore, SidecarError, save_results

if TYPE_CHECKING:
    Race = Callable[..., Any]
    Suffixes = Callable[[Path], dict[str, list[int]]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

STAMPED = "org-model_pytorch_2026-02-18T14-30"


def assert_all_there(saved: list[tuple[Path, int]], results: list[ExperimentResult], root: Path) -> None:
    """Every result that was acknowledged is there, in a directory of its own, and nothing else is."""
    texts = [result.model_dump_json(indent=2) for result in results]
    assert sorted(path for path, _ in saved) == sorted(root.glob("*/result.json"))
    assert len({path for path, _ in saved}) == len(saved) == len(list(root.iterdir()))
    for path, which in saved:
        assert path.read_text() == texts[which]
        assert os.listdir(path.parent) == ["result.json"]  # noqa: PTH208 - hidden files count


@pytest.mark.parametrize("durable", [True, False])
def test_4_processes_with_a_writer_each_of_4_threads_keep_every_result(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path, *, durable: bool
) -> None:
    root = tmp_path / "out"
    ran = race(["writer"] * 4, results, root, saves=40, durable=durable)
    assert ran.failed == []
    assert len(ran.saved) == 640
    assert_all_there(ran.saved, results, root)
    assert suffixes(root) == {STAMPED: list(range(640))}


@pytest.mark.parametrize("durable", [True, False])
def test_every_way_to_save_may_use_one_directory_at_once(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path, *, durable: bool
) -> None:
    root = tmp_path / "out"
    ran = race(
        ["writer", "writer", "save", "many", "many", "threads"], results, root, saves=40, durable=durable
    )
    assert ran.failed == []
    assert len(ran.saved) == 2 * 160 + 40 + 2 * 40 + 160
    assert_all_there(ran.saved, results, root)
    assert suffixes(root) == {STAMPED: list(range(len(ran.saved)))}


@pytest.mark.parametrize("with_sidecar", [False, True])
def test_readers_at_full_speed_see_no_torn_record(
    race: Race, results: list[ExperimentResult], parquet: Path, tmp_path: Path, *, with_sidecar: bool
) -> None:
    root = tmp_path / "out"
    source = str(parquet) if with_sidecar else None
    ran = race(["many", "writer", "read", "read"], results, root, saves=40, expected=200, source=source)
    assert ran.failed == []
    assert len(ran.saved) == 200
    assert ran.seen > 200


def test_many_saves_beside_some_that_give_up_make_a_fresh_tree_once(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    rounds = 20
    roles = ["many", "fail", "writer", "interrupt", "fail", "save"]
    root = str(tmp_path / "{round}" / "a" / "b")
    ran = race(roles, results[:1], root, rounds=rounds, durable=False)
    assert ran.failed == []
    assert len(ran.saved) == 6 * rounds
    assert all(path.exists() for path, _ in ran.saved)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_an_output_directory_that_somebody_removes_while_it_is_empty_is_made_again(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    rounds = 30
    root = str(tmp_path / "{round}" / "out")
    ran = race(["remove", "fail", "fail", "many"], results[:1], root, rounds=rounds, saves=3, durable=False)
    assert ran.failed == []
    assert len(ran.saved) == 3 * rounds
    assert all(path.exists() for path, _ in ran.saved)


def test_two_writers_and_a_plain_save_of_one_process_take_their_turns(
    results: list[ExperimentResult], tmp_path: Path
) -> None:
    store = ResultStore(tmp_path)
    saved: list[tuple[Path, int]] = []
    with store.writer() as first, store.writer() as second:

        def write(which: int) -> None:
            futures = [(first, second)[which].submit(results[which]) for _ in range(100)]
            saved.extend((future.result(timeout=30), which) for future in futures)

        def save() -> None:
            for _ in range(30):
                saved.append((store.save(results[0]), 0))  # noqa: PERF401 - each as it comes

        crew = [threading.Thread(target=write, args=(n,)) for n in range(2)] + [threading.Thread(target=save)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join(30)
    assert len(saved) == 230
    assert_all_there(saved, results, tmp_path)


# Processes of their own.


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., tuple[int, str, list[str]]]:
    """Run `bulk_worker.py`; return its code, what it says, and the ids of the results that it left."""

    def program(what: str, how: str = "") -> tuple[int, str, list[str]]:
        root = tmp_path / "out"
        script = Path(__file__).with_name("bulk_worker.py")
        run = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", script, what, how, root],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        records = sorted(root.glob("*/result.json"))
        assert sorted(root.rglob("*")) == sorted(file for path in records for file in (path.parent, path))
        left = [ExperimentResult.from_json(path).experiment_id for path in records]
        assert len(set(left)) == len(left)
        return run.returncode, run.stderr, left

    return program


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_every_kind_open_their_own_writers(
    program: Callable[..., tuple[int, str, list[str]]], method: str
) -> None:
    code, said, left = program("write_in_children", method)
    assert (code, said) == (0, "")
    assert len(left) == 250


@pytest.mark.parametrize("how", ["os._exit", "sys.exit"])
def test_a_fork_is_told_that_the_writer_is_its_parents_and_does_it_no_harm(
    program: Callable[..., tuple[int, str, list[str]]], how: str
) -> None:
    code, said, left = program("use_in_a_fork", how)
    assert (code, said) == (0, "")
    assert "stolen" not in left
    children = [name for name in left if name.startswith("child-")]
    assert len(children) == (0 if how == "os._exit" else 12)


def test_a_fork_that_leaves_the_parents_block_is_told_too(
    program: Callable[..., tuple[int, str, list[str]]],
) -> None:
    code, said, left = program("use_in_a_fork", "the end of the block")
    assert code == 1
    assert "AssertionError" in said
    assert "belongs to process" in said
    assert "stolen" not in left


@pytest.mark.parametrize("what", ["forget_in_a_fork", "fork_while_saving_many"])
def test_a_fork_that_ends_takes_nothing_of_its_parents_along(
    program: Callable[..., tuple[int, str, list[str]]], what: str
) -> None:
    code, said, left = program(what)
    assert (code, said) == (0, "")
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
def test_an_interpreter_that_ends_without_a_close_drops_nothing_in_silence(
    program: Callable[..., tuple[int, str, list[str]]], what: str, how: str, code: int
) -> None:
    ended, said, left = program(what, how)
    assert ended == code, said
    assert len(left) == 100
    if what == "end_with_a_failure":
        assert "BulkSaveError: 1 of 101 results failed; the first at index 100: TypeError" in said
    elif what == "end_by_error":
        assert said.endswith("ZeroDivisionError: mine\n")
        assert "Error" not in said.replace("ZeroDivisionError", "")
    else:
        assert said == ""


# What goes to a worker process and comes back.


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_store_and_what_it_raises_go_to_a_worker_process_and_come_back(
    results: list[ExperimentResult], tmp_path: Path, method: str
) -> None:
    if method == "fork" and sys.version_info >= (3, 12) and threading.active_count() > 1:
        pytest.skip("a process with threads is not forked here")
    bad = tmp_path / "bad.parquet"
    bad.write_text("this is no parquet file")
    store = ResultStore(tmp_path / "out")
    mixed: list[Any] = [*results, "no result"]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        paths = pool.submit(store.save_many, results).result(timeout=60)
        error = pool.submit(save_results, mixed, store.root, timeseries_sources=[None, bad, None]).exception(
            timeout=60
        )
    assert [ExperimentResult.from_json(path) for path in paths] == results
    assert isinstance(error, BulkSaveError)
    assert (list(error.saved), list(error.failed)) == ([0], [1, 2])
    assert isinstance(error.failed[1], SidecarError)
    assert error.failed[1].result_path is not None
    assert ExperimentResult.from_json(error.failed[1].result_path) == results[1]
    assert isinstance(error.failed[2], TypeError)


def test_a_writer_stays_where_it_is(results: list[ExperimentResult], tmp_path: Path) -> None:
    with ResultStore(tmp_path).writer() as writer:
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(writer)
        assert writer.submit(results[0]).result(timeout=30).exists()
