"""`llem compare`."""

from __future__ import annotations

import json
import re
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


@pytest.fixture
def pair(keep: Keep) -> None:
    """Keep two results that differ in energy and in their configuration."""
    config = {"model": "m", "decoder": {"top_k": 50}, "same": [1, 2], "n": 1}
    keep("a", total_energy_j=2000.0, effective_config=config)
    keep(
        "b",
        total_energy_j=500.0,
        backend="vllm",
        effective_config=config | {"decoder": {"top_k": 10}, "n": 1.0, "extra": "x"},
    )


@pytest.fixture
def groups(keep: Keep) -> None:
    """Keep two groups of results."""
    for number, energy in enumerate((90.0, 100.0, 110.0)):
        keep(f"one/{number}", total_energy_j=energy, effective_config={"model": "m", "seed": number})
    for number, energy in enumerate((190.0, 200.0, 210.0, 200.0)):
        keep(f"two/{number}", total_energy_j=energy, effective_config={"model": "m", "seed": number % 2})


def row(done: subprocess.CompletedProcess[str], name: str) -> list[str]:
    """Return the cells of a row."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name}  ")]
    return line.removeprefix(name).split()


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("end", ["", "/result.json"])
def test_compare_two_results_prints_them_side_by_side(llem: Run, end: str) -> None:
    done = llem("compare", f"results/a{end}", f"results/b{end}")
    assert (done.returncode, done.stderr) == (0, "")
    assert row(done, "A") == ["1", "m", "pytorch", f"results/a{end}"]
    assert row(done, "B") == ["1", "m", "vllm", f"results/b{end}"]
    assert row(done, "energy [J]") == ["2000.0", "500.0", "0.25"]
    assert row(done, "tokens/s") == ["100.0", "100.0", "1.0"]


@pytest.mark.usefixtures("pair")
def test_compare_lists_settings_that_differ_and_counts_the_others(llem: Run) -> None:
    lines = llem("compare", "results/a", "results/b").stdout.splitlines()
    begin = next(number for number, line in enumerate(lines) if "settings differ" in line)
    # Equal: the model, same, n (1 equals 1.0), the methodology, and absent fields.
    assert lines[begin].startswith("3 settings differ, ")
    assert [line.split() for line in lines[begin + 2 :]] == [
        ["backend", "pytorch", "vllm"],
        ["decoder.top_k", "50", "10"],
        ["extra", "-", "x"],
    ]


@pytest.mark.usefixtures("groups")
def test_compare_directories_uses_the_mean_of_each_group(llem: Run) -> None:
    done = llem("compare", "results/one", "results/two")
    assert row(done, "A")[0] == "3"
    assert row(done, "B")[0] == "4"
    cells = [float(cell.removeprefix("±")) for cell in row(done, "energy [J]")]
    assert cells == pytest.approx([100, 10, 200, statistics.stdev([190, 200, 210, 200]), 2, 0.216], rel=1e-3)
    assert row(done, "seed") == ["0,", "1,", "2", "0,", "1"]


@pytest.mark.usefixtures("groups")
def test_compare_json_gives_base_units(llem: Run) -> None:
    document = json.loads(llem("compare", "results/one", "results/two/0", "--json").stdout)
    one, two = document["operands"]
    assert one["path"] == "results/one"
    assert one["metrics"]["total_energy_j"] == {
        "n": 3,
        "mean": pytest.approx(100.0),
        "sd": pytest.approx(statistics.stdev([90.0, 100.0, 110.0])),
    }
    assert two["metrics"]["total_energy_j"] == {"n": 1, "mean": 190.0, "sd": None}
    assert two["ratios"]["total_energy_j"] == {"ratio": pytest.approx(1.9), "sd": pytest.approx(0.19)}
    assert one["metrics"]["energy_adjusted_j"] == {"n": 0, "mean": None, "sd": None}
    assert document["differing"] == {"effective_config.seed": [[0, 1, 2], [0]]}
    assert document["errors"] == []


def test_compare_unmeasured_values_gives_no_ratio(llem: Run, keep: Keep) -> None:
    keep("a", total_energy_j=0.0, energy_adjusted_j=5.0)
    keep("b", total_energy_j="NaN")
    done = llem("compare", "results/a", "results/b")
    assert row(done, "energy [J]") == ["0.0", "-", "-"]
    assert row(done, "energy_adjusted [J]") == ["5.0", "-", "-"]
    assert "tpot" not in done.stdout


@pytest.mark.usefixtures("groups")
def test_compare_three_or_more_uses_the_first_as_reference(llem: Run) -> None:
    done = llem("compare", "results/two", "results/one", "results/one/0", "results/one/2")
    heads = next(line.split() for line in done.stdout.splitlines() if "B/A" in line)
    assert heads == ["A", "B", "B/A", "C", "C/A", "D", "D/A"]


@pytest.mark.parametrize("columns", [80, 200])
def test_compare_fits_the_terminal(screen: Screen, keep: Keep, columns: int) -> None:
    for name in "abcd":
        config = {"model": name * 60, "a.long/key-of-words" * 3: name * 90, "list": list(range(ord(name)))}
        keep(name, effective_config=config, total_energy_j=float(ord(name)) ** 3)
    status, lines, stderr = screen("compare", *(f"results/{name}" for name in "abcd"), columns=columns)
    assert (status, stderr) == (0, "")
    assert max(map(len, lines)) <= columns


@pytest.mark.usefixtures("pair")
def test_compare_group_with_invalid_file_reports_it_and_compares_the_rest(llem: Run, keep: Keep) -> None:
    keep("group/good")
    keep("group/bad").write_text("{")
    done = llem("compare", "results/a", "results/group")
    assert done.returncode == 1
    assert row(done, "B")[0] == "1"
    assert "group/bad" in done.stderr
    assert "1 invalid result file in results/group" in done.stderr
    document = json.loads(llem("compare", "results/a", "results/group", "--json").stdout)
    assert [error["path"] for error in document["errors"]] == ["results/group/bad/result.json"]


@pytest.mark.usefixtures("pair")
def test_compare_directory_without_results_exits_1(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = llem("compare", "results/a", "empty")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "llem compare: no result in empty; add some: `llem save FILE --output-dir DIR`"
    )


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize(
    "args",
    [(), ("results/a",), ("results/a", "missing"), ("results/a", "missing/result.json"), ("results/a", "")],
)
def test_compare_with_invalid_arguments_exits_2(llem: Run, args: tuple[str, ...]) -> None:
    done = llem("compare", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("\nTry 'llem compare --help'.\n")


def test_compare_real_results_prints_known_ratios(llem: Run, data: Path) -> None:
    for name in ("offline_3a2d0e", "server_6686b5"):
        source = str(data / f"mlperf/llama2-70b-99.9_{name}.json")
        llem("save", source, "--timeseries", source.replace(".json", ".parquet"), "-o", name, "-q")
    done = llem("compare", "offline_3a2d0e", "server_6686b5")
    assert done.returncode == 0
    assert row(done, "scenario") == ["Offline", "Server"]
    energies = list(map(float, row(done, "energy [J]")))
    assert energies == pytest.approx([19.18e6, 15.70e6, 0.819], rel=1e-3)


def test_compare_integers_and_equal_floats_finds_no_difference(llem: Run, keep: Keep) -> None:
    keep("a", effective_config={"model": "m", "backend": "pytorch", "t": 0, "list": [1, 2], "on": 1})
    keep("b", effective_config={"model": "m", "backend": "pytorch", "t": 0.0, "list": [1.0, 2.0], "on": True})
    done = llem("compare", "results/a", "results/b", "--json")
    assert json.loads(done.stdout)["differing"] == {"effective_config.on": [[1], [True]]}


def test_compare_texts_among_numbers_are_quoted(llem: Run, keep: Keep) -> None:
    for name, value in (("one/a", 1), ("one/b", "1"), ("two/a", 1.0), ("two/b", "auto")):
        keep(name, effective_config={"model": "m", "x": value})
    done = llem("compare", "results/one", "results/two")
    assert row(done, "x") == ["1,", '"1"', "1,", "auto"]


def test_compare_values_of_mixed_kinds_prints_them_as_ls_does(llem: Run, keep: Keep) -> None:
    values = [[1], [1.0], "[1.0]", ["x", "y"], True, 1]
    for number, value in enumerate(values):
        keep(str(number), effective_config={"model": "m", "k": value})
    paths = [f"results/{number}" for number in range(len(values))]
    row = llem("compare", *paths).stdout.splitlines()[-1]
    assert re.split("  +", row)[1:] == ["[1]", "[1]", '"[1.0]"', '["x", "y"]', "true", "1"]
    assert "0 settings differ" in llem("compare", *paths[:2]).stdout
