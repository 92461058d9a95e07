"""`llem` as a whole."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

import pytest

from llenergymeasure.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_version_names_the_package_and_its_extension_on_one_line(llem: Run) -> None:
    done = llem("--version")
    number = version("llenergymeasure-store")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"llenergymeasure {number} (extension llenergymeasure._store {number}, ")


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_names_the_commands(llem: Run, args: tuple[str, ...]) -> None:
    done = llem(*args)
    assert done.returncode == 0
    assert "Usage: llem [OPTIONS] COMMAND" in done.stdout
    for command in ("save", "ls", "show", "compare", "summary", "schema", "demo", "bench"):
        assert f" {command} " in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("args", [("nonsense",), ("--nonsense",), ("save",), ("save", "--nonsense")])
def test_wrong_usage_is_told_without_a_traceback(llem: Run, args: tuple[str, ...]) -> None:
    done = llem(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("llem")
    assert done.stderr.endswith("--help'.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["save", "ls", "show", "compare", "summary", "schema", "demo", "bench"])
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(llem: Run, command: str) -> None:
    own = llem(command, "--help")
    assert own.returncode == 0
    listed = " ".join(llem("--help").stdout.replace("│", " ").split())
    begins = own.stdout.split(f"llem {command}", 1)[1].split("\n", 1)[1].split()
    sentence = " ".join(begins).split(". ")[0].rstrip(".")
    assert f"{command} {sentence}" in listed
    assert "Exit status: 0 " in " ".join(begins)


def test_the_help_imports_no_command(tmp_path: Path) -> None:
    code = """
import sys
from llenergymeasure.cli import main
sys.argv = ["llem", "--help"]
main()
unwanted = {"pydantic", "llenergymeasure.results", "llenergymeasure.cli.commands.save"}
print(unwanted & {*sys.modules}, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == "set()\n"


def test_a_command_that_is_almost_one_is_suggested(llem: Run) -> None:
    done = llem("sumary", "x")
    assert done.returncode == 2
    assert "summary" in done.stderr


def test_the_script_llem_is_the_same_program() -> None:
    (script,) = entry_points(group="console_scripts", name="llem")
    assert script.load() is main


def test_the_package_does_not_load_what_only_the_command_line_needs(tmp_path: Path) -> None:
    code = (
        "import sys, llenergymeasure, llenergymeasure.cli; print({'typer', 'rich', 'click'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_help_to_a_full_disk_is_an_error_and_no_traceback(llem: Run) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = llem("--help", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "llem: [Errno 28] No space left on device\n"
