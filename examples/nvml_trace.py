"""Measure a run with NVML: joules from the energy counters (Volta or newer), and a power trace from a thread.

pip install nvidia-ml-py, put your inference into `measure`, and run: python nvml_trace.py
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from tempfile import TemporaryDirectory

import pynvml

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import write_timeseries_parquet

GPUS = [0]  # as nvidia-smi counts them: NVML sees all GPUs, also those that CUDA_VISIBLE_DEVICES hides


def sample(handles, ended):
    samples, is_last = [], False
    while not is_last:  # at the start, ten times per second, and at the end
        is_last, now = bool(samples) and ended.wait(0.1), time.monotonic()
        samples += [{
            "timestamp": now, "gpu_index": index, "power_w": pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "temperature_c": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        } for index, handle in handles.items()]  # fmt: skip
    return samples


def measure(config, trace):
    handles, ended = {index: pynvml.nvmlDeviceGetHandleByIndex(index) for index in GPUS}, threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sampling = pool.submit(sample, handles, ended)
        try:
            start, clock = datetime.now(timezone.utc), time.monotonic()  # the wall clock may step
            before = [pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles.values()]
            time.sleep(2)  # your inference goes here; wait for the GPU, as torch.cuda.synchronize() does
            tokens = 64 * config["batch_size"]
            after = [pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles.values()]
            seconds = time.monotonic() - clock
        finally:
            ended.set()
    joules = (sum(after) - sum(before)) / 1000  # NVML counts millijoules
    return ExperimentResult(
        experiment_id="nvml", effective_config=config, measurement_methodology="total", total_flops=0.0,
        total_tokens=tokens, total_energy_j=joules, total_inference_time_sec=seconds,
        energy_per_device_j=[(end - begin) / 1000 for begin, end in zip(before, after, strict=True)],
        avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
        start_time=start, end_time=start + timedelta(seconds=seconds),
    ), write_timeseries_parquet(sampling.result(), trace)  # fmt: skip


if __name__ == "__main__":
    pynvml.nvmlInit()
    config = {"model": "gpt2", "backend": "vllm", "batch_size": 8}
    with TemporaryDirectory() as place, ResultStore("results").measuring(config) as run:
        run.result, run.timeseries_source = measure(config, f"{place}/trace.parquet")
    print(f"{1000 * run.result.avg_energy_per_token_j:.3f} mJ per token: {run.path}")
