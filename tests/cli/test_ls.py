"""The table of `llem ls` in pipes and terminals, and its errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Screen = Callable[..., tuple[int, list[str], str]]
    Keep = Callable[..., Path]


LONG = "organisation-of-renown/a-model-of-a-very-long-name-with-70B-parameters-Instruct-FP8"


def listed(done: subprocess.CompletedProcess[str], column: str = "path") -> list[Any]:
    """Return a column of the output of `--json`."""
    return [row[column] for row in json.loads(done.stdout)]


@pytest.mark.usefixtures("three")
def test_ls_in_a_pipe_prints_all_columns_with_units(llem: Run) -> None:
    done = llem("ls", "results")
    head, *rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert [part.strip() for part in head.split("  ") if part.strip()] == [
        "model",
        "backend",
        "tokens",
        "energy [J]",
        "J/token",
        "tokens/s",
        "when",
        "warnings",
        "path",
    ]
    assert [row.split()[-1] for row in rows] == ["results/a", "results/b", "results/c"]
    assert rows[0].split() == [
        "one",
        "vllm",
        "1000",
        "2000.0",
        "0.2505",
        "100.0",
        "2026-02-18",
        "14:30:00",
        "-",
        "results/a",
    ]
    assert rows[2].split()[3] == "123456.0"
    assert rows[2].split()[-2] == "2"


def test_ls_in_a_pipe_prints_the_numbers_of_json(llem: Run, keep: Keep) -> None:
    numbers = [1e-9, 123456789.125, 0.1 + 0.2, 5e300]
    for place, number in enumerate(numbers):
        keep(
            str(place),
            total_energy_j=number,
            total_tokens=10**place * 1234567,
            effective_config={"x": number},
        )
    columns = ("energy", "tokens", "config.x")
    rows = json.loads(llem("ls", "results", "-c", ",".join(columns), "--json").stdout)
    head, *lines = llem("ls", "results", "-c", ",".join(columns)).stdout.splitlines()
    assert head.split() == ["energy", "[J]", "tokens", "x"]
    assert [list(map(float, line.split())) for line in lines] == [list(row.values()) for row in rows]


def test_ls_heads_of_keys_with_dots_or_of_another_case_are_distinct(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"optimizer.lr": 0.1, "optim": {"lr": 0.2}, "TP": 1, "tp": 2, "a": {"lr": 3}})
    head = llem("ls", "results", "-c", "config").stdout.splitlines()[0].split()
    assert head == ['"optimizer.lr"', "effective_config.optim.lr", "TP", "tp", "effective_config.a.lr"]
    head = llem("ls", "results", "-c", 'config."optimizer.lr",config.optim.lr').stdout.splitlines()[0].split()
    assert head == ['"optimizer.lr"', "lr"]


@pytest.mark.parametrize("column", ["config", "energy_breakdown"])
def test_ls_sort_by_an_object_exits_2(llem: Run, keep: Keep, column: str) -> None:
    keep("a")
    done = llem("ls", "results", "--sort", column)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--sort expects one column, got the object" in done.stderr


def test_ls_sort_by_time_uses_instants_where_zones_are_known(llem: Run, keep: Keep) -> None:
    keep("second", start_time="2026-11-01T01:10:00-05:00")
    keep("first", start_time="2026-11-01T01:50:00-04:00")
    keep("zero", start_time="2026-11-01T05:00:00")
    done = llem("ls", "results", "-c", "id,when", "--sort", "when")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["id", "zero", "first", "second"]
    assert "utc" not in done.stdout.splitlines()[0]


@pytest.mark.usefixtures("three")
def test_ls_aligns_decimal_points(llem: Run) -> None:
    rows = llem("ls", "results", "-c", "path,energy").stdout.splitlines()[1:]
    assert len({row.index(".") for row in rows}) == 1


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_ls_fits_the_terminal(screen: Screen, keep: Keep, columns: int) -> None:
    for number in range(3):
        keep(
            f"run-{number}", effective_config={"model": LONG}, backend="tensorrt", total_tokens=10**6 + number
        )
    status, lines, stderr = screen("ls", "results", columns=columns)
    assert (status, stderr) == (0, "")
    assert max(map(len, lines)) <= columns
    heads = " ".join(lines[:2])
    assert all(
        head in heads for head in ("model", "backend", "tokens", "energy", "J/token", "tokens/s", "when")
    )
    assert ("results/run-0" in lines[-3]) == (columns == 200)
    assert (LONG in lines[-3]) == (columns == 200)
    assert lines[-3].startswith("organ")
    assert "FP8" in lines[-3]


def test_ls_too_many_columns_for_a_terminal_prints_lines(screen: Screen, keep: Keep) -> None:
    keep("a", effective_config={"model": LONG} | {f"setting-{number}": number for number in range(30)})
    _, lines, _ = screen("ls", "results", "-c", "model,config")
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.startswith("setting-29")] == [["setting-29", "29"]]


@pytest.mark.usefixtures("three")
def test_ls_honours_colour_settings_and_dumb_terminals(
    start: Start, environment: dict[str, str], llem: Run
) -> None:
    def raw() -> bytes:
        master, slave = os.openpty()
        process = start("ls", "results", stdout=slave)
        os.close(slave)
        process.communicate()
        seen = os.read(master, 65536)
        os.close(master)
        return seen

    assert raw().startswith(b"\x1b[1m")
    environment["NO_COLOR"] = "1"
    assert b"\x1b[3" not in raw()
    environment["TERM"] = "dumb"
    assert b"\x1b" not in raw()
    assert "\x1b" not in llem("ls", "results").stdout


def test_ls_in_ascii_uses_ascii_signs(environment: dict[str, str], screen: Screen, keep: Keep) -> None:
    environment["PYTHONIOENCODING"] = "ascii"
    keep("a", effective_config={"model": LONG}, avg_energy_per_token_j=1e-6)
    _, lines, _ = screen("ls", "results")
    assert "\\" not in "".join(lines)
    assert "uJ/token" in lines[0]
    assert lines[-1].startswith("organ")
    assert "~" in lines[-1]


def test_ls_escapes_control_characters(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"model": "evil\x1b[31m\nname [bold]"})
    done = llem("ls", "results")
    assert '"evil\\u001b[31m\\nname [bold]"' in done.stdout  # as a condition takes it
    assert done.stdout.count("\n") == 2


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_ls_directory_name_that_is_not_utf8_prints_it(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    name = os.fsdecode(b"r\xff")
    (tmp_path / "results").rename(tmp_path / name)
    assert llem("ls", name).stdout.splitlines()[1].endswith(f"{name}/a")
    assert listed(llem("ls", name, "--json")) == [f"{name}/a"]


def test_ls_with_invalid_files_reports_them_and_lists_the_others(
    llem: Run, keep: Keep, tmp_path: Path
) -> None:
    keep("good")
    for number in range(7):
        (tmp_path / f"results/bad-{number}").mkdir()
        (tmp_path / f"results/bad-{number}/result.json").write_text('{"experiment_id": ')
    done = llem("ls", "results")
    *named, count = done.stderr.splitlines()
    assert done.returncode == 1
    assert [row.split()[-1] for row in done.stdout.splitlines()] == ["path", "results/good"]
    assert len(named) == 5
    assert all(f"bad-{number}/result.json" in line for number, line in enumerate(named))
    assert count == "llem ls: 7 invalid result files in results (2 more not listed)"
    as_json = json.loads(llem("ls", "results", "--json").stdout)
    assert [row["path"] for row in as_json if "error" in row] == [
        f"results/bad-{number}/result.json" for number in range(7)
    ]
    assert [row["path"] for row in as_json if "error" not in row] == ["results/good"]


def test_ls_ignores_hidden_and_foreign_entries(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    keep("deep/er/b")
    keep(".hidden")
    (tmp_path / "results/empty").mkdir()
    (tmp_path / "results/file").write_text("text")
    (tmp_path / "results/leftover").mkdir()
    (tmp_path / "results/leftover/.result.json.tmp").write_text("{")
    (tmp_path / "results/loop").symlink_to(".")
    done = llem("ls", "results", "--json")
    assert done.returncode == 0
    assert listed(done) == ["results/a", "results/deep/er/b"]


def test_ls_directory_without_results_names_the_save_command(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = llem("ls", "empty")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("llem ls: no result in empty; add some: `llem save FILE --output-dir DIR`")
    assert json.loads(llem("ls", "empty", "--json").stdout) == []


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("missing", "missing does not exist"),
        ("", "DIR is empty"),
        (
            "results/a/result.json",
            "results/a/result.json is not a directory; use `llem show` for one result",
        ),
    ],
)
def test_ls_path_that_is_not_a_directory_exits_2(llem: Run, keep: Keep, directory: str, message: str) -> None:
    keep("a")
    done = llem("ls", directory)
    assert done.returncode == 2
    assert done.stderr == f"llem ls: {message}\nTry 'llem ls --help'.\n"


def test_ls_directory_of_one_result_lists_it(llem: Run, keep: Keep) -> None:
    keep("a")
    assert listed(llem("ls", "results/a", "--json")) == ["results/a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_ls_unreadable_directory_exits_1(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    (tmp_path / "results").chmod(0)
    done = llem("ls", "results")
    (tmp_path / "results").chmod(0o755)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("three")
def test_ls_with_closed_output_exits_0(start: Start) -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    process = start("ls", "results", stdout=sender)
    os.close(sender)
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, b"")


@pytest.mark.usefixtures("three")
def test_ls_on_full_disk_reports_the_error(llem: Run) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = llem("ls", "results", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "llem: cannot write to standard output: No space left on device\n"


def test_ls_real_results_lists_all(llem: Run, screen: Screen, data: Path) -> None:
    llem("save", str(data / "mlenergy_llm_results.jsonl"), "-o", "real", "-q")
    done = llem("ls", "real", "--where", "model~qwen", "--sort=-J/token", "--limit", "20", "--json")
    rows = json.loads(done.stdout)
    costs = [row["avg_energy_per_token_j"] for row in rows]
    assert len(rows) == 20
    assert costs == sorted(costs, reverse=True)
    assert {row["effective_config.model"].partition("/")[0] for row in rows} == {"Qwen"}
    status, lines, _ = screen("ls", "real")
    assert status == 0
    assert len(lines) == 565 + 2
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("three")
def test_ls_newest_reads_only_the_last_saves(llem: Run, tmp_path: Path) -> None:
    for name, seconds in {"a": 20, "b": 10, "c": 30}.items():
        os.utime(tmp_path / "results" / name / "result.json", (seconds, seconds))
    assert listed(llem("ls", "results", "--newest", "2", "--json")) == ["results/c", "results/a"]
    (tmp_path / "results" / "b" / "result.json").write_text("no JSON")
    os.utime(tmp_path / "results" / "b" / "result.json", (10, 10))
    done = llem("ls", "results", "--newest", "2", "--sort", "path", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert listed(done) == ["results/a", "results/c"]
