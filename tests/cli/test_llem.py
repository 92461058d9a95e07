"""`llem` itself: version, help, and wrong calls."""

from __future__ import annotations

import subprocess
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

import pytest

from llenergymeasure.cli import main
from support.processes import run_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_llem_version_names_package_and_extension(llem: Run) -> None:
    done = llem("--version")
    number = version("llenergymeasure-store")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"llenergymeasure {number} (extension llenergymeasure._store {number}, ")


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_llem_help_lists_the_commands(llem: Run, args: tuple[str, ...]) -> None:
    done = llem(*args)
    assert done.returncode == 0
    assert "Usage: llem [OPTIONS] COMMAND" in done.stdout
    for command in ("save", "ls", "show", "compare", "summary", "schema", "demo", "bench"):
        assert f" {command} " in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("args", [("nonsense",), ("--nonsense",), ("save",), ("save", "--nonsense")])
def test_llem_with_invalid_arguments_prints_no_traceback(llem: Run, args: tuple[str, ...]) -> None:
    done = llem(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("llem")
    assert done.stderr.endswith("--help'.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["save", "ls", "show", "compare", "summary", "schema", "demo", "bench"])
def test_llem_help_repeats_the_first_sentence_of_each_command(llem: Run, command: str) -> None:
    own = llem(command, "--help")
    assert own.returncode == 0
    listed = " ".join(llem("--help").stdout.replace("│", " ").split())
    begins = own.stdout.split(f"llem {command}", 1)[1].split("\n", 1)[1].split()
    sentence = " ".join(begins).split(". ")[0].rstrip(".")
    assert f"{command} {sentence}" in listed
    assert "Exit status: 0 " in " ".join(begins)


def test_llem_help_imports_no_command(tmp_path: Path) -> None:
    code = """
import sys
from llenergymeasure.cli import main
sys.argv = ["llem", "--help"]
main()
unwanted = {"pydantic", "llenergymeasure.results", "llenergymeasure.cli.commands.save"}
print(unwanted & {*sys.modules}, file=sys.stderr)
"""
    done = run_code(code, cwd=tmp_path, check=True)
    assert done.stderr == "set()\n"


def test_llem_with_misspelt_command_suggests_one(llem: Run) -> None:
    done = llem("sumary", "x")
    assert done.returncode == 2
    assert "summary" in done.stderr


def test_llem_script_calls_main() -> None:
    (script,) = entry_points(group="console_scripts", name="llem")
    assert script.load() is main


def test_import_package_loads_no_cli_dependency(tmp_path: Path) -> None:
    code = (
        "import sys, llenergymeasure, llenergymeasure.cli; print({'typer', 'rich', 'click'} & {*sys.modules})"
    )
    done = run_code(code, cwd=tmp_path, check=True)
    assert done.stdout == "set()\n"


def test_llem_help_on_full_disk_prints_no_traceback(llem: Run) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = llem("--help", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "llem: cannot write to standard output: No space left on device\n"
