"""`llem import`: results of other tools go into a store."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.foreign import EXAMPLES
from support.trees import load_by_id

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Screen = Callable[..., "tuple[int, list[str], str]"]

VLLM = EXAMPLES / "vllm_bench_serve.json"
LINES = EXAMPLES / "vllm_bench_serve.jsonl"
CARBON = EXAMPLES / "codecarbon_emissions.csv"
REPORT = EXAMPLES / "optimum_benchmark" / "benchmark_report.json"


def test_import_files_of_several_tools_saves_each_record(llem: Run, tmp_path: Path) -> None:
    done = llem("import", VLLM, LINES, CARBON, REPORT, "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("6 results imported into out in ")
    assert done.stdout.endswith("; 2 without energy, which --power can add\n")
    assert load_by_id(tmp_path / "out").keys() == {
        "vllm_bench_serve",
        "vllm_bench_serve:1",
        "vllm_bench_serve:2",
        "run-1",
        "run-2",
        "benchmark_report",
    }


def test_import_broken_files_reports_one_line_each_and_imports_the_others(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_bytes(VLLM.read_bytes()[:300])
    (tmp_path / "some.jsonl").write_bytes(LINES.read_bytes().splitlines()[0] + b"\n{]\n")
    (tmp_path / "notes.txt").write_text("hello\n")
    (tmp_path / "gpu.csv").write_text(
        "timestamp, index, power.draw [W]\n2026/05/04 10:00:00.000, 0, 118.11 W\n"
    )
    (tmp_path / "empty.json").write_text("")
    done = llem(
        "import", "cut.json", "some.jsonl", "notes.txt", "gpu.csv", "none", "empty.json", CARBON, "-o", "out"
    )
    assert done.returncode == 1
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        "cut.json:1",
        "some.jsonl:2",
        "notes.txt",
        "gpu.csv",
        "none",
        "empty.json",
    ]
    assert "use llem import RESULTS --power gpu.csv" in done.stderr
    assert "none: cannot be read: No such file or directory" in done.stderr
    assert done.stdout.startswith("3 results imported into out in ")
    assert "; 6 not imported" in done.stdout
    for entry in (tmp_path / "out").iterdir():
        assert [file.name for file in entry.iterdir()] == ["result.json"]


def test_import_nothing_leaves_nothing(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_bytes(VLLM.read_bytes()[:300])
    done = llem("import", "cut.json", "-o", "out")
    assert (done.returncode, done.stdout) == (1, "no result imported into out; 1 not imported\n")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_import_json_lists_files_paths_and_failures(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_bytes(LINES.read_bytes() + b"{]\n")
    done = llem("import", "some.jsonl", "absent", "-o", "out", "--json")
    tally = json.loads(done.stdout)
    assert done.returncode == 1
    assert (tally["imported"], tally["failed"], tally["without_energy"]) == (2, 2, 1)
    assert tally["files"] == [
        {"file": "some.jsonl", "format": "vllm", "imported": 2, "failed": 1},
        {"file": "absent", "format": None, "imported": 0, "failed": 1},
    ]
    assert [(failure["file"], failure["line"]) for failure in tally["failures"]] == [
        ("some.jsonl", 3),
        ("absent", None),
    ]
    assert all((tmp_path / path).is_file() for path in tally["paths"])


def test_import_to_a_root_that_cannot_be_written_reports_each_record(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert llem("import", LINES, "-o", "out").returncode == 2
    done = llem("import", VLLM, LINES, "-o", "out/below")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(VLLM), f"{LINES}:1", f"{LINES}:2"]
    assert "3 not imported" in done.stdout


def test_import_from_overrides_detection(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"duration": 2.0, "total_input_tokens": 3, "total_output_tokens": 4}')
    assert llem("import", "x", "-o", "out").returncode == 1
    assert llem("import", "x", "-o", "out", "--from", "vllm").returncode == 0
    done = llem("import", "x", "-o", "out", "--from", "none")
    assert done.returncode == 2
    assert "--from expected a format, one of aiperf, codecarbon" in done.stderr


def test_import_without_output_dir_is_wrong_usage(llem: Run) -> None:
    done = llem("import", VLLM)
    assert done.returncode == 2
    assert "--output-dir is missing" in done.stderr


def test_import_dry_run_shows_mapping_and_rest_and_saves_nothing(llem: Run, tmp_path: Path) -> None:
    done = llem("import", CARBON, VLLM, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{CARBON}: CodeCarbon 2.1.3, 2 records; the first:\n\nsource ")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "energy_consumed x 3,600,000 -> total_energy_j 2067.944334336" in lines
    assert "ram_energy 0.00057442898176" in lines
    assert "total_output_tokens sum -> total_tokens 6560" in lines
    assert "date parsed -> end_time 2026-07-22 04:18:43" in lines
    assert "note: the source states no energy: total_energy_j is NaN" in lines
    assert list(tmp_path.iterdir()) == []


def test_import_dry_run_json_has_the_same(llem: Run) -> None:
    done = llem("import", REPORT, "--dry-run", "--json")
    [file] = json.loads(done.stdout)["files"]
    assert (file["format"], file["version"], file["records"]) == ("optimum-benchmark", "0.6.0.dev0", 1)
    assert {
        "key": "report.decode.energy.total",
        "factor": "3600000",
        "field": "total_energy_j",
        "value": 803701.7125580234,
    } in file["mapping"]
    assert file["left_over"]["report.load_model.energy.total"] == 0.0008


def test_import_dry_run_reports_faults_with_status_1(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_bytes(LINES.read_bytes() + b"{]\n")
    done = llem("import", "some.jsonl", "absent", "--dry-run")
    assert done.returncode == 1
    assert "2 records; the first:" in done.stdout
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["some.jsonl:3", "absent"]


@pytest.mark.parametrize("columns", [40, 80])
def test_import_dry_run_fits_the_terminal(screen: Screen, columns: int) -> None:
    status, lines, _ = screen("import", str(REPORT), "--dry-run", columns=columns)
    assert status == 0
    assert max(map(len, lines)) <= columns


def test_import_power_adds_energy_and_trace(llem: Run, tmp_path: Path) -> None:
    rows = "".join(
        f"2026/07/22 04:18:{second:02}.000, 0, 100.00 W\n2026/07/22 04:18:{second:02}.000, 1, 60.00 W\n"
        for second in range(10, 60)
    )
    (tmp_path / "gpu.csv").write_text("timestamp, index, power.draw [W]\n" + rows)
    done = llem("import", VLLM, "-o", "out", "--power", "gpu.csv")
    assert (done.returncode, done.stderr) == (0, "")
    [result] = load_by_id(tmp_path / "out").values()
    assert result.total_energy_j == pytest.approx(160 * 12.625)  # two GPUs over the run's own time
    assert result.avg_energy_per_token_j == pytest.approx(160 * 12.625 / 6560)
    assert result.timeseries == "timeseries.parquet"
    assert "that of vLLM bench serve, and for the energy that of nvidia-smi" in result.reproducibility_notes
    done = llem("import", VLLM, "--power", "gpu.csv", "--dry-run")
    assert [" ".join(line.split()) for line in done.stdout.splitlines()][3].startswith(
        "gpu.csv integral -> total_energy_j 2020"
    )


def test_show_imported_result_leaves_out_what_is_unknown(llem: Run, tmp_path: Path) -> None:
    llem("import", VLLM, "-o", "out")
    [name] = [path.name for path in (tmp_path / "out").iterdir()]
    lines = [" ".join(line.split()) for line in llem("show", f"out/{name}").stdout.splitlines()]
    assert "first token mean 95.63 ms, median 95.70 ms, p99 143.3 ms (20 samples)" in lines
    assert "between tokens mean 27.91 ms, median 27.34 ms, p99 42.08 ms" in lines
    assert lines[lines.index("Imported from") :][:4] == [
        "Imported from",
        "format vllm",
        "file vllm_bench_serve.json",
        "data 8 values without a field of their own; --json prints them",
    ]


def test_import_two_thousand_records_keeps_their_order_and_lines(llem: Run, tmp_path: Path) -> None:
    line = LINES.read_text().splitlines()[0]
    text = "".join(f"{line}\n" for _ in range(2000)) + "{\n"
    (tmp_path / "many.jsonl").write_text(text)
    done = llem("import", "many.jsonl", "-o", "out")
    assert done.returncode == 1
    assert done.stderr.startswith("many.jsonl:2001: expected complete JSON")
    assert load_by_id(tmp_path / "out").keys() == {f"many:{number}" for number in range(1, 2001)}


def test_import_directory_of_a_run_reads_its_report(llem: Run, tmp_path: Path) -> None:
    shutil.copytree(REPORT.parent, tmp_path / "run")
    assert llem("import", "run", "-o", "out").returncode == 0
    [result] = load_by_id(tmp_path / "out").values()
    assert result.effective_config["model"] == "org/tiny-1b"


def test_summary_of_imported_repeats_shows_no_setting_that_differs(llem: Run, tmp_path: Path) -> None:
    record = json.loads(LINES.read_text().splitlines()[0])
    lines = [json.dumps(record | {"request_throughput": rate}) for rate in (1.0, 2.0)]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines))
    llem("import", "runs.jsonl", "-o", "out")
    done = llem("summary", "out", "--json")
    assert done.returncode == 0
    assert "imported_from" not in done.stdout
    paths = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "out").iterdir())
    assert "0 settings differ" in llem("compare", *paths).stdout


def test_import_power_of_another_time_keeps_results_with_their_own_energy(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "emissions.csv").write_text(
        "timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
        "2020-04-11T07:53:10,train,A,10,0.001,0.002\n"
    )
    (tmp_path / "gpu.csv").write_text(
        "timestamp, index, power.draw [W]\n"
        "2026/05/04 10:00:00.000, 0, 100 W\n2026/05/04 10:00:01.000, 0, 100 W\n"
    )
    done = llem("import", "emissions.csv", "-o", "out", "--power", "gpu.csv")
    assert (done.returncode, done.stderr) == (0, "")
    [result] = load_by_id(tmp_path / "out").values()
    assert result.total_energy_j == 7200.0  # 0.002 kWh * 3 600 000
    assert any("the power log was not used" in each for each in result.measurement_warnings or [])
