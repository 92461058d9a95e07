"""`llem demo`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_demo_says_that_all_came_back_equal(llem: Run, tmp_path: Path) -> None:
    done = llem("demo")
    count = len(list(tmp_path.glob("llem-demo/*/result.json")))
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"Loaded back:   {count} of {count} equal to what was saved." in done.stdout


def test_every_result_says_that_it_is_synthetic_and_so_does_the_output(llem: Run, tmp_path: Path) -> None:
    done = llem("demo", "out")
    records = list(tmp_path.glob("out/*/result.json"))
    assert records
    for record in records:
        result = ExperimentResult.from_json(record)
        assert result.effective_config["synthetic"] is True
        assert result.experiment_id.startswith("synthetic-")
        assert any("synthetic" in warning for warning in result.measurement_warnings)
    assert done.stdout.startswith("A synthetic sweep: the figures are made up")
    assert done.stdout.rstrip().endswith("nothing was measured.")


def test_the_figures_follow_from_the_power_trace(llem: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    llem("demo", "out")
    for record in tmp_path.glob("out/*/result.json"):
        result = ExperimentResult.from_json(record)
        table = parquet.read_table(record.with_name("timeseries.parquet")).to_pydict()
        time, power = table["timestamp_s"], table["power_w"]
        area = sum((time[i] - time[i - 1]) * (power[i] + power[i - 1]) / 2 for i in range(1, len(time)))
        assert result.total_energy_j == area
        assert result.total_inference_time_sec == result.duration_sec == time[-1]
        assert result.avg_energy_per_token_j == area / result.total_tokens
        assert result.avg_tokens_per_second == result.total_tokens / time[-1]
        assert result.timeseries == "timeseries.parquet"


def test_two_results_of_one_model_and_backend_get_two_directories(llem: Run, tmp_path: Path) -> None:
    llem("demo", "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert any(f"{name}_1" in names for name in names)


def test_the_demo_runs_twice_in_one_directory_and_keeps_the_first(llem: Run, tmp_path: Path) -> None:
    llem("demo", "out")
    first = {path: path.read_bytes() for path in tmp_path.glob("out/*/result.json")}
    again = llem("demo", "out")
    both = {path: path.read_bytes() for path in tmp_path.glob("out/*/result.json")}
    assert again.returncode == 0
    assert len(both) == 2 * len(first)
    assert both | first == both
    # The same seed: nothing but the place differs.
    assert sorted(both.values()) == sorted(2 * list(first.values()))


def test_the_output_fits_eighty_columns_and_is_plain_in_a_pipe(llem: Run) -> None:
    done = llem("demo")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    heads = ("model", "backend", "tokens", "energy (J)", "J/token", "tokens/s")
    assert any(all(head in line for head in heads) for line in done.stdout.splitlines())


def test_the_lines_that_it_shows_load_a_result(llem: Run, tmp_path: Path) -> None:
    shown = llem("demo", "a [red] dir").stdout.splitlines()
    begin = shown.index("from llenergymeasure import ExperimentResult")
    code = "\n".join(shown[begin : begin + 3])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    energy, per_token = map(float, done.stdout.split())
    assert energy > per_token > 0


def test_the_demo_has_a_progress_bar_on_a_terminal(terminal: Callable[..., tuple[int, str, str]]) -> None:
    status, out, seen = terminal("demo")
    assert status == 0
    assert "Saving" in seen
    assert "14 saved" in seen
    assert "Saving" not in out


def test_a_comparison_that_fails_is_named_and_is_status_1(tmp_path: Path) -> None:
    code = """
import sys
from llenergymeasure.cli import main
from llenergymeasure.results.store import ResultStore
load = ResultStore.load
ResultStore.load = lambda *a, **k: load(*a, **k).model_copy(update={"total_tokens": -1})
sys.argv = ["llem", "demo"]
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "0 of 14 equal" in done.stdout
    assert done.stderr.count("is not what was saved\n") == 14


def test_a_file_in_the_way_is_wrong_usage(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = llem("demo", "file")
    assert done.returncode == 2
    assert done.stderr.startswith("llem demo: file is not a directory\n")
