"""Sweep two settings with Hydra; the callback in save_runs.py saves the result or the failure of each job.

pip install hydra-core, put your measurement into `measure`, and run:
python sweep.py --multirun run.batch_size=1,8,64 run.dtype=float16,float32

Start the same command again after a kill: a job whose run is in the store ends at once.
"""

import time
from datetime import datetime, timedelta, timezone

import hydra

from llenergymeasure import ExperimentResult, ResultStore


def measure(config):
    start, clock = datetime.now(timezone.utc), time.monotonic()
    time.sleep(0.1)  # your measurement goes here
    if config.batch_size > 32 and config.dtype == "float32":
        raise MemoryError("out of memory")
    tokens, joules, seconds = 50 * config.batch_size, 25.0, time.monotonic() - clock
    return ExperimentResult(
        experiment_id="hydra", effective_config=config, measurement_methodology="total", total_flops=0.0,
        total_tokens=tokens, total_energy_j=joules, total_inference_time_sec=seconds,
        avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
        start_time=start, end_time=start + timedelta(seconds=seconds),
    )  # fmt: skip


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(config):
    is_missing = ResultStore(config.store).missing([config.run])
    return measure(config.run) if is_missing else None


if __name__ == "__main__":
    main()
