"""The sweeps with Hydra and Optuna save each run once, or its failure, also if they are killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import llenergymeasure
from llenergymeasure import ResultStore
from support.optional import needs
from support.processes import HANG, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
HYDRA = ["sweep.py", "--multirun", "run.batch_size=1,8,64", "run.dtype=float16,float32"]
TRIALS = 20

pytestmark = pytest.mark.slow


def start(place: Path, *command: str) -> subprocess.Popen[str]:
    """Start a program of the example in a directory of its own."""
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(Path(llenergymeasure.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str], status: int = 0) -> str:
    """Return what a program prints until its end."""
    printed, _ = process.communicate(timeout=HANG)
    assert process.returncode == status, printed
    return printed


def kill(process: subprocess.Popen[str], place: Path, runs: int) -> None:
    """Kill a program once it has saved some runs."""
    saved = place / "results"
    wait_until(lambda: len([*saved.glob("*/*.json")]) >= runs or process.poll() is not None)
    process.kill()
    end(process, status=-9)


def runs_of(store: ResultStore) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return the settings of all results, whose numbers are checked, and of all failures."""
    results = store.load_all()
    for result in results:
        tokens = 50 * result.effective_config["batch_size"]
        assert (result.total_tokens, result.total_energy_j) == (tokens, 25.0)
        assert result.avg_energy_per_token_j == 25.0 / tokens
        assert result.avg_tokens_per_second == tokens / result.total_inference_time_sec
        assert set(result.effective_config) == {"model", "backend", "batch_size", "dtype"}
    failures = [failure.run for failure in store.failures()]
    assert all((run.error_type, run.message) == ("MemoryError", "out of memory") for run in failures)
    assert all(run.start_time is not None and run.start_time <= run.end_time for run in failures)
    done, failed = (
        sorted((run.effective_config["batch_size"], run.effective_config["dtype"]) for run in runs)
        for runs in (results, failures)
    )
    return done, failed


@needs("hydra")
def test_hydra_multirun_killed_and_resumed_saves_each_run_once(tmp_path: Path) -> None:
    place = tmp_path / "hydra_sweep"
    shutil.copytree(EXAMPLES / "hydra_sweep", place)
    kill(start(place, *HYDRA), place, runs=2)
    assert "out of memory" in end(start(place, *HYDRA), status=1)
    end(start(place, *HYDRA))

    done, failed = runs_of(ResultStore(place / "results"))
    assert done == [(1, "float16"), (1, "float32"), (8, "float16"), (8, "float32"), (64, "float16")]
    assert failed == [(64, "float32")]
    assert ResultStore(place / "results").verify(deep=True).ok


@needs("optuna", "sqlalchemy")
def test_optuna_study_killed_and_resumed_measures_no_configuration_twice(tmp_path: Path) -> None:
    import optuna

    shutil.copy(EXAMPLES / "optuna_study.py", tmp_path)
    kill(start(tmp_path, "optuna_study.py"), tmp_path, runs=2)
    printed = end(start(tmp_path, "optuna_study.py"))
    records = sorted((tmp_path / "results").glob("*/*.json"))
    assert end(start(tmp_path, "optuna_study.py")).splitlines()[-1] == printed.splitlines()[-1]
    assert sorted((tmp_path / "results").glob("*/*.json")) == records

    done, failed = runs_of(ResultStore(tmp_path / "results"))
    assert max(Counter([*done, *failed]).values()) == 1
    study = optuna.load_study(study_name="gpt2", storage=f"sqlite:///{tmp_path}/study.db")
    states = Counter(trial.state.name for trial in study.trials)
    assert set(states) <= {"COMPLETE", "FAIL", "PRUNED"}
    assert TRIALS <= states.total() <= TRIALS + 1
    values = {trial.value for trial in study.trials if trial.state.name == "COMPLETE"}
    assert values == {25.0 / (50 * batch_size) for batch_size, _ in done}
    assert study.best_value == min(values)
    assert f"{1000 * min(values):.3f} mJ per token" in printed
