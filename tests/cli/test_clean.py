"""`llem clean`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Leave the leftovers of a save that was interrupted two days ago."""
    path = tmp_path / "the results" / "gpt2_pytorch_2026-02-18T14-30"
    path.mkdir(parents=True)
    (path / ".result.json.tmp").touch()
    then = time.time() - 2 * 86400
    os.utime(path / ".result.json.tmp", (then, then))
    os.utime(path, (then, then))
    return path


def test_clean_without_yes_lists_leftovers_and_the_command(llem: Run, left: Path) -> None:
    done = llem("clean", "the results")
    assert done.returncode == 0
    assert done.stdout == f"would remove  {left}: temporary files of a save, and no record\n"
    command = "llem clean 'the results' --older-than 1d --yes"
    assert done.stderr == f"Nothing was changed. To remove them: {command}\n"
    assert left.is_dir()
    again = llem(*shlex.split(done.stderr.partition(": ")[2])[1:])
    assert again.stdout == f"removed  {left}: temporary files of a save, and no record\n"
    assert (again.returncode, again.stderr) == (0, "")
    assert list(left.parent.iterdir()) == []
    assert llem("clean", "the results").stdout == "Nothing to clean in the results.\n"


def test_clean_young_leftovers_reports_and_keeps_them(llem: Run, left: Path) -> None:
    done = llem("clean", "the results", "--older-than", "1w", "--yes")
    assert done.returncode == 0
    assert done.stdout == "Nothing to clean in the results.\n"
    assert done.stderr.startswith("1 directory younger than 1w left alone")
    assert left.is_dir()


def test_clean_foreign_files_keeps_them_and_exits_1(llem: Run, left: Path) -> None:
    (left / "notes.txt").touch()
    done = llem("clean", "the results", "--yes", "--older-than", "0s")
    assert done.returncode == 1
    assert done.stdout.startswith(f"kept  {left}: ")
    assert "notes.txt is not a file of the store" in done.stdout
    assert (left / "notes.txt").exists()


def test_clean_json_prints_one_document(llem: Run, left: Path) -> None:
    for options, there in (((), True), (("--yes",), False)):
        done = llem("clean", "the results", "--json", *options)
        document = json.loads(done.stdout)
        assert (done.returncode, done.stderr) == (0, "")
        assert document["dry_run"] == there == left.is_dir()
        assert [entry["path"] for entry in document["removed"]] == [str(left)]
        assert document["kept"] == document["young"] == document["restored"] == []


@pytest.mark.parametrize("age", ["1", "1y", "-1d", ""])
def test_clean_with_invalid_age_exits_2(llem: Run, left: Path, age: str) -> None:
    done = llem("clean", "the results", f"--older-than={age}", "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--older-than" in done.stderr
    assert left.is_dir()
