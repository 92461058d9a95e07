"""The examples that measure save the numbers of fake devices to the last digit."""

from __future__ import annotations

import importlib.util
import inspect
import os
import struct
import subprocess
import sys
from datetime import timedelta, timezone
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

import llenergymeasure
from llenergymeasure import ResultStore
from llenergymeasure.results.timeseries import read_timeseries
from support.optional import needs
from support.processes import HANG

EXAMPLES = Path(__file__).parents[2] / "examples"
FAKES = Path(__file__).parents[1] / "support" / "fakes"
POWER_W = [250.123, 118.11]


def run(place: Path, *command: str | Path, status: int = 0) -> str:
    """Run a command of Python as a user would, with the fake devices; return what it prints."""
    package = Path(llenergymeasure.__file__).parents[1]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [FAKES, package]))}
    ended = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=place, env=variables, capture_output=True, text=True, timeout=HANG, check=False,
    )  # fmt: skip
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a file with the fake devices, which no later import sees."""
    monkeypatch.syspath_prepend(FAKES)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules):
        spec.loader.exec_module(module)
    return module


def float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nvml_trace.py", "zeus_window.py"])
def test_measure_two_gpus_saves_exact_joules_watts_and_times(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    text = (EXAMPLES / name).read_text()
    assert "GPUS = [0]" in text
    program.write_text(text.replace("GPUS = [0]", "GPUS = [0, 1]"))
    # 500.25 J and 236.225 J for 64 tokens of each of 8 sequences
    assert run(tmp_path, name).startswith("1438.428 mJ per token: ")

    store = ResultStore(tmp_path / "results")
    [result] = store.load_all()
    assert result.total_energy_j == 736.475
    assert result.energy_per_device_j == [500.25, 236.225]
    assert result.total_tokens == 512
    assert result.avg_energy_per_token_j == 736.475 / 512
    seconds = result.total_inference_time_sec
    assert seconds == 2.0 if name.startswith("zeus") else seconds > 2.0
    assert result.avg_tokens_per_second == 512 / seconds
    assert result.start_time.tzinfo == timezone.utc
    assert result.end_time - result.start_time == timedelta(seconds=seconds)
    assert store.missing([{"model": "gpt2", "backend": "vllm", "batch_size": 8}]) == []

    [record] = (tmp_path / "results").glob("*/result.json")
    trace = read_timeseries(record)
    rows = len(trace.timestamp_s) // 2
    assert rows == int(seconds) + 1
    assert trace.timestamp_s == [float(row // 2) for row in range(2 * rows)]
    assert trace.gpu_index == [0, 1] * rows
    assert trace.power_w == [float32(watts) for watts in POWER_W] * rows
    if name.startswith("nvml"):
        assert trace.temperature_c == [61.0, 48.0] * rows
    assert store.verify(deep=True).ok
    assert rows > 3 or result.check() == []


@pytest.mark.slow
def test_measure_with_failing_inference_saves_failure_and_ends(tmp_path: Path) -> None:
    for name in ("nvml_trace.py", "zeus_window.py"):
        text = (EXAMPLES / name).read_text()
        (tmp_path / name).write_text(text.replace("time.sleep(2)", 'raise MemoryError("CUDA out of memory")'))
        run(tmp_path, name, status=1)
    failures = [failure.run for failure in ResultStore(tmp_path / "results").failures()]
    assert [(run.error_type, run.message) for run in failures] == [("MemoryError", "CUDA out of memory")] * 2
    assert all(run.effective_config["batch_size"] == 8 for run in failures)
    assert list(ResultStore(tmp_path / "results")) == []


def test_samples_of_zeus_hold_power_until_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    example = load(EXAMPLES / "zeus_window.py", monkeypatch)
    assert "zeus.monitor" not in sys.modules
    # 100 W from before the start, 300 W from 0.25 s; the second GPU is read first at 0.15 s
    timelines = {0: [(999.5, 100.0), (1000.25, 300.0)], 1: [(1000.15, 70.0)]}
    samples = list(example.samples_of(timelines, 1000.0, 0.42))
    assert [sample["timestamp"] for sample in samples] == [0.0, 0.1, 0.2, 0.3, 0.4] * 2
    assert [sample["gpu_index"] for sample in samples] == [0] * 5 + [1] * 5
    assert [sample["power_w"] for sample in samples] == [
        *[100.0, 100.0, 100.0, 300.0, 300.0],
        *[None, None, 70.0, 70.0, 70.0],
    ]


@pytest.mark.slow
def test_measure_in_pytest_saves_results_and_failures_and_reports_them(tmp_path: Path) -> None:
    for path in (EXAMPLES / "pytest_energy").glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    tests = tmp_path / "test_generation.py"
    tests.write_text(
        tests.read_text().replace("[1, 8, 64]", "[1, 8, 64, 512]")
        + "\n\ndef test_nothing():\n    pass\n"
        + "\n\n@pytest.fixture(autouse=True)\ndef limit(monkeypatch):\n"
        + '    monkeypatch.setattr(time, "sleep", lambda _: None)\n'
    )
    text = tests.read_text()
    tests.write_text(
        text.replace("return 64", 'assert config["batch_size"] < 512, "out of memory"\n    return 64')
    )
    command = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "--store", "energy"]
    printed = run(tmp_path, *command, status=1)
    assert "2 failed, 3 passed" in printed  # one needs 7.8 J per token, one has raised
    _, _, report = printed.partition(" energy ")
    lines = sorted(line for line in report.splitlines() if str(tmp_path) in line)

    store = ResultStore(tmp_path / "energy")
    assert [line.partition(":")[0] for line in lines] == [
        "122.131 mJ per token",
        "7816.406 mJ per token",
        "977.051 mJ per token",
        "failed",
    ]
    paths = {line.partition(": ")[2] for line in lines}
    failures = list(store.failures())
    assert paths == {str(path) for path in (tmp_path / "energy").glob("*/*.json")}
    assert [failure.run.effective_config["batch_size"] for failure in failures] == [512]
    assert {
        (r.effective_config["batch_size"], r.total_tokens, r.total_energy_j) for r in store.load_all()
    } == {
        (1, 64, 500.25),
        (8, 512, 500.25),
        (64, 4096, 500.25),
    }


@needs("pynvml")
@pytest.mark.parametrize(
    "name",
    [
        "nvmlInit",
        "nvmlDeviceGetHandleByIndex",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetTemperature",
    ],
)
def test_fake_nvml_has_signature_of_real_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    fake = load(FAKES / "pynvml.py", monkeypatch)
    real = inspect.signature(getattr(pynvml, name))
    assert [*inspect.signature(getattr(fake, name)).parameters] == [*real.parameters]
