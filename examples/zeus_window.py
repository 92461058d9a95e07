"""Measure a run with Zeus: joules from a window of ZeusMonitor, and a power trace from PowerMonitor.

pip install zeus, put your inference into `generate`, and run: python zeus_window.py
"""

import time
from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from tempfile import TemporaryDirectory

from zeus.monitor import PowerMonitor, ZeusMonitor

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import write_timeseries_parquet

GPUS = [0]  # as CUDA counts them: Zeus follows CUDA_VISIBLE_DEVICES


def generate(config):
    time.sleep(2)  # your inference goes here; wait for the GPU, as torch.cuda.synchronize() does
    return 64 * config["batch_size"]  # tokens


def samples_of(timelines, start, seconds):
    """Yield the power of each GPU at 10 Hz; Zeus keeps a reading only if it differs from the one before."""
    for gpu, timeline in timelines.items():
        times = [time for time, _ in timeline]
        for tick in range(int(seconds * 10) + 1):
            place = bisect_right(times, start + tick / 10) - 1
            watts = timeline[place][1] if place >= 0 else None
            yield {"timestamp": tick / 10, "gpu_index": gpu, "power_w": watts}


def measure(config, monitor, power, trace):
    """Return the result of a run, and the path of its power trace."""
    start = datetime.now(timezone.utc)
    monitor.begin_window("run", sync_execution=False)  # `generate` has waited for the GPU
    try:
        tokens = generate(config)
    finally:
        window = monitor.end_window("run", sync_execution=False)
    samples = samples_of(power.get_power_timeline("device_instant"), start.timestamp(), window.time)
    return ExperimentResult(
        experiment_id="zeus", effective_config=config, measurement_methodology="total", total_flops=0.0,
        total_tokens=tokens, total_energy_j=window.total_energy, total_inference_time_sec=window.time,
        energy_per_device_j=[window.gpu_energy[gpu] for gpu in GPUS],
        avg_tokens_per_second=tokens / window.time, avg_energy_per_token_j=window.total_energy / tokens,
        start_time=start, end_time=start + timedelta(seconds=window.time),
    ), write_timeseries_parquet(samples, trace)  # fmt: skip


if __name__ == "__main__":
    monitor = ZeusMonitor(gpu_indices=GPUS, cpu_indices=[])
    power = PowerMonitor(gpu_indices=GPUS, update_period=0.1, power_domains=["device_instant"])
    config = {"model": "gpt2", "backend": "vllm", "batch_size": 8}
    with TemporaryDirectory() as place, ResultStore("results").measuring(config) as run:
        run.result, run.timeseries_source = measure(config, monitor, power, f"{place}/trace.parquet")
    power.stop()
    print(f"{1000 * run.result.avg_energy_per_token_j:.3f} mJ per token: {run.path}")
