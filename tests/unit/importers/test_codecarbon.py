"""CodeCarbon: the rows of `emissions.csv`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from support.foreign import EXAMPLES, import_file, real_file

FILE = EXAMPLES / "codecarbon_emissions.csv"


def test_read_rows_converts_kwh_exactly() -> None:
    first, second = (built.result for built in import_file(FILE).built)
    assert first.total_energy_j == 2067.944334336  # 0.00057442898176 kWh * 3 600 000
    assert first.total_inference_time_sec == 161.20380687713623
    assert first.experiment_id == "run-1"
    assert first.end_time == datetime(2021, 9, 23, 15, 4, 51)  # noqa: DTZ001 - the file has no zone
    assert second.total_energy_j == 1800.0  # 0.0005 kWh * 3 600 000
    assert second.start_time == datetime(2026, 5, 4, 10, 0, 0)  # noqa: DTZ001


def test_read_rows_without_tokens_says_so() -> None:
    first = import_file(FILE).built[0].result
    assert first.total_tokens == 0
    assert first.measurement_warnings == ["the source states no tokens: total_tokens is 0"]
    assert first.effective_config["project_name"] == "sweep"
    data = first.effective_config["imported_from"]["data"]
    assert (data["ram_energy"], data["os"], data["country_name"]) == ("0.00057442898176", "macOS", "")
    assert first.effective_config["imported_from"]["version"] == "2.1.3"


def test_read_row_without_its_empty_columns_keeps_the_texts_unassigned() -> None:
    second = import_file(FILE).built[1].result
    data = second.effective_config["imported_from"]["data"]
    assert data["columns_after_energy"] == ["Linux", "3.0.4", "machine", "N", "1.0"]
    assert data["gpu_energy"] == "0.0003"
    assert any("empty columns" in warning for warning in second.measurement_warnings)


def test_read_rows_that_one_run_flushed_yields_its_totals(tmp_path: Path) -> None:
    file = tmp_path / "emissions.csv"
    file.write_text(
        "timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
        "2026-04-11T07:53:48,train,A,50.5,0.001,0.00283\n"
        "2026-04-11T07:54:00,train,B,1.0,0.001,0.00001\n"
        "2026-04-11T07:54:35,train,A,98.25,0.002,0.00576\n"
    )
    other, run = (built.result for built in import_file(file).built)
    assert (other.experiment_id, other.total_energy_j) == ("B", 36.0)  # 0.00001 kWh * 3 600 000
    assert (run.experiment_id, run.total_energy_j) == ("A", 20736.0)  # 0.00576 kWh * 3 600 000
    [earlier] = run.effective_config["imported_from"]["data"]["earlier_rows"]
    assert earlier["energy_consumed"] == "0.00283"


def test_read_equal_rows_and_tasks_of_one_run_yields_each(tmp_path: Path) -> None:
    file = tmp_path / "emissions.csv"
    row = "2026-04-11T07:53:48,train,A,50.5,0.001,0.00283\n"
    file.write_text("timestamp,project_name,run_id,duration,emissions,energy_consumed\n" + row * 2)
    assert len(import_file(file).built) == 2
    file.write_text(
        "task_name,timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
        f"load,{row}infer,{row.replace('50.5', '60.5')}"
    )
    assert [built.result.experiment_id for built in import_file(file).built] == ["A/load", "A/infer"]


def test_read_rows_with_faults_imports_the_others(tmp_path: Path) -> None:
    header, row, _ = FILE.read_text().splitlines()
    file = tmp_path / "emissions.csv"
    file.write_text("\n".join([header, row.replace("161.2", "long"), row, row + ",more", row[:80]]))
    outcome = import_file(file)
    assert [built.imported.line for built in outcome.built] == [3]
    assert outcome.messages == [
        "expected a number, got 'long0380687713623'; correct it",
        "expected 22 columns, got 23; correct the row",
        "expected 22 columns, got a truncated row; copy the file again",
    ]


def test_read_real_file_has_its_energy() -> None:
    [built] = import_file(real_file("codecarbon_emissions.csv")).built
    assert built.result.total_energy_j == 2067.944334336  # 0.00057442898176 kWh * 3 600 000


def test_read_rows_of_a_tracker_that_started_again_yields_each_run(tmp_path: Path) -> None:
    file = tmp_path / "emissions.csv"
    file.write_text(
        "timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
        "2026-04-11T07:53:10,train,A,10,0.001,0.002\n"
        "2026-04-11T07:53:20,train,A,20,0.001,0.003\n"
        "2026-04-11T07:54:30,train,A,5,0.001,0.001\n"
    )
    # The first row is a part of the second: 0.003 kWh and 0.001 kWh * 3 600 000.
    assert [built.result.total_energy_j for built in import_file(file).built] == [10800.0, 3600.0]


def test_read_row_before_one_without_energy_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "emissions.csv"
    file.write_text(
        "timestamp,project_name,run_id,duration,emissions,energy_consumed\n"
        "2026-04-11T07:53:10,train,A,10,0.001,0.002\n"
        "2026-04-11T07:53:20,train,A,20,0.001,\n"
        "2026-04-11T07:53:20,train,B,20,0.001,nan\n"
    )
    outcome = import_file(file)
    assert outcome.messages == []
    known, *unknown = (built.result for built in outcome.built)
    assert known.total_energy_j == 7200.0  # 0.002 kWh * 3 600 000
    for result in unknown:
        assert "the source states no energy: total_energy_j is NaN" in (result.measurement_warnings or [])


def test_read_joined_files_of_version_1_has_the_ids_and_skips_the_headers(tmp_path: Path) -> None:
    header = "timestamp,experiment_id,project_name,duration,emissions,energy_consumed\n"
    file = tmp_path / "emissions.csv"
    file.write_text(
        f"{header}2020-04-11T07:53:10,A,train,10,0.001,0.002\n"
        f"\ufeff{header}2020-04-11T07:54:10,B,train,10,0.001,0.003\n",
        encoding="utf-8",
    )
    outcome = import_file(file)
    assert outcome.messages == []
    found = [(built.result.experiment_id, built.result.total_energy_j) for built in outcome.built]
    assert found == [("A", 7200.0), ("B", 10800.0)]  # 0.002 kWh and 0.003 kWh * 3 600 000
