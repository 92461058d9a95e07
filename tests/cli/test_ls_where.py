"""Order, conditions and JSON of `llem ls`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Screen = Callable[..., tuple[int, list[str], str]]
    Keep = Callable[..., Path]


def listed(done: subprocess.CompletedProcess[str], column: str = "path") -> list[Any]:
    """Return a column of the output of `--json`."""
    return [row[column] for row in json.loads(done.stdout)]


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
        (("--sort", "backend"), "bac"),  # equal rows keep the order of their paths
        (("--sort", "-backend"), "acb"),
        (("--sort", "model"), "acb"),
        (("--sort", "energy_adjusted_j"), "cab"),  # missing values are last
        (("--sort", "-energy_adjusted_j"), "cab"),
        (("--sort", "-warnings"), "cab"),
        (("--sort", "when"), "abc"),
        (("--sort", "tokens", "--limit", "2"), "ac"),
        (("--sort", "-tokens", "--limit", "2"), "bc"),
        (("--limit", "1"), "a"),
        (("--limit", "0"), ""),
    ],
)
def test_ls_sorts_rows(llem: Run, args: tuple[str, ...], order: str) -> None:
    done = llem("ls", "results", "--json", *args)
    assert listed(done) == [f"results/{name}" for name in order]


@pytest.mark.parametrize("limit", [[], ["--limit", "9"]])
@pytest.mark.parametrize(("sort", "order"), [("energy_adjusted_j", "bcad"), ("-energy_adjusted_j", "cbad")])
def test_ls_sorts_nan_after_numbers_and_before_missing_values(
    llem: Run, keep: Keep, sort: str, order: str, limit: list[str]
) -> None:
    for name, value in (("a", "NaN"), ("b", -1.0), ("c", "Infinity"), ("d", None)):
        keep(name, energy_adjusted_j=value)
    done = llem("ls", "results", "--json", "--sort", sort, *limit)
    assert "".join(path[-1] for path in listed(done)) == order


@pytest.mark.usefixtures("three")
def test_ls_with_limit_reports_omitted_results(llem: Run) -> None:
    done = llem("ls", "results", "--limit", "1")
    assert done.stdout.count("\n") == 2
    assert done.stderr == "llem ls: 1 of 3 results shown, 2 left out\n"
    assert llem("ls", "results", "--limit", "3").stderr == ""


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
        (["config.n=8"], "a"),  # the text is in quotes, as the table shows it
        (["effective_config.n=8"], "a"),
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
def test_ls_where_selects_rows(llem: Run, expressions: list[str], found: str) -> None:
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
            "--where expects a column, one of = == != < <= > >= ~, and a value; got 'backend'",
        ),
        (["--where", "enrgy>1"], "there is no column 'enrgy'; there is energy"),
        (["--where", "energy>much"], "total_energy_j expects a number, got 'much'"),
        (["--where", "has_timeseries=yes"], "has_timeseries expects true, false or null, got 'yes'"),
        (["--where", "when>yesterday"], "start_time expects a time in ISO 8601, got 'yesterday'"),
        (["--where", "warnings=many"], "measurement_warnings holds lists"),
        (["--where", "energy~1"], "~ expects a column of text, got total_energy_j"),
        (["--sort", "colour"], "there is no column 'colour'"),
        (["--columns", "model,modle"], "there is no column 'modle'; there is model"),
    ],
)
def test_ls_with_invalid_query_suggests_a_fix(llem: Run, args: list[str], message: str) -> None:
    done = llem("ls", "results", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"llem ls: {message}")
    assert done.stderr.endswith("\nTry 'llem ls --help'.\n")


@pytest.mark.usefixtures("three")
def test_ls_json_gives_raw_values_by_full_names(llem: Run) -> None:
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


def test_ls_json_writes_non_finite_numbers_like_a_record(llem: Run, keep: Keep) -> None:
    keep("a", total_energy_j="NaN", energy_adjusted_j="-Infinity")
    done = llem("ls", "results", "--json", "-c", "energy,energy_adjusted_j", "-c", "has_timeseries")
    assert json.loads(done.stdout) == [
        {"total_energy_j": "NaN", "energy_adjusted_j": "-Infinity", "has_timeseries": False}
    ]


@pytest.mark.usefixtures("three")
def test_ls_without_matching_rows_reports_the_conditions(llem: Run) -> None:
    done = llem("ls", "results", "--where", "energy<0")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "llem ls: no result in results meets the conditions\n"
