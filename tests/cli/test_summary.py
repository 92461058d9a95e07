"""`llem summary`."""

from __future__ import annotations

import json
import statistics
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Screen = Callable[..., tuple[int, list[str], str]]
    Keep = Callable[..., Path]


ENERGIES = (90.0, 100.0, 113.0)


@pytest.fixture
def repeats(keep: Keep) -> None:
    """Keep three repeats of one measurement, and one of another."""
    for number, energy in enumerate(ENERGIES):
        keep(f"b{number}", total_energy_j=energy, effective_config={"model": "two", "batch": 8})
    keep("a", total_energy_j=50.0, backend="vllm", effective_config={"model": "one", "batch": 16})


@pytest.mark.usefixtures("repeats")
def test_summary_prints_count_mean_and_deviation_of_each_group(llem: Run) -> None:
    done = llem("summary", "results")
    head, one, two = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert [part.strip() for part in head.split("  ") if part.strip()] == [
        "model",
        "backend",
        "n",
        "energy [J]",
        "sd [J]",
        "n",
        "mean J/token",
        "sd",
        "n",
        "Σenergy/Σtokens [J/token]",
        "n",
        "tokens/s",
        "sd",
        "n",
        "time [s]",
        "sd [s]",
        "n",
    ]
    numbers = ["50.0", "-", "1", "0.2505", "-", "1", "0.05", "1", "100.0", "-", "1", "10.0", "-", "1"]
    assert one.split() == ["one", "vllm", "1", *numbers]
    mean, deviation = statistics.mean(ENERGIES), statistics.stdev(ENERGIES)
    assert list(map(float, two.split()[2:6])) == pytest.approx([3, mean, deviation, 3])


def test_summary_ratio_of_sums_weighs_each_token_the_same(llem: Run, keep: Keep) -> None:
    keep("a", total_energy_j=100.0, total_tokens=100, avg_energy_per_token_j=1.0)
    keep("b", total_energy_j=900.0, total_tokens=9900, avg_energy_per_token_j=900 / 9900)
    keep("c", total_energy_j="NaN", total_tokens=50, avg_energy_per_token_j="NaN")  # noqa: S106 - a unit
    (group,) = json.loads(llem("summary", "results", "--json").stdout)["groups"]
    assert group["energy_per_token_of_sums"] == {
        "n": 2,
        "j_per_token": 0.1,
        "energy_j": 1000.0,
        "tokens": 10000,
    }
    assert group["avg_energy_per_token_j"]["mean"] == pytest.approx((1 + 1 / 11) / 2)
    head, row = llem("summary", "results").stdout.splitlines()
    assert "mean J/token" in head
    assert row.split()[2:4] == ["3", "500.0"]
    assert row.split()[9:11] == ["0.1", "2"]


def test_summary_lists_the_settings_that_differ_within_a_group(llem: Run, keep: Keep) -> None:
    for number in range(3):
        config = {"model": "m", "batch": 8 * number, "a.b": number, "same": 1 if number else 1.0, "x": {}}
        keep(f"m{number}", effective_config=config, backend_version=str(number))
    keep("o", effective_config={"model": "o", "batch": 8})
    groups = json.loads(llem("summary", "results", "--json").stdout)["groups"]
    assert [group["differing"] for group in groups] == [
        ["backend_version", "effective_config.batch", 'effective_config."a.b"'],
        [],
    ]
    head, first, second = llem("summary", "results").stdout.splitlines()
    assert head.split()[-1] == "differ"
    assert first.endswith('  backend_version, batch, "a.b"')
    assert second.endswith("  -")


def test_summary_by_config_groups_by_every_setting(llem: Run, keep: Keep) -> None:
    configs = [{"model": "m", "n": 8, "o": {"lr": 1}}, {"o": {"lr": 1.0}, "n": 8, "model": "m"}]
    configs += [{"model": "m", "n": 16, "o": {"lr": 1}}, {"model": "m", "n": "16", "o": {"lr": 1}}]
    for number, config in enumerate(configs):
        keep(str(number), effective_config=config)
    groups = json.loads(llem("summary", "results", "--by", "config", "--json").stdout)["groups"]
    keys = ("effective_config.model", "effective_config.n", "effective_config.o.lr", "n")
    assert [[group[key] for key in keys] for group in groups] == [
        ["m", 8, 1, 2],
        ["m", 16, 1, 1],
        ["m", "16", 1, 1],
    ]
    head, *rows = llem("summary", "results", "--by", "config").stdout.splitlines()
    assert head.split()[:3] == ["model", "effective_config.n", "n"]
    assert [row.split()[:3] for row in rows] == [["m", "8", "2"], ["m", "16", "1"], ["m", '"16"', "1"]]
    assert llem("summary", "results", "--by", "").stdout.splitlines()[1].split()[0] == "4"


@pytest.mark.usefixtures("repeats")
def test_summary_in_a_pipe_prints_the_numbers_of_json(llem: Run) -> None:
    group = json.loads(llem("summary", "results", "--json").stdout)["groups"][1]
    row = llem("summary", "results").stdout.splitlines()[2].split()
    assert float(row[4]) == group["total_energy_j"]["sd"]
    assert float(row[9]) == group["energy_per_token_of_sums"]["j_per_token"]


def test_summary_on_a_terminal_shows_counts_where_values_are_missing(screen: Screen, keep: Keep) -> None:
    keep("a", total_energy_j="NaN")
    keep("b")
    _, lines, _ = screen("summary", "results", columns=100)
    assert lines[0].split().count("n") == 3
    (tmp,) = [line for line in lines if line.startswith("gpt2")]
    assert tmp.split()[2:6] == ["2", "250.5", "-", "1"]


@pytest.mark.usefixtures("repeats")
def test_summary_json_gives_base_units(llem: Run) -> None:
    document = json.loads(llem("summary", "results", "--json").stdout)
    one, two = document["groups"]
    assert document["errors"] == []
    assert (one["effective_config.model"], one["backend"], one["n"]) == ("one", "vllm", 1)
    assert one["total_energy_j"] == {"n": 1, "mean": 50.0, "sd": None}
    assert two["total_energy_j"] == {
        "n": 3,
        "mean": pytest.approx(statistics.mean(ENERGIES)),
        "sd": pytest.approx(statistics.stdev(ENERGIES)),
    }
    assert {"avg_energy_per_token_j", "avg_tokens_per_second", "total_inference_time_sec"} < two.keys()


@pytest.mark.usefixtures("repeats")
@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (["--by", "backend"], [["pytorch", "3"], ["vllm", "1"]]),
        (["--by", "config.batch"], [["8", "3"], ["16", "1"]]),
        (["--by", "model", "--by", "config.batch"], [["one", "16", "1"], ["two", "8", "3"]]),
        (["--by", "has_timeseries"], [["false", "4"]]),
        (["--by", "method,gpu"], [["total", "-", "4"]]),
        (["--by", "warnings"], [["[]", "4"]]),
        (["--by", "backend", "--where", "energy>95"], [["pytorch", "2"]]),
    ],
)
def test_summary_by_any_columns_sorts_the_groups(llem: Run, by: list[str], groups: list[list[str]]) -> None:
    rows = [line.split() for line in llem("summary", "results", *by).stdout.splitlines()[1:]]
    assert [row[: len(group)] for row, group in zip(rows, groups, strict=True)] == groups


def test_summary_puts_missing_keys_in_the_last_group(llem: Run, keep: Keep) -> None:
    for name, value in (("a", None), ("b", "NaN"), ("c", 2.0), ("d", "NaN")):
        keep(name, energy_adjusted_j=value)
    done = llem("summary", "results", "--by", "energy_adjusted_j")
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["2", "1"],
        ["nan", "2"],
        ["-", "1"],
    ]


def test_summary_omits_and_counts_values_that_are_not_finite(llem: Run, keep: Keep) -> None:
    for name, value in (("a", "NaN"), ("b", 10.0), ("c", "Infinity"), ("d", 20.0)):
        keep(name, total_energy_j=value)
    done = llem("summary", "results")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split()[2:4] == ["4", "15.0"]
    assert done.stderr == "llem summary: 2 values left out: null, NaN or infinite\n"
    group = json.loads(llem("summary", "results", "--json").stdout)["groups"][0]
    assert (group["n"], group["total_energy_j"]["n"]) == (4, 2)


def test_summary_of_small_deviation_at_large_mean_is_exact(llem: Run, keep: Keep) -> None:
    energies = [1e9 + 0.001 * number for number in range(3)]
    for number, energy in enumerate(energies):
        keep(str(number), total_energy_j=energy)
    (group,) = json.loads(llem("summary", "results", "--json").stdout)["groups"]
    assert group["total_energy_j"]["sd"] == pytest.approx(statistics.stdev(energies), rel=1e-3)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_summary_fits_the_terminal_with_distinct_groups(screen: Screen, keep: Keep, columns: int) -> None:
    models = [f"organisation/a-model-{letter}-of-many-parameters-Instruct-FP8" for letter in "xyz"]
    for number, model in enumerate(models):
        keep(str(number), effective_config={"model": model}, total_energy_j=12345.6 * 10**number)
    status, lines, stderr = screen("summary", "results", columns=columns)
    assert (status, stderr) == (0, "")
    assert max(map(len, lines)) <= columns
    text = "".join(lines)
    assert columns < 80 or all(f"model-{letter}" in text for letter in "xyz")


def test_summary_with_invalid_file_reports_it(llem: Run, keep: Keep) -> None:
    keep("good")
    keep("bad").write_text("")
    done = llem("summary", "results")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split()[2] == "1"
    assert "1 invalid result file in results" in done.stderr
    document = json.loads(llem("summary", "results", "--json").stdout)
    assert [error["path"] for error in document["errors"]] == ["results/bad/result.json"]


def test_summary_without_results_prints_no_group(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = llem("summary", "empty")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("llem summary: no result in empty; ")
    assert json.loads(llem("summary", "empty", "--json").stdout) == {"groups": [], "failed": 0, "errors": []}


@pytest.mark.parametrize(
    "args", [("missing",), ("results", "--by", "modle"), ("results", "--where", "model")]
)
def test_summary_with_invalid_arguments_exits_2(llem: Run, keep: Keep, args: tuple[str, ...]) -> None:
    keep("a")
    done = llem("summary", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("\nTry 'llem summary --help'.\n")


def test_summary_of_real_results_matches_plain_statistics(llem: Run, data: Path) -> None:
    source = data / "mlenergy_llm_results.jsonl"
    llem("save", str(source), "-o", "real", "-q")
    groups = json.loads(llem("summary", "real", "--json").stdout)["groups"]
    energies: dict[str, list[float]] = {}
    for line in source.read_text().splitlines():
        record = json.loads(line)
        energies.setdefault(record["effective_config"]["model"], []).append(record["total_energy_j"])
    assert [group["effective_config.model"] for group in groups] == sorted(energies)
    for group in groups:
        values = energies[group["effective_config.model"]]
        assert group["n"] == len(values)
        assert group["total_energy_j"]["mean"] == pytest.approx(statistics.mean(values))
        assert group["total_energy_j"]["sd"] == pytest.approx(statistics.stdev(values))


def test_summary_by_a_key_of_mixed_kinds_groups_equal_values_and_prints_them(llem: Run, keep: Keep) -> None:
    kinds: list[tuple[object, int, str]] = [
        (True, 1, "true"),
        (1, 2, "1"),
        ("[1.0]", 1, '"[1.0]"'),
        ("nan", 1, '"nan"'),
        ([1], 3, "[1]"),
        ({"a": [1]}, 2, '{"a": [1]}'),
        (["x", 1], 1, '["x", 1]'),
        ("NaN", 2, "nan"),
        (None, 1, "-"),
    ]
    same = [1.0, "NaN", [1.0], [1], {"a": [1.0]}]
    for number, value in enumerate([*(kind[0] for kind in kinds), *same]):
        keep(f"{number:02}", effective_config={"model": "m", "k": value})
    _, *rows = llem("summary", "results", "--by", "config.k").stdout.splitlines()
    texts = [row.partition("  ") for row in rows]
    assert [(text, int(rest.split()[0])) for text, _, rest in texts] == [kind[::-1][:2] for kind in kinds]
    groups = json.loads(llem("summary", "results", "--by", "config.k", "--json").stdout)["groups"]
    assert [group["effective_config.k"] for group in groups] == [kind[0] for kind in kinds]


def test_summary_by_lists_keeps_their_type_in_json(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"model": "m", "k": [1.5]}, measurement_warnings=["hot"])
    (group,) = json.loads(llem("summary", "results", "--by", "config.k,warnings", "--json").stdout)["groups"]
    assert (group["effective_config.k"], group["measurement_warnings"]) == ([1.5], ["hot"])
