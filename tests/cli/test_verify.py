"""`llem verify`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Terminal = Callable[..., tuple[int, str, str]]


@pytest.fixture
def results(llem: Run, lines: Callable[[int], str], tmp_path: Path) -> Path:
    """Save three results."""
    assert llem("save", "-", "-o", "results", input=lines(3)).returncode == 0
    return tmp_path / "results"


def test_verify_complete_results_exits_0(llem: Run, results: Path) -> None:
    assert results.is_dir()
    for options in ((), ("--deep",)):
        done = llem("verify", "results", *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("3 results verified ")
        assert done.stdout.endswith(": 3 complete\n")
    assert llem("verify", "results", "--quiet").stdout == ""


def test_verify_damaged_record_names_it_and_exits_1(llem: Run, results: Path) -> None:
    record = min(results.glob("*/result.json"))
    record.write_bytes(b"")
    done = llem("verify", "results")
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    fault = "result.json (0 bytes) is not a complete result: the file is empty"
    assert first.split() == f"damaged {record.parent}: {fault}".split()
    assert "2 complete, 1 damaged" in last
    assert llem("verify", "results", "--quiet").stdout == first + "\n"


def test_verify_missing_sidecar_exits_1(llem: Run, results: Path) -> None:
    record = min(results.glob("*/result.json"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"timeseries": "timeseries.parquet"}))
    done = llem("verify", "results")
    assert done.returncode == 1
    assert done.stdout.startswith("sidecar missing")


def test_verify_leftovers_reports_them_and_exits_0(llem: Run, results: Path) -> None:
    left = results / "gpt2_pytorch_2026-02-18T14-30"
    left.mkdir()
    (results / "notes").mkdir()
    done = llem("verify", "results")
    assert done.returncode == 0
    assert f"incomplete       {left}: an empty directory\n" in done.stdout
    assert "foreign" in done.stdout
    assert "llem clean" in done.stderr


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_verify_invalid_field_names_it_and_exits_1(llem: Run, results: Path, options: list[str]) -> None:
    record = min(results.glob("*/result.json"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"total_tokens": "many"}))
    done = llem("verify", "results", *options)
    assert done.returncode == 1
    assert 'expected an integer in total_tokens, got "many"' in done.stdout


def test_verify_json_prints_one_document(llem: Run, results: Path) -> None:
    record = min(results.glob("*/result.json"))
    record.write_bytes(bytes(4))
    done = llem("verify", "results", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert not document["ok"]
    assert document["complete"] == 2
    assert [finding["path"] for finding in document["damaged"]] == [str(record.parent)]
    assert document["incomplete"] == document["foreign"] == document["missing_sidecars"] == []
    assert document.keys() >= {"directory", "deep", "seconds"}


@pytest.mark.parametrize("command", ["verify", "clean"])
def test_verify_and_clean_reject_paths_that_are_not_directories(
    llem: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()
    faults = {"absent": "absent does not exist", "file": "file is not a directory", "": "DIR is empty"}
    for name, fault in faults.items():
        done = llem(command, name)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"llem {command}: {fault}" in done.stderr


def test_verify_keeps_progress_on_the_terminal(terminal: Terminal, results: Path) -> None:
    status, out, seen = terminal("verify", str(results))
    assert status == 0
    assert "Verifying" in seen
    assert "3 of 3 checked" in seen
    assert "Verifying" not in out
    assert "3 complete" in out


def test_verify_escapes_control_characters(llem: Run, results: Path) -> None:
    (results / "a\x1b[31m").mkdir()
    done = llem("verify", "results")
    assert "\x1b" not in done.stdout
    assert r"a\x1b[31m" in done.stdout


def test_verify_deep_prints_implausible_numbers_and_exits_0(llem: Run, results: Path) -> None:
    record = min(results.glob("*/result.json"))
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"total_inference_time_sec": -1.5}))
    done = llem("verify", "results", "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.split() == f"implausible {record.parent}: total_inference_time_sec is negative: -1.5".split()
    assert last.endswith(": 3 complete, 1 with implausible numbers")
    assert llem("verify", "results", "--deep", "--quiet").stdout == ""
    (listed,) = json.loads(llem("verify", "results", "--deep", "--json").stdout)["implausible"]
    assert listed == {
        "path": str(record.parent),
        "problem": "total_inference_time_sec is negative: -1.5",
    }
