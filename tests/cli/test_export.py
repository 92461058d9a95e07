"""`llem export`."""

from __future__ import annotations

import json
import resource
import signal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Record = Callable[..., dict[str, Any]]


EMPTY = {".parquet": b"PAR1", ".csv": b"path,", ".arrow": b"ARROW1", ".jsonl": b""}


@pytest.fixture
def results(tmp_path: Path, record: Record) -> Path:
    """Write five results of two backends."""
    directory = tmp_path / "results"
    for number in range(5):
        place = directory / f"run-{number}" / "result.json"
        place.parent.mkdir(parents=True)
        backend = "vllm" if number % 2 else "pytorch"
        place.write_text(json.dumps(record(f"run-{number}", schema_version="2.0", backend=backend)))
    return directory


def spoil(results: Path, count: int) -> None:
    for number in range(count):
        bad = results / f"bad-{number}" / "result.json"
        bad.parent.mkdir()
        bad.write_text("{")


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    "ending", [".parquet", ".csv", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson", ".CSV"]
)
def test_export_takes_the_format_from_the_ending_and_reports_it(
    llem: Run, tmp_path: Path, ending: str
) -> None:
    done = llem("export", "results", "-o", f"table{ending}")
    size = (tmp_path / f"table{ending}").stat().st_size
    assert (done.returncode, done.stdout) == (0, "")
    assert f"5 results exported to table{ending}: " in done.stderr
    again = llem("export", "results", "-o", f"table{ending}", "--json")
    document = json.loads(again.stdout)
    assert (again.returncode, again.stderr) == (0, "")
    assert document.pop("seconds") > 0
    assert document.pop("columns") > 90
    format_ = {".feather": "arrow", ".ipc": "arrow", ".ndjson": "jsonl", ".CSV": "csv"}.get(
        ending, ending[1:]
    )
    assert document == {
        "directory": "results",
        "file": f"table{ending}",
        "format": format_,
        "rows": 5,
        "bytes": size,
        "failures": [],
    }


@pytest.mark.usefixtures("results")
def test_export_selects_rows_and_columns_by_short_or_full_names(llem: Run, tmp_path: Path) -> None:
    done = llem(
        "export",
        "results",
        "-o",
        "t.csv",
        "--where",
        "backend=vllm",
        "--columns",
        "id,model",
        "-c",
        "total_tokens",
    )
    assert done.returncode == 0
    assert (tmp_path / "t.csv").read_text() == (
        "experiment_id,effective_config.model,total_tokens\nrun-1,gpt2,1000\nrun-3,gpt2,1000\n"
    )


def test_export_with_invalid_files_names_them_and_exports_the_others(
    llem: Run, results: Path, tmp_path: Path
) -> None:
    spoil(results, 8)
    done = llem("export", "results", "-o", "t.parquet")
    assert done.returncode == 1
    assert done.stderr.count("/result.json (1 bytes) is not a ") == 5
    assert "8 invalid result files in results (3 more not listed)" in done.stderr
    assert "5 results exported" in done.stderr
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 5
    document = json.loads(llem("export", "results", "-o", "t.parquet", "--json").stdout)
    assert [failure["path"] for failure in document["failures"]] == [
        f"results/bad-{number}/result.json" for number in range(8)
    ]


def test_export_directory_without_results_exits_1_and_writes_no_file(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = llem("export", "results", "-o", "t.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no result in results; add some: `llem save FILE" in done.stderr
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("ending", EMPTY)
@pytest.mark.parametrize("fault", ["unreadable", "no match"])
def test_export_of_nothing_keeps_the_old_file_and_exits_1(
    llem: Run, results: Path, tmp_path: Path, ending: str, fault: str
) -> None:
    (tmp_path / f"t{ending}").write_text("old")
    where = ("-w", "backend=sglang") if fault == "no match" else ()
    for record in results.rglob("result.json") if fault == "unreadable" else ():
        record.write_text("{")
    for option in ((), ("--json",)):
        done = llem("export", "results", "-o", f"t{ending}", *where, *option)
        assert done.returncode == 1
        assert f"llem export: nothing exported: there are no rows; t{ending} is unchanged\n" in done.stderr
        assert (tmp_path / f"t{ending}").read_text() == "old"
    document = json.loads(done.stdout)
    assert (document["rows"], document["bytes"]) == (0, None)


@pytest.mark.usefixtures("results")
def test_export_takes_the_form_of_the_configuration(llem: Run, tmp_path: Path) -> None:
    for form, head in (
        ("json", "id,effective_config"),
        ("none", "id"),
        ("columns", "id,effective_config.model"),
    ):
        done = llem("export", "results", "-o", "t.csv", "-c", "id,config", "--config", form)
        assert done.returncode == 0
        first, *_ = (tmp_path / "t.csv").read_text().splitlines()
        assert first == head.replace("id", "experiment_id")
    assert llem("export", "results", "-o", "t.csv", "--config", "text").returncode == 2


@pytest.mark.usefixtures("results")
def test_export_for_a_spreadsheet_escapes_formulas(llem: Run, results: Path, tmp_path: Path) -> None:
    record = results / "run-0" / "result.json"
    record.write_text(record.read_text().replace("gpt2", "=cmd"))
    assert llem("export", "results", "-o", "t.csv", "-c", "model", "--excel").returncode == 0
    assert '"\'=cmd"\n' in (tmp_path / "t.csv").read_text()
    assert llem("export", "results", "-o", "t.parquet", "--excel").returncode == 2


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(("ending", "begins"), EMPTY.items())
def test_export_without_matching_rows_writes_an_empty_table(
    llem: Run, tmp_path: Path, ending: str, begins: bytes
) -> None:
    done = llem("export", "results", "-o", f"t{ending}", "-w", "backend=sglang")
    assert done.returncode == 0
    assert "no result in results meets the conditions" in done.stderr
    assert (tmp_path / f"t{ending}").read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            ("results", "-o", "t.xlsx"),
            "expects a file that ends in .parquet, .csv, .arrow, .feather, .ipc, .jsonl, .ndjson, got t.xlsx",
        ),
        (("results", "-o", ""), "expects a file that ends in"),
        (("results", "-o", "absent/t.csv"), "in a directory that does not exist"),
        (("results", "-o", "made.csv"), "is a directory"),
        (("results", "-o", "results/run-0/timeseries.parquet"), "power trace of a result"),
        (("absent", "-o", "t.csv"), "absent does not exist"),
        (("results/run-0/result.json", "-o", "t.csv"), "is not a directory"),
        (("results", "-o", "t.csv", "--columns", "enrgy"), "no column 'enrgy'"),
        (("results", "-o", "t.csv", "--columns", ","), "--columns is empty"),
        (("results", "-o", "t.csv", "--where", "energy"), "; got 'energy'"),
        (("results",), "--output"),
    ],
)
def test_export_with_invalid_arguments_exits_2_and_writes_nothing(
    llem: Run, results: Path, tmp_path: Path, args: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "made.csv").mkdir()
    done = llem("export", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert done.stderr.endswith("Try 'llem export --help'.\n")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["made.csv", "results"]
    assert [place.name for place in results.rglob("*") if place.is_file()] == ["result.json"] * 5


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("ending", [".parquet", ".csv", ".arrow", ".jsonl"])
def test_export_without_room_keeps_the_old_file(llem: Run, tmp_path: Path, ending: str) -> None:
    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    (tmp_path / f"t{ending}").write_text("old")
    done = llem("export", "results", "-o", f"t{ending}", preexec_fn=no_room)
    assert (done.returncode, done.stdout) == (1, "")
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / f"t{ending}").read_text() == "old"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["results", f"t{ending}"]
