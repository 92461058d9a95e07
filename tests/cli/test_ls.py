"""`llem ls`."""

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


@pytest.fixture
def three(keep: Keep) -> None:
    """Keep three results that differ."""
    keep(
        "a",
        backend="vllm",
        total_energy_j=2000.0,
        total_tokens=1000,
        effective_config={"model": "one", "n": 8},
    )
    keep("b", total_energy_j=500.5, total_tokens=3000, effective_config={"model": "two/Two", "n": "8"})
    keep(
        "c",
        backend="vllm",
        total_energy_j=123456.0,
        total_tokens=2000,
        effective_config={"model": "three", "on": True},
        measurement_warnings=["too short", "too hot"],
        energy_adjusted_j=90.0,
        start_time="2026-03-01T08:00:00+02:00",
        end_time="2026-03-01T08:01:00+02:00",
    )


def listed(done: subprocess.CompletedProcess[str], column: str = "path") -> list[Any]:
    """Return a column of what `--json` printed."""
    return [row[column] for row in json.loads(done.stdout)]


# The table


@pytest.mark.usefixtures("three")
def test_a_pipe_gets_the_whole_table_with_units_in_its_heads(llem: Run) -> None:
    done = llem("ls", "results")
    head, *rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert [part.strip() for part in head.split("  ") if part.strip()] == [
        "model",
        "backend",
        "tokens",
        "energy [kJ]",
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
        "1,000",
        "2.000",
        "0.2505",
        "100.0",
        "2026-02-18",
        "14:30:00",
        "-",
        "results/a",
    ]
    assert rows[2].split()[3] == "123.5"
    assert rows[2].split()[-2] == "2"


@pytest.mark.usefixtures("three")
def test_the_points_of_a_column_stand_in_one_line(llem: Run) -> None:
    rows = llem("ls", "results", "-c", "path,energy").stdout.splitlines()[1:]
    assert len({row.index(".") for row in rows}) == 1


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_table_fits_the_terminal(screen: Screen, keep: Keep, columns: int) -> None:
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


def test_columns_that_no_terminal_holds_become_lines(screen: Screen, keep: Keep) -> None:
    keep("a", effective_config={"model": LONG} | {f"setting-{number}": number for number in range(30)})
    _, lines, _ = screen("ls", "results", "-c", "model,config")
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.startswith("setting-29")] == [["setting-29", "29"]]


@pytest.mark.usefixtures("three")
def test_colours_and_terminals_that_cannot_are_honoured(
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


def test_a_terminal_that_is_not_utf8_gets_signs_that_it_has(
    environment: dict[str, str], screen: Screen, keep: Keep
) -> None:
    environment["PYTHONIOENCODING"] = "ascii"
    keep("a", effective_config={"model": LONG}, avg_energy_per_token_j=1e-6)
    _, lines, _ = screen("ls", "results")
    assert "\\" not in "".join(lines)
    assert "uJ/token" in lines[0]
    assert lines[-1].startswith("organ")
    assert "~" in lines[-1]


def test_foreign_text_cannot_steer_the_terminal(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"model": "evil\x1b[31m\nname [bold]"})
    done = llem("ls", "results")
    assert "evil\\x1b[31m\\nname [bold]" in done.stdout
    assert done.stdout.count("\n") == 2


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_directories_that_are_not_utf8_can_be_named(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    name = os.fsdecode(b"r\xff")
    (tmp_path / "results").rename(tmp_path / name)
    assert llem("ls", name).stdout.splitlines()[1].endswith(f"{name}/a")
    assert listed(llem("ls", name, "--json")) == [f"{name}/a"]


# Order


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("args", "order"),
    [
        ((), "abc"),
        (("--reverse",), "cba"),
        (("--sort", "energy"), "bac"),
        (("--sort", "total_energy_j"), "bac"),
        (("--sort", "-energy"), "cab"),
        (("--sort=-energy", "--reverse"), "bac"),
        (("--sort", "energy", "-r"), "cab"),
        (("--sort", "backend"), "bac"),  # of equals, the first by path is first, whichever way
        (("--sort", "-backend"), "acb"),
        (("--sort", "model"), "acb"),
        (("--sort", "energy_adjusted_j"), "cab"),  # what is not there is last
        (("--sort", "-energy_adjusted_j"), "cab"),
        (("--sort", "-warnings"), "cab"),
        (("--sort", "when"), "abc"),
        (("--sort", "tokens", "--limit", "2"), "ac"),
        (("--sort", "-tokens", "--limit", "2"), "bc"),
        (("--limit", "1"), "a"),
        (("--limit", "0"), ""),
    ],
)
def test_rows_are_sorted(llem: Run, args: tuple[str, ...], order: str) -> None:
    done = llem("ls", "results", "--json", *args)
    assert listed(done) == [f"results/{name}" for name in order]


@pytest.mark.parametrize("limit", [[], ["--limit", "9"]])
@pytest.mark.parametrize(("sort", "order"), [("energy_adjusted_j", "bcad"), ("-energy_adjusted_j", "cbad")])
def test_nan_is_behind_every_number_and_before_nothing_at_all(
    llem: Run, keep: Keep, sort: str, order: str, limit: list[str]
) -> None:
    for name, value in (("a", "NaN"), ("b", -1.0), ("c", "Infinity"), ("d", None)):
        keep(name, energy_adjusted_j=value)
    done = llem("ls", "results", "--json", "--sort", sort, *limit)
    assert "".join(path[-1] for path in listed(done)) == order


@pytest.mark.usefixtures("three")
def test_a_limit_says_how_many_it_left_out(llem: Run) -> None:
    done = llem("ls", "results", "--limit", "1")
    assert done.stdout.count("\n") == 2
    assert done.stderr == "llem ls: 1 of 3 results shown, 2 left out\n"
    assert llem("ls", "results", "--limit", "3").stderr == ""


# Conditions


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("expressions", "found"),
    [
        (["backend=vllm"], "ac"),
        (["backend == vllm"], "ac"),
        (["backend!=vllm"], "b"),
        (["energy>600"], "ac"),
        (["energy>=2e3", "tokens<1500"], "a"),
        (["total_energy_j<=500.5"], "b"),
        (["tokens=1000"], "a"),
        (["tokens>1.5e3"], "bc"),
        (["model=two/Two"], "b"),
        (["model~TWO"], "b"),
        (["model~o"], "ab"),
        (["backend~LLM"], "ac"),
        (["model~nothing"], ""),
        (["config.n=8"], "ab"),  # the number and the text: a shell leaves no difference
        (["effective_config.n=8"], "ab"),
        (['config.n="8"'], "b"),
        (["config.on=true"], "c"),
        (["config.n=null"], "c"),
        (["energy_adjusted_j=null"], "ab"),
        (["energy_adjusted_j!=null"], "c"),
        (["path=b"], "b"),
        (["path=results/b"], "b"),
        (["has_timeseries=false"], "abc"),
        (["when<2026-02-19"], "a"),
        (["start_time.utc<2026-03-01T06:30:00Z"], "c"),
    ],
)
def test_conditions_choose_the_rows(llem: Run, expressions: list[str], found: str) -> None:
    args = [part for expression in expressions for part in ("--where", expression)]
    if "when" in expressions[0]:
        args += ["--where", "path=a"]
    done = llem("ls", "results", "--json", *args)
    assert done.returncode == 0
    assert "".join(path[-1] for path in listed(done)) == found


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--where", "backend"],
            "--where 'backend' is not a column, one of = == != < <= > >= ~, and a value",
        ),
        (["--where", "enrgy>1"], "there is no column 'enrgy'; there is energy"),
        (["--where", "energy>much"], "total_energy_j is a number, and 'much' is none"),
        (["--where", "has_timeseries=yes"], "has_timeseries is true, false or null, not 'yes'"),
        (["--where", "when>yesterday"], "start_time is a time, and 'yesterday' is not one in ISO 8601"),
        (["--where", "warnings=1"], "measurement_warnings holds lists"),
        (["--where", "energy~1"], "total_energy_j holds no text, which ~ looks into"),
        (["--sort", "colour"], "there is no column 'colour'"),
        (["--columns", "model,modle"], "there is no column 'modle'; there is model"),
    ],
)
def test_what_cannot_be_asked_is_told_with_what_comes_close(llem: Run, args: list[str], message: str) -> None:
    done = llem("ls", "results", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"llem ls: {message}")
    assert done.stderr.endswith("\nTry 'llem ls --help'.\n")


# JSON


@pytest.mark.usefixtures("three")
def test_json_has_raw_values_by_full_names(llem: Run) -> None:
    last = json.loads(llem("ls", "results", "--json").stdout)[-1]
    assert last == {
        "effective_config.model": "three",
        "backend": "vllm",
        "total_tokens": 2000,
        "total_energy_j": 123456.0,
        "avg_energy_per_token_j": 0.2505,
        "avg_tokens_per_second": 100.0,
        "start_time": "2026-03-01T08:00:00",
        "measurement_warnings": ["too short", "too hot"],
        "path": "results/c",
    }


def test_json_spells_numbers_that_it_has_not_as_a_record_does(llem: Run, keep: Keep) -> None:
    keep("a", total_energy_j="NaN", energy_adjusted_j="-Infinity")
    done = llem("ls", "results", "--json", "-c", "energy,energy_adjusted_j", "-c", "has_timeseries")
    assert json.loads(done.stdout) == [
        {"total_energy_j": "NaN", "energy_adjusted_j": "-Infinity", "has_timeseries": False}
    ]


# What is no result, and where there is none


def test_what_is_no_result_hides_no_result_and_is_told(llem: Run, keep: Keep, tmp_path: Path) -> None:
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
    assert count == "llem ls: 7 files in results could not be read as results (2 more than are named here)"
    as_json = json.loads(llem("ls", "results", "--json").stdout)
    assert [row["path"] for row in as_json if "error" in row] == [
        f"results/bad-{number}/result.json" for number in range(7)
    ]
    assert [row["path"] for row in as_json if "error" not in row] == ["results/good"]


def test_strange_things_in_the_tree_are_passed_over(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    keep("deep/er/b")
    keep(".hidden")
    (tmp_path / "results/empty").mkdir()
    (tmp_path / "results/file").write_text("text")
    (tmp_path / "results/half").mkdir()
    (tmp_path / "results/half/.result.json.tmp").write_text("{")
    (tmp_path / "results/loop").symlink_to(".")
    done = llem("ls", "results", "--json")
    assert done.returncode == 0
    assert listed(done) == ["results/a", "results/deep/er/b"]


def test_a_directory_without_results_says_how_they_get_there(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = llem("ls", "empty")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("llem ls: there is no result in empty; `llem save FILE --output-dir DIR`")
    assert json.loads(llem("ls", "empty", "--json").stdout) == []


@pytest.mark.usefixtures("three")
def test_conditions_that_no_result_meets_are_not_an_empty_directory(llem: Run) -> None:
    done = llem("ls", "results", "--where", "energy<0")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "llem ls: no result in results meets the conditions\n"


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("missing", "missing does not exist"),
        ("", "DIR is empty"),
        (
            "results/a/result.json",
            "results/a/result.json is not a directory; for one result there is `llem show`",
        ),
    ],
)
def test_what_is_no_directory_is_wrong_usage(llem: Run, keep: Keep, directory: str, message: str) -> None:
    keep("a")
    done = llem("ls", directory)
    assert done.returncode == 2
    assert done.stderr == f"llem ls: {message}\nTry 'llem ls --help'.\n"


def test_a_directory_that_is_a_result_is_listed_as_what_it_is(llem: Run, keep: Keep) -> None:
    keep("a")
    assert listed(llem("ls", "results/a", "--json")) == ["results/a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read_is_an_error(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    (tmp_path / "results").chmod(0)
    done = llem("ls", "results")
    (tmp_path / "results").chmod(0o755)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


# Streams


@pytest.mark.usefixtures("three")
def test_a_reader_that_leaves_is_no_error(start: Start) -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    process = start("ls", "results", stdout=sender)
    os.close(sender)
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, b"")


@pytest.mark.usefixtures("three")
def test_a_full_disk_is_told(llem: Run) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = llem("ls", "results", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "llem: cannot write to standard output: No space left on device\n"


# Real results


def test_real_results_are_listed(llem: Run, screen: Screen, data: Path) -> None:
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
