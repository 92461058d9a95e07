"""Sidecars of `llem save`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries
from support.trees import load_by_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]
    MakeRecord = Callable[..., dict[str, Any]]
    MakeLines = Callable[[int], str]


@pytest.fixture
def parquet(tmp_path: Path, record: MakeRecord) -> Path:
    """Return a power trace as a file."""
    result = ExperimentResult.model_validate(record())
    trace = Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[100.0, 150.0])
    path = result.save(tmp_path / "made-elsewhere", trace).with_name("timeseries.parquet")
    return path.rename(tmp_path / "trace.parquet")


def test_save_real_runs_keeps_their_power_traces(llem: Run, tmp_path: Path, data: Path) -> None:
    files = sorted((data / "mlperf").glob("*.json"))
    done = llem("save", *files, "-o", "out", "--with-sidecars", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    for file, path in zip(files, json.loads(done.stdout)["paths"], strict=True):
        kept = (tmp_path / path).with_name("timeseries.parquet")
        assert kept.read_bytes() == file.with_suffix(".parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [("x.json", "x.parquet"), ("result.json", "timeseries.parquet"), ("result.json", "result.parquet")],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_save_with_sidecars_takes_the_neighbouring_file(
    llem: Run,
    tmp_path: Path,
    record: MakeRecord,
    parquet: Path,
    name: str,
    neighbour: str,
    indent: int | None,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(json.dumps(record("run"), indent=indent))
    content = parquet.rename(tmp_path / "in" / neighbour).read_bytes()
    done = llem("save", f"in/{name}", "-o", "out", "--with-sidecars")
    assert (done.returncode, done.stderr) == (0, "")
    (sidecar,) = tmp_path.glob("out/*/timeseries.parquet")
    assert sidecar.read_bytes() == content
    assert load_by_id(tmp_path / "out")["run"].timeseries == "timeseries.parquet"


def test_save_with_sidecars_without_neighbour_is_silent(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("run")))
    done = llem("save", "x.json", "-o", "out", "--with-sidecars")
    assert (done.returncode, done.stderr) == (0, "")
    assert load_by_id(tmp_path / "out")["run"].timeseries is None


def test_save_with_sidecars_of_several_results_warns_and_ignores_it(
    llem: Run, tmp_path: Path, lines: MakeLines, parquet: Path
) -> None:
    parquet.rename(tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text(lines(2))
    done = llem("save", "x.json", "-o", "out", "--with-sidecars")
    assert done.returncode == 0
    expected = "expected one result next to x.parquet, got several; the power trace is ignored"
    assert done.stderr == f"warning: x.json: {expected}\n"
    assert len(load_by_id(tmp_path / "out")) == 2
    assert not list(tmp_path.glob("out/*/timeseries.parquet"))


def test_save_with_dangling_sidecar_warns_and_saves_the_result(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("run")))
    (tmp_path / "x.parquet").symlink_to("gone.parquet")
    done = llem("save", "x.json", "-o", "out", "--with-sidecars")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: timeseries source 'x.parquet' does not exist; ")
    assert done.stderr.count("\n") == 1
    assert load_by_id(tmp_path / "out").keys() == {"run"}


def test_save_with_timeseries_stores_it_with_the_result(
    llem: Run, tmp_path: Path, record: MakeRecord, parquet: Path
) -> None:
    done = llem("save", "-", "-o", "out", "--timeseries", parquet, input=json.dumps(record(), indent=2))
    assert (done.returncode, done.stderr) == (0, "")
    (sidecar,) = tmp_path.glob("out/*/timeseries.parquet")
    assert sidecar.read_bytes() == parquet.read_bytes()


@pytest.mark.parametrize("files", [["two.jsonl"], ["one.json", "one.json"], ["one.json", "two.jsonl"]])
def test_save_with_timeseries_of_several_results_exits_2(
    llem: Run, tmp_path: Path, lines: MakeLines, parquet: Path, files: list[str]
) -> None:
    (tmp_path / "one.json").write_text(lines(1))
    (tmp_path / "two.jsonl").write_text(lines(2))
    done = llem("save", *files, "-o", "out", "--timeseries", parquet)
    assert done.returncode == 2
    assert done.stderr.startswith("llem save: --timeseries expects one result")
    assert not (tmp_path / "out").exists()


def test_save_with_invalid_sidecar_exits_1_and_prints_the_path(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("run")))
    (tmp_path / "not.parquet").write_text("not Parquet")
    args = ("save", "x.json", "-o", "out", "--timeseries", "not.parquet")
    printing = llem(*args, "--print-paths")
    report = json.loads(llem(*args, "--json").stdout)
    assert printing.returncode == 1
    assert ExperimentResult.from_json(tmp_path / printing.stdout.rstrip("\n")).experiment_id == "run"
    assert "the result itself is safe" in printing.stderr
    assert (report["saved"], report["failed"], report["without_sidecar"]) == (1, 0, 1)
    assert [failure["saved_path"] for failure in report["failures"]] == report["paths"]


def test_save_records_with_absent_traces_counts_them_once(
    llem: Run, tmp_path: Path, record: MakeRecord, parquet: Path
) -> None:
    parquet.rename(tmp_path / "x.parquet")
    for name in "xy":
        (tmp_path / f"{name}.json").write_text(json.dumps(record(name, timeseries="timeseries.parquet")))
    done = llem("save", "x.json", "y.json", "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    hint = "; 2 records name a power trace that was not given (--timeseries, --with-sidecars)\n"
    assert done.stdout.endswith(hint)
    one = llem("save", "x.json", "y.json", "-o", "out", "--with-sidecars")
    assert "; 1 record names a power trace" in one.stdout
    none = llem("save", "x.json", "-o", "out", "--with-sidecars", "--json")
    assert json.loads(none.stdout)["traces_not_given"] == 0
