"""Programs that end, fork or are killed during their saves keep every acknowledged result."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.processes import run_code, run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@dataclass
class Ran:
    """The end of a program, and the tree after it."""

    code: int
    stderr: str
    acknowledged: list[Path]
    left: dict[Path, str]
    """The ids of the results by their paths; all of them are complete."""
    leftovers: list[Path]
    """Files and directories that belong to no result."""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Ran]:
    """Return a function that runs `exit_worker.py` and inspects the tree after it."""
    runs = 0

    def program(what: str, how: str = "") -> Ran:
        nonlocal runs
        root = tmp_path / f"out{runs}"
        runs += 1
        run = run_script(Path(__file__).with_name("exit_worker.py"), what, how, root)
        left = {path: ExperimentResult.from_json(path).experiment_id for path in root.glob("*/result.json")}
        assert len(set(left.values())) == len(left)
        leftovers = set(root.rglob("*")) - {file for path in left for file in (path.parent, path)}
        printed = [Path(line) for line in run.stdout.splitlines()]
        assert len(set(printed)) == len(printed)
        assert set(printed) <= set(left)
        return Ran(run.returncode, run.stderr, printed, left, sorted(leftovers))

    return program


@pytest.mark.parametrize(("how", "code"), [("os._exit", 5), ("abort", -signal.SIGABRT)])
def test_exit_abruptly_keeps_every_acknowledged_result(
    program: Callable[..., Ran], how: str, code: int
) -> None:
    ran = program("end_at_once", how)
    assert ran.code == code, ran.stderr
    assert {ran.left[path] for path in ran.acknowledged} >= {f"first-{n}" for n in range(50)}
    assert len(ran.left) < 550, "a result whose sidecar never ends cannot be saved"
    assert all(path.name.startswith(".") or path.is_dir() for path in ran.leftovers)


@pytest.mark.parametrize(("how", "code"), [("", 0), ("sys.exit", 3), ("error", 1)])
def test_exit_next_to_submitting_daemon_thread_saves_its_results(
    program: Callable[..., Ran], how: str, code: int
) -> None:
    for _ in range(3):
        ran = program("end_under_a_daemon", how)
        assert ran.code == code, ran.stderr
        assert ran.stderr.endswith("ZeroDivisionError: mine\n" if how == "error" else "")
        assert "Fatal" not in ran.stderr
        assert how == "error" or ran.stderr == ""
        assert len(ran.acknowledged) >= 200
        # The thread may end before it prints the last ones.
        assert sorted(ran.left.values()) == sorted(f"daemon-{n}" for n in range(len(ran.left)))
        assert ran.leftovers == []


@pytest.mark.parametrize("how", ["save", "save_many"])
def test_exit_next_to_saving_daemon_thread_keeps_every_acknowledged_result(
    program: Callable[..., Ran], how: str
) -> None:
    for _ in range(5):
        ran = program("end_under_a_daemon_that_saves", how)
        assert (ran.code, ran.stderr) == (0, "")
        if how == "save":
            assert len(ran.acknowledged) >= 199
        assert all(path.name.startswith(".") or path.is_dir() for path in ran.leftovers)


WAITING = """
import atexit, queue, sys, threading
todo = queue.Queue()
atexit.register(todo.join)  # before the package registers anything
from llenergymeasure import ExperimentResult, ResultStore
store = ResultStore(sys.argv[1])
def work():
    while True:
        store.save(todo.get())
        todo.task_done()
threading.Thread(target=work, daemon=True).start()
for _ in range(20):
    todo.put(ExperimentResult.model_validate_json(sys.argv[2]))
"""


def test_exit_that_waits_for_daemon_thread_ends_after_its_saves(
    results: list[ExperimentResult], tmp_path: Path
) -> None:
    run = run_code(WAITING, tmp_path, results[0].model_dump_json())
    assert (run.returncode, run.stderr) == (0, "")
    assert len(list(tmp_path.glob("*/result.json"))) == 20


@pytest.mark.parametrize("busy", ["save_many", "writer"])
@pytest.mark.parametrize("how", ["os._exit", "the end"])
def test_fork_from_thread_next_to_busy_workers_keeps_all_results(
    program: Callable[..., Ran], how: str, busy: str
) -> None:
    ran = program("fork_in_a_thread", f"{how} next to {busy}")
    assert (ran.code, ran.stderr) == (0, "")
    children = [name for name in ran.left.values() if name.startswith("child-")]
    parents = [name for name in ran.left.values() if name.startswith("parent-")]
    assert len(children) == 6 * 30
    assert sorted(parents) == sorted(f"parent-{n}" for n in range(len(parents)))
    assert len(parents) >= 100
    assert set(ran.acknowledged) == set(ran.left)
    assert ran.leftovers == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_write_in_pool_workers_keeps_every_result(program: Callable[..., Ran], method: str) -> None:
    ran = program("pool", method)
    assert (ran.code, ran.stderr) == (0, "")
    assert len(ran.left) == 200
    assert set(ran.acknowledged) == set(ran.left)
    assert ran.leftovers == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_kill_pool_worker_keeps_acknowledged_results_and_other_workers(
    program: Callable[..., Ran], tmp_path: Path, method: str
) -> None:
    ran = program("pool_that_is_killed", method)
    assert (ran.code, ran.stderr) == (0, "")
    names = set(ran.left.values())
    assert names >= {f"before-{n}" for n in range(50)}
    assert names >= {f"after-{task}-{n}" for task in range(4) for n in range(25)}
    dying = [name for name in names if name.startswith("dying-")]
    assert len(dying) < 300
    verified = ResultStore(tmp_path / "out0").verify()
    assert verified.ok, verified
