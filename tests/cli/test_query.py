"""Names, values and orders that a user takes from a table."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Keep = Callable[..., Path]


@pytest.fixture
def mixed(keep: Keep) -> None:
    """Make results whose key `x` has values of every kind."""
    values: list[Any] = [8, "8", 16, "auto", True, None, "Infinity", 0.1 + 0.2, [1, "a"], {"b": 1}]
    for number, value in enumerate(values):
        keep(f"r{number}", experiment_id=f"r{number}", effective_config={"model": "m", "x": value})


def cells(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of a table of one column, without its head."""
    return [line.strip() for line in done.stdout.splitlines()[1:]]


@pytest.mark.usefixtures("mixed")
def test_ls_mixed_values_print_as_conditions_take_them(llem: Run) -> None:
    done = llem("ls", "results", "-c", "config.x", "--sort", "config.x")
    shown = ["true", "0.30000000000000004", "8", "16", "inf", '"8"', "auto", '{"b": 1}', '[1, "a"]', "-"]
    assert cells(done) == shown
    for text, count in (
        ("8", 1),
        ('"8"', 1),
        ("true", 1),
        ("-", 1),
        ('[1, "a"]', 1),
        ('{"b": 1}', 1),
        ("auto", 1),
        ("inf", 1),
    ):
        assert len(cells(llem("ls", "results", "-c", "id", "-w", f"config.x={text}"))) == count, text
        assert len(cells(llem("ls", "results", "-c", "id", "-w", f"config.x!={text}"))) == 10 - count, text
    assert cells(llem("ls", "results", "-c", "id", "-w", "config.x<16")) == ["r0", "r7"]
    assert cells(llem("ls", "results", "-c", "id", "-w", "config.x~AUT")) == ["r3"]
    assert json.loads(llem("ls", "results", "-c", "config.x", "-n", "2", "--json").stdout) == [
        {"effective_config.x": 8},
        {"effective_config.x": "8"},
    ]
    assert cells(llem("ls", "results", "-c", "id", "--sort=-config.x"))[-1] == "r5"


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("rows", [["-w", "id=r1"], ["-w", "config.x~8"], ["--sort=-id", "-n", "9"]])
def test_ls_of_some_rows_prints_a_text_that_selects_itself(llem: Run, rows: list[str]) -> None:
    (shown,) = [text for text in cells(llem("ls", "results", "-c", "config.x", *rows)) if "8" in text]
    assert cells(llem("ls", "results", "-c", "id", "-w", f"config.x={shown}")) == ["r1"]


@pytest.mark.usefixtures("mixed")
def test_summary_of_some_rows_prints_a_text_that_selects_itself(llem: Run) -> None:
    (line,) = cells(llem("summary", "results", "--by", "config.x", "-w", "id=r1"))
    assert line.startswith('"8" ')


def test_ls_mixed_values_sort_infinity_among_numbers(llem: Run, keep: Keep) -> None:
    for name, value in (("a", "Infinity"), ("b", "auto"), ("c", 5), ("d", "-Infinity"), ("e", "NaN")):
        keep(name, effective_config={"x": value})
    done = llem("ls", "results", "-c", "config.x", "--sort", "config.x")
    assert cells(done) == ["-inf", "5", "inf", "auto", "nan"]
    done = llem("summary", "results", "--by", "config.x")
    assert [line.split()[0] for line in cells(done)] == ["-inf", "5", "inf", "auto", "nan"]


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    "command", [["ls"], ["summary"], ["export", "-o", "out.csv"], ["plot", "-o", "out.svg"]]
)
def test_unknown_key_in_any_command_suggests_names(llem: Run, command: list[str]) -> None:
    done = llem(*command, "results", "--where", "config.modell=m")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{command[0]}: no result has the key 'config.modell'; there is config.model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["ls", "results", "-c", "config.*"], "no result has the key 'config.*'; there is config\n"),
        (
            ["ls", "results", "-c", "config.modle,id"],
            "no result has the key 'config.modle'; there is config.model\n",
        ),
        (["ls", "results", "--sort", "config.y"], "no result has the key 'config.y'"),
        (["ls", "results", "--sort", "config"], "--sort expects one column, got the object config"),
        (
            ["ls", "results", "--sort", "latency_stats"],
            "--sort expects one column, got the object latency_stats",
        ),
        (["summary", "results", "--by", "config.modle"], "no result has the key 'config.modle'"),
        (["summary", "results", "--by", "batch_size"], "no result has the key 'batch_size'"),
        (["export", "results", "-o", "x.csv", "-c", "config.modle"], "no result has the key"),
        (["ls", "results", "-c", "modle"], "there is no column 'modle'; there is model"),
        (["ls", "results", "-w", "backend=a and model=b"], "--where expects one condition, got"),
        (["ls", "results", "-w", "config.x=1 && id=b"], "--where expects one condition, got"),
    ],
)
def test_invalid_name_exits_2_with_a_name_to_type(llem: Run, args: list[str], message: str) -> None:
    done = llem(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{args[0]}: {message}" in done.stderr


@pytest.mark.usefixtures("mixed")
def test_where_with_two_conditions_reports_how_to_write_them(llem: Run) -> None:
    done = llem("ls", "results", "--where", "backend=vllm and tokens=5")
    assert "repeat --where for each" in done.stderr
    assert "run the command for each" in llem("ls", "results", "-w", "backend=vllm or tokens=5").stderr
    for between in (", ", ",", "; ", " & ", "&"):
        done = llem("ls", "results", "-w", f"backend=vllm{between}tokens=5")
        assert (done.returncode, "repeat --where for each" in done.stderr) == (2, True), between
    # A text may have the word.
    assert llem("ls", "results", "-w", "backend=salt and pepper").returncode == 0
    assert llem("ls", "results", "-w", 'backend="a and b=c"').returncode == 0


def test_default_columns_need_no_result_with_a_model(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"x": 1})
    for command in ("ls", "summary"):
        assert (llem(command, "results").returncode, llem(command, "results").stderr) == (0, "")
    done = llem("ls", "results", "-c", "model")
    assert done.returncode == 2
    assert "no result has the key 'model'; there is config.x" in done.stderr


def test_ls_sorts_times_by_instants(llem: Run, keep: Keep) -> None:
    keep("a", start_time="2026-11-01T01:10:00-05:00")
    keep("b", start_time="2026-11-01T01:50:00-04:00")
    keep("c", start_time="2026-11-01T06:00:00")
    assert cells(llem("ls", "results", "-c", "path", "--sort", "when")) == [
        "results/b",
        "results/c",
        "results/a",
    ]
    assert cells(llem("ls", "results", "-c", "path", "--sort", "start_time.utc")) == [
        "results/b",
        "results/a",
        "results/c",
    ]


def test_ls_keys_with_dots_have_distinct_heads(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"optimizer.lr": 1, "optim": {"lr": 2}, "other": {"lr": 3}, "LR": 4})
    done = llem("ls", "results", "-c", 'config."optimizer.lr",config.optim.lr,config.other.lr,config.LR')
    assert done.stdout.splitlines()[0].split() == [
        '"optimizer.lr"',
        "effective_config.optim.lr",
        "effective_config.other.lr",
        "LR",
    ]
    done = llem("summary", "results", "--by", 'config."optimizer.lr"')
    assert done.stdout.split()[0] == '"optimizer.lr"'


def test_ls_times_select_rows_as_printed(llem: Run, keep: Keep) -> None:
    keep("a", start_time="2026-02-18T14:30:07.250000")
    keep("b", start_time="2026-02-18T14:31:00")
    (shown,) = cells(llem("ls", "results", "-c", "when", "-n", "1"))
    assert cells(llem("ls", "results", "-c", "path", "-w", f"when={shown}")) == ["results/a"]
    assert cells(llem("ls", "results", "-c", "path", "-w", "when<2026-02-18 14:31")) == ["results/a"]
