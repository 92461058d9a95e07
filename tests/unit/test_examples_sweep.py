"""The examples of sweeps: on the processes of one machine, and as a Slurm array."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from llenergymeasure import ResultStore, _store
from support.processes import HANG

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = (1, 2, 4, 8, 16, 32)
REPEATS = 5
TASKS = 4


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment in which an example finds the package."""
    package = str(Path(_store.__file__ or "").parents[1])
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "PYTHON": sys.executable}


def runs_of(store: ResultStore) -> Counter[int]:
    """Return the number of results and failures of each batch size."""
    done = Counter(result.effective_config["batch_size"] for result in store.load_all())
    return done + Counter(run.effective_config["batch_size"] for _, run in store.failures())


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="a group of processes is killed")
def test_local_sweep_that_is_killed_resumes(tmp_path: Path, environment: dict[str, str]) -> None:
    program, store = EXAMPLES / "local_sweep.py", ResultStore(tmp_path / "sweep")
    command = [sys.executable, str(program), str(store.root)]
    with subprocess.Popen(command, env=environment, start_new_session=True) as sweep:
        until = time.monotonic() + HANG
        while len(list(store.root.glob("*/*.json"))) < len(SIZES) * REPEATS // 3:
            assert time.monotonic() < until
            time.sleep(0.005)
        os.killpg(sweep.pid, signal.SIGKILL)
    before = {path: path.read_bytes() for path in store.root.glob("*/*.json")}
    assert 0 < len(before) < len(SIZES) * REPEATS
    subprocess.run(command, env=environment, check=True, timeout=HANG)
    assert runs_of(store) == dict.fromkeys(SIZES, REPEATS)
    assert {run.effective_config["batch_size"] for _, run in store.failures()} == {32}
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.skipif(shutil.which("sh") is None, reason="the array is a shell script")
def test_slurm_array_measures_what_is_missing(tmp_path: Path, environment: dict[str, str]) -> None:
    place, store = tmp_path / "slurm", ResultStore(tmp_path / "sweep")
    shutil.copytree(EXAMPLES / "slurm", place)

    def run_tasks(numbers: list[int]) -> None:
        tasks = [
            subprocess.Popen(
                ["sh", "array.sh", str(store.root)],
                cwd=place,
                env=environment
                | {"SLURM_SUBMIT_DIR": str(place), "SLURM_ARRAY_TASK_COUNT": str(TASKS)}
                | {"SLURM_ARRAY_TASK_ID": str(number)},
                stderr=subprocess.DEVNULL,
            )
            for number in numbers
        ]
        assert [task.wait(HANG) for task in tasks] == [0] * len(numbers)

    run_tasks([0, 2])
    assert 0 < runs_of(store).total() < 5 * 3
    run_tasks([1, 3])
    run_tasks([0, 1, 2, 3])
    run_tasks([0, 1, 2, 3])
    assert runs_of(store) == dict.fromkeys((1, 2, 4, 8, 16), 3)
    assert {run.effective_config["batch_size"] for _, run in store.failures()} == {16}
