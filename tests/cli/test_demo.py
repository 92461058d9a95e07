"""`llem demo`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from llenergymeasure import ExperimentResult
from support.processes import run_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_demo_reports_that_all_results_load_equal(llem: Run, tmp_path: Path) -> None:
    done = llem("demo")
    count = len(list(tmp_path.glob("llem-demo/*/result.json")))
    assert done.returncode == 0
    assert done.stderr == ""
    assert f"Loaded back:   {count} of {count} equal to the saved ones." in done.stdout


def test_demo_marks_results_and_output_as_synthetic(llem: Run, tmp_path: Path) -> None:
    done = llem("demo", "out")
    records = list(tmp_path.glob("out/*/result.json"))
    assert records
    for record in records:
        result = ExperimentResult.from_json(record)
        assert result.effective_config["synthetic"] is True
        assert result.experiment_id.startswith("synthetic-")
        assert any("synthetic" in warning for warning in result.measurement_warnings)
    assert done.stdout.startswith("A synthetic sweep: the numbers are made up")
    assert done.stdout.rstrip().endswith("nothing was measured.")


def test_demo_derives_measurements_from_the_power_trace(llem: Run, tmp_path: Path) -> None:
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


def test_demo_with_equal_names_uses_suffixes(llem: Run, tmp_path: Path) -> None:
    llem("demo", "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert any(f"{name}_1" in names for name in names)


def test_demo_twice_keeps_the_first_results(llem: Run, tmp_path: Path) -> None:
    llem("demo", "out")
    first = {path: path.read_bytes() for path in tmp_path.glob("out/*/result.json")}
    again = llem("demo", "out")
    both = {path: path.read_bytes() for path in tmp_path.glob("out/*/result.json")}
    assert again.returncode == 0
    assert len(both) == 2 * len(first)
    assert both | first == both
    # The same seed gives the same records.
    assert sorted(both.values()) == sorted(2 * list(first.values()))


def test_demo_in_a_pipe_prints_plain_80_columns(llem: Run) -> None:
    done = llem("demo")
    assert "\x1b" not in done.stdout
    begin, end = done.stdout.index("\nNext\n"), done.stdout.index("\nAll of it")
    lines = (done.stdout[:begin] + done.stdout[end:]).splitlines()  # a program may have any path
    assert max(map(len, lines)) <= 80
    heads = ("model", "backend", "tokens", "energy (J)", "J/token", "tokens/s")
    assert any(all(head in line for head in heads) for line in done.stdout.splitlines())


def test_demo_prints_code_that_loads_a_result(llem: Run, tmp_path: Path) -> None:
    shown = llem("demo", "a [red] dir").stdout.splitlines()
    begin = shown.index("from llenergymeasure import ExperimentResult")
    code = "\n".join(shown[begin : begin + 3])
    done = run_code(code, cwd=tmp_path, check=True)
    energy, per_token = map(float, done.stdout.split())
    assert energy > per_token > 0


def test_demo_on_a_terminal_shows_progress(terminal: Callable[..., tuple[int, str, str]]) -> None:
    status, out, seen = terminal("demo")
    assert status == 0
    assert "Saving" in seen
    assert "14 saved" in seen
    assert "Saving" not in out


def test_demo_with_failed_comparison_names_it_and_exits_1(patched_llem: Run) -> None:
    patch = """
from llenergymeasure.results.store import ResultStore
load = ResultStore.load
ResultStore.load = lambda *a, **k: load(*a, **k).model_copy(update={"total_tokens": -1})
"""
    done = patched_llem(patch, "demo")
    assert done.returncode == 1
    assert "0 of 14 equal" in done.stdout
    assert done.stderr.count("differs from the saved result\n") == 14


def test_demo_below_a_file_exits_2(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = llem("demo", "file")
    assert done.returncode == 2
    assert done.stderr.startswith("llem demo: file is not a directory\n")
