"""`llem show`."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Screen = Callable[..., tuple[int, list[str], str]]
    Keep = Callable[..., Path]
    MakeRecord = Callable[..., dict[str, Any]]


@pytest.fixture
def traced(tmp_path: Path, record: MakeRecord) -> Callable[..., str]:
    """Save a result with a power trace; return its directory."""

    def make(power_w: list[float | None], gpus: int = 1, **fields: Any) -> str:
        rows = [(second, gpu) for second in range(len(power_w)) for gpu in range(gpus)]
        trace = Timeseries(
            timestamp_s=[float(second) for second, _ in rows],
            gpu_index=[gpu for _, gpu in rows],
            power_w=[power_w[second] for second, _ in rows],
        )
        path = ExperimentResult.model_validate(record(**fields)).save(tmp_path / "traced", trace)
        return str(path.parent.relative_to(tmp_path))

    return make


def fact(done: subprocess.CompletedProcess[str], name: str) -> str:
    """Return the value after a name."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"  {name}  ")]
    return line.removeprefix(f"  {name}").strip()


@pytest.mark.parametrize("path", ["results/a", "results/a/", "results/a/result.json"])
def test_show_accepts_directory_or_record(llem: Run, keep: Keep, path: str) -> None:
    keep("a", total_energy_j=2_500_000.0, total_tokens=1_234_567, backend="vllm", backend_version="0.6.3")
    done = llem("show", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == ["gpt2 on vllm 0.6.3", path]
    assert fact(done, "energy") == "2.500 MJ"
    assert fact(done, "energy per token") == "0.2505 J"
    assert fact(done, "tokens per joule") == "0.4938"
    assert fact(done, "tokens") == "1,234,567"
    assert fact(done, "mean power") == "250.0 kW"
    assert fact(done, "when") == "2026-02-18 14:30:00 to 2026-02-18 14:30:10"
    assert fact(done, "methodology") == "total"


def test_show_prints_warnings_before_measurements(llem: Run, keep: Keep) -> None:
    keep("a", measurement_warnings=["too short", "evil\x1b[31m"], timeseries="gone.parquet")
    done = llem("show", "results/a")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    begin = lines.index("3 warnings")
    assert lines[begin + 1 : begin + 3] == ["  too short", "  evil\\x1b[31m"]
    assert lines[begin + 3].startswith("  Timeseries sidecar missing: ")
    assert begin < lines.index("Measured")


def test_show_configuration_prints_dotted_names_without_nulls(llem: Run, keep: Keep) -> None:
    config = {
        "model": "m",
        "decoder": {"top_k": 50, "preset": None},
        "on": True,
        "bins": list(range(50)),
        "none": {},
    }
    keep("a", effective_config=config)
    done = llem("show", "results/a")
    assert fact(done, "decoder.top_k") == "50"
    assert fact(done, "on") == "true"
    assert fact(done, "bins") == "0, 1, 2, ... (50)"
    assert "preset" not in done.stdout


def test_show_processes_prints_a_table(llem: Run, keep: Keep, record: MakeRecord) -> None:
    base = record()
    process = {
        "experiment_id": "x",
        "gpu_name": "H100",
        "config_name": "c",
        "model_name": "m",
        "timestamps": {"start": base["start_time"], "end": base["end_time"], "duration_sec": 10.0},
        "inference_metrics": {
            "total_tokens": 500,
            "input_tokens": 100,
            "output_tokens": 400,
            "inference_time_sec": 10.0,
            "tokens_per_second": 50.0,
            "latency_per_token_ms": 20.0,
        },
        "energy_metrics": {"total_energy_j": 125.25, "duration_sec": 10.0},
        "compute_metrics": {"flops_total": 0.0, "peak_memory_mb": 1024.0},
    }
    keep("a", process_results=[process | {"process_index": number, "gpu_id": number} for number in range(2)])
    lines = llem("show", "results/a").stdout.splitlines()
    begin = lines.index("Processes")
    assert "energy [J]" in lines[begin + 1]
    assert lines[begin + 2].split() == ["0", "0", "H100", "500", "125.2", "50.00", "1,024", "fp16"]
    assert lines[begin + 3].split()[:2] == ["1", "1"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_show_fits_the_terminal(screen: Screen, data: Path, tmp_path: Path, columns: int) -> None:
    shutil.copytree(data / "mlperf", tmp_path / "mlperf")
    (record,) = (tmp_path / "mlperf").glob("mixtral*offline*.json")
    (tmp_path / "r").mkdir()
    record.rename(tmp_path / "r/result.json")
    record.with_suffix(".parquet").rename(tmp_path / "r/timeseries.parquet")
    status, lines, stderr = screen("show", "r", columns=columns)
    assert (status, stderr) == (0, "")
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "2,592 samples of the whole system: mean 6,155 W" in text.replace("\n  ", " ")
    assert "wall power of the whole system" in text
    assert any("\u2800" <= mark <= "\u28ff" for mark in text)


def test_show_trace_plots_power_and_both_energies(llem: Run, traced: Callable[..., str]) -> None:
    path = traced([100.0, 200.0, 300.0, 200.0, 100.0], total_energy_j=800.0)
    done = llem("show", path)
    lines = done.stdout.splitlines()
    begin = lines.index("Power")
    assert lines[begin + 1].strip() == "W"
    assert [line.split()[0] for line in lines[begin + 2 :] if "┤" in line] == ["300", "200", "100"]
    (axis,) = [line for line in lines if "└" in line]
    assert axis.split()[0] == "0"
    assert lines[lines.index(axis) + 1].endswith(" s")
    assert "  5 samples of 1 GPU: mean 180.0 W, 100.0 W to 300.0 W" in lines
    assert "  energy by the trapezoid rule 800.0 J; recorded 800.0 J (+0.00 %)" in lines


def test_show_trace_with_rising_power_draws_a_rising_line(llem: Run, traced: Callable[..., str]) -> None:
    path = traced([float(power) for power in range(0, 1000, 10)])
    lines = llem("show", path).stdout.splitlines()
    rows = [line.split("│")[-1].split("┤")[-1] for line in lines if "│" in line or "┤" in line]
    starts = [len(row) - len(row.lstrip(" ")) for row in rows if row.strip()]
    assert len(starts) == len(rows)
    assert starts == sorted(starts, reverse=True)


def test_show_trace_of_several_gpus_plots_the_sum(llem: Run, traced: Callable[..., str]) -> None:
    done = llem("show", traced([100.0, 100.0, 100.0], gpus=4, total_energy_j=800.0))
    assert "  3 samples of 4 GPUs: mean 400.0 W, 400.0 W to 400.0 W" in done.stdout
    assert "  by GPU, in J: 0: 200.0, 1: 200.0, 2: 200.0, 3: 200.0" in done.stdout


@pytest.mark.parametrize("power_w", [[], [100.0], [None, None, None], [100.0, None]])
def test_show_trace_too_short_for_a_plot_reports_it(
    llem: Run, traced: Callable[..., str], power_w: list[float | None]
) -> None:
    done = llem("show", traced(power_w))
    assert done.returncode == 0
    assert "too few with a power for a plot" in done.stdout


@pytest.mark.parametrize(("power_w", "mean"), [([100.0, None], 100.0), ([None, None], None)])
def test_show_trace_without_two_powers_prints_unknown(
    llem: Run, traced: Callable[..., str], power_w: list[float | None], mean: float | None
) -> None:
    path = traced(power_w, total_energy_j=800.0)
    lines = llem("show", path).stdout.splitlines()
    assert lines[-1 if lines[-1].startswith("  energy by") else lines.index("Power") + 2] == (
        "  energy by the trapezoid rule unknown; recorded 800.0 J"
    )
    assert any("the energy is unknown" in line for line in lines)
    document = json.loads(llem("show", path, "--json").stdout)
    assert document["timeseries"]["energy_j"] is None
    assert document["timeseries"]["mean_power_w"] == mean
    assert document["timeseries"]["energy_per_gpu_j"] == {"0": None}
    assert "the energy is unknown" in document["warnings"][0]


def test_show_trace_with_one_unknown_gpu_prints_unknown(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    trace = Timeseries(timestamp_s=[0, 0, 1, 1], gpu_index=[0, 1] * 2, power_w=[100.0, None] * 2)
    ExperimentResult.model_validate(record()).save(tmp_path / "r", trace)
    (path,) = (tmp_path / "r").iterdir()
    done = llem("show", path)
    assert "  2 samples of 2 GPUs: mean unknown, 100.0 W to 100.0 W" in done.stdout
    assert "  energy by the trapezoid rule unknown; recorded" in done.stdout
    assert "  by GPU, in J: 0: 100.0, 1: unknown" in done.stdout


def test_show_trace_with_doubtful_clock_prints_warnings(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    times = [0, 1, 2, 1.5, 3, 3700]
    trace = Timeseries(timestamp_s=times, gpu_index=[0] * 6, power_w=[100.0] * 6)
    ExperimentResult.model_validate(record()).save(tmp_path / "r", trace)
    (path,) = (tmp_path / "r").iterdir()
    done = llem("show", path)
    assert done.stdout.splitlines()[3] == "2 warnings"
    assert "  power trace: GPU 0: the time steps back once from 2 s to 1.5 s" in done.stdout
    assert "  power trace: GPU 0: the time jumps from 3 s to 3700 s" in done.stdout
    plotted = llem("plot", path, "--json")
    assert plotted.returncode == 0
    assert plotted.stderr.splitlines()[0].endswith(
        "the time steps back once from 2 s to 1.5 s; each row counts at its time"
    )


@pytest.mark.parametrize("power_w", [[0.0, 0.0], [5.0, 5.0], [-3.0, -1.0], [1e-9, 1.0], [3e30, 1e30]])
def test_show_trace_of_any_power_plots_it(
    llem: Run, traced: Callable[..., str], power_w: list[float | None]
) -> None:
    done = llem("show", traced(power_w))
    assert (done.returncode, done.stderr) == (0, "")
    assert "└" in done.stdout


def test_show_in_ascii_draws_stars(
    environment: dict[str, str], llem: Run, traced: Callable[..., str]
) -> None:
    environment["PYTHONIOENCODING"] = "ascii"
    done = llem("show", traced([100.0, 300.0, 200.0]))
    assert done.returncode == 0
    assert "*" in done.stdout
    assert "\\" not in done.stdout


def test_show_with_unreadable_trace_prints_the_rest_and_exits_1(
    llem: Run, traced: Callable[..., str], tmp_path: Path
) -> None:
    path = traced([1.0, 2.0])
    (tmp_path / path / "timeseries.parquet").write_bytes(b"PAR1 and no more")
    done = llem("show", path)
    assert done.returncode == 1
    assert "Measured" in done.stdout
    assert done.stderr.startswith("llem show: ")
    assert "timeseries.parquet" in done.stderr


def test_show_json_gives_record_and_derived_values(llem: Run, traced: Callable[..., str]) -> None:
    path = traced([100.0, 200.0], gpus=2, energy_adjusted_j="NaN", measurement_warnings=["short"])
    document = json.loads(llem("show", path, "--json").stdout)
    assert document["path"] == path
    assert document["result"]["total_energy_j"] == 250.5
    assert document["result"]["energy_adjusted_j"] == "NaN"
    assert document["result"]["start_time"] == "2026-02-18T14:30:00"
    assert document["warnings"] == ["short"]
    assert document["duration_sec"] == 10.0
    assert document["tokens_per_joule"] == pytest.approx(1000 / 250.5)
    assert document["timeseries"] == {
        "rows": 4,
        "duration_s": 1.0,
        "mean_power_w": 300.0,
        "energy_j": 300.0,
        "energy_per_gpu_j": {"0": 150.0, "1": 150.0},
    }


def test_show_json_without_trace_gives_null(llem: Run, keep: Keep) -> None:
    keep("a")
    assert json.loads(llem("show", "results/a", "--json").stdout)["timeseries"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "result.json (0 bytes) is not a complete result"),
        ('{"experiment_id": "x"}', " is not a valid result: measurement_config_hash: Field required (and "),
        ("[]", "expected a JSON object, got an array"),
    ],
)
def test_show_invalid_record_reports_one_line(llem: Run, keep: Keep, content: str, message: str) -> None:
    keep("a").write_text(content)
    done = llem("show", "results/a")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.startswith("llem show: ")
    assert done.stderr.count("\n") == 1


def test_show_directory_of_results_exits_1(llem: Run, keep: Keep, tmp_path: Path) -> None:
    keep("a")
    (tmp_path / "empty").mkdir()
    several, none = llem("show", "results"), llem("show", "empty")
    assert several.returncode == none.returncode == 1
    assert several.stderr == "llem show: results is not a result; 1 result below it: `llem ls results`\n"
    assert none.stderr.startswith(
        "llem show: no result in empty; add some: `llem save FILE --output-dir DIR`"
    )


@pytest.mark.parametrize("path", ["missing", "missing/result.json", ""])
def test_show_missing_path_exits_2(llem: Run, path: str) -> None:
    done = llem("show", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("\nTry 'llem show --help'.\n")


def test_show_real_a100_result_prints_its_environment(llem: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    shutil.copy(data / "gpt2_a100_result.json", tmp_path / "r/result.json")
    done = llem("show", "r")
    assert done.returncode == 0
    assert fact(done, "GPU") == "NVIDIA A100-PCIE-40GB, 40.00 GiB, compute capability 8.0"
    assert fact(done, "driver") == "535.261.03, CUDA 12.4"
    assert fact(done, "above idle") == "68.96 J, the idle power being 35.95 W (cached)"
    assert fact(done, "throttling") == "none detected, at most 25.00 °C"
    assert "\n2 warnings\n  short_measurement_duration: " in done.stdout


def test_show_lists_implausible_numbers(llem: Run, traced: Callable[..., str]) -> None:
    path = traced([100.0, 100.0], total_energy_j=-5.0, avg_energy_per_token_j=9.0)
    done = llem("show", path)
    assert done.returncode == 0
    assert "\n3 implausible numbers\n  total_energy_j is negative: -5.0\n" in done.stdout
    assert "total_energy_j is -5 J, but the energy of the power trace is 100 J" in done.stdout
    listed = json.loads(llem("show", path, "--json").stdout)["implausible"]
    assert [one["field"] for one in listed] == ["total_energy_j", "avg_energy_per_token_j", "total_energy_j"]
    assert listed[0]["message"] == "is negative: -5.0"
