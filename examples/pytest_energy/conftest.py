"""A fixture that measures the energy of a test with NVML, saves it, and reports it at the end of the session.

pip install pytest nvidia-ml-py, copy this file next to your tests, and run: pytest --store results
"""

import time
from datetime import datetime, timedelta, timezone

import pynvml
import pytest

from llenergymeasure import ExperimentResult, ResultStore


def pytest_addoption(parser):
    parser.addoption("--store", default="results", help="the store of the measurements")


@pytest.fixture(scope="session")
def millijoules():
    try:
        pynvml.nvmlInit()
        gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in [0]]  # as nvidia-smi counts them
    except pynvml.NVMLError as error:
        pytest.skip(f"no NVIDIA GPU: {error}")
    return lambda: sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in gpus)


@pytest.fixture
def measured(request, millijoules, record_property):
    """Return a function that measures `generate(config)` and saves its result, or the failure it raises."""

    def measure(config, generate):
        run = ResultStore(request.config.getoption("store")).measuring(config)
        try:
            with run:
                start, clock, before = datetime.now(timezone.utc), time.monotonic(), millijoules()
                tokens = generate(config)
                joules, seconds = (millijoules() - before) / 1000, time.monotonic() - clock
                run.result = ExperimentResult(
                    experiment_id=request.node.nodeid, effective_config=config, total_tokens=tokens,
                    measurement_methodology="total", total_energy_j=joules, total_inference_time_sec=seconds,
                    avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
                    total_flops=0.0, start_time=start, end_time=start + timedelta(seconds=seconds),
                )  # fmt: skip
            return run.result
        finally:
            outcome = f"{1000 * joules / tokens:.3f} mJ per token" if run.result else "failed"
            record_property("energy", f"{outcome}: {run.path}")

    return measure


def pytest_terminal_summary(terminalreporter):
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [value for report in reports for name, value in report.user_properties if name == "energy"]
    if lines:  # properties also come from the workers of pytest-xdist
        terminalreporter.section("energy")
        terminalreporter.write_line("\n".join(lines))
