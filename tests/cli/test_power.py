"""`llem power`, and `llem import --power`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import read_timeseries

Run = Callable[..., subprocess.CompletedProcess[str]]
LOG = "timestamp, index, uuid, power.draw [W]\n" + "".join(
    f"2026/05/04 10:00:{second:02}.000, {gpu}, GPU-{gpu}, {100 + 50 * gpu}.00 W\n"
    for second in range(40)
    for gpu in (0, 1)
)
SERVING = {
    "date": "20260504-100030", "backend": "vllm", "model_id": "org/tiny", "tokenizer_id": "org/tiny",
    "num_prompts": 10, "request_rate": "inf", "duration": 10.0, "completed": 10, "total_input_tokens": 100,
    "total_output_tokens": 900,
}  # fmt: skip


def test_power_shows_a_log_and_writes_its_trace(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "gpu.csv").write_text(LOG)
    done = llem("power", "gpu.csv", "-o", "trace.parquet", "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    # 39 s of 100 W and of 150 W.
    assert [gpu["energy_j"] for gpu in shown["gpus"]] == [3900.0, 5850.0]
    assert (shown["energy_j"], shown["tool"]) == (9750.0, "nvidia-smi")
    trace = read_timeseries(tmp_path / "trace.parquet")
    assert (trace.energy_j, trace.gpu_names) == (9750.0, {0: "GPU-0", 1: "GPU-1"})
    text = llem("power", "gpu.csv", "--power-gpus", "GPU-1").stdout
    assert "energy of 1 GPU: 5850 J" in text


def test_import_with_power_integrates_over_the_times_of_the_run(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "gpu.csv").write_text(LOG)
    (tmp_path / "bench.json").write_text(json.dumps(SERVING))
    done = llem("import", "bench.json", "--power", "gpu.csv", "-o", "out", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = json.loads(done.stdout)["paths"]
    result = ExperimentResult.from_json(tmp_path / path)
    # From 10:00:20 to 10:00:30: 10 s of 100 W and of 150 W, for 1000 tokens.
    assert (result.total_energy_j, result.energy_per_device_j) == (2500.0, [1000.0, 1500.0])
    assert result.avg_energy_per_token_j == 2.5
    assert not any("energy" in warning for warning in result.measurement_warnings)
    assert result.effective_config["imported_from"]["power"]["gpus"] == {"0": "GPU-0", "1": "GPU-1"}
    trace = read_timeseries(tmp_path / path)
    assert (len(trace), trace.energy_j) == (20, 2500.0)
    assert llem("verify", "out", "--deep").returncode == 0
    one = llem("import", "bench.json", "--power", "gpu.csv", "--power-gpus", "1", "-o", "one", "--json")
    (path,) = json.loads(one.stdout)["paths"]
    assert ExperimentResult.from_json(tmp_path / path).total_energy_j == 1500.0


def test_import_with_power_that_does_not_cover_a_run_fails_for_that_run_alone(
    llem: Run, tmp_path: Path
) -> None:
    (tmp_path / "gpu.csv").write_text(LOG)
    late = SERVING | {"date": "20260504-120000"}
    (tmp_path / "bench.jsonl").write_text(f"{json.dumps(late)}\n{json.dumps(SERVING)}\n")
    done = llem("import", "bench.jsonl", "--power", "gpu.csv", "-o", "out")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "bench.jsonl:1: expected a power log that covers the run, from 2026-05-04T11:59:50 to "
        "2026-05-04T12:00:00, got one from 2026-05-04T10:00:00 to 2026-05-04T10:00:39; "
    )
    assert "1 result imported into out" in done.stdout


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--power", "missing.csv"], 2, "--power missing.csv does not exist"),
        (["--power", "bench.json"], 1, "bench.json: expected a power log, got a file whose first line is"),
        (["--power-zone", "UTC"], 2, "--power is missing"),
        (
            ["--power", "gpu.csv", "--power-columns", "volts=x"],
            2,
            "--power-columns expects time=, power= or gpu=",
        ),
        (["--power", "gpu.csv", "--power-columns", "power=x"], 1, "expected a column 'x' for the power"),
        (["--power", "gpu.csv", "--power-start", "noon"], 2, "--power-start expects a time"),
        (["--power", "gpu.csv", "--power-zone", "Mars"], 1, "gpu.csv: expected a time zone"),
    ],
)
def test_import_with_wrong_power_is_one_line(
    llem: Run, tmp_path: Path, options: list[str], status: int, said: str
) -> None:
    (tmp_path / "gpu.csv").write_text(LOG)
    (tmp_path / "bench.json").write_text(json.dumps(SERVING))
    done = llem("import", "bench.json", "-o", "out", *options)
    assert done.returncode == status
    assert said in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
