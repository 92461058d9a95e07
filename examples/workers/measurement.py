# measurement.py: what the workers of each example measure and save; a copy of a task measures what is missing
import sys
import time
from datetime import datetime, timezone

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.domain.experiment import compute_measurement_config_hash

CONFIGS = [{"model": "gpt2", "backend": "vllm", "batch_size": size} for size in range(1, 25)]
CHUNKS = [CONFIGS[first::6] for first in range(6)]
ROOT = sys.argv[1] if len(sys.argv) > 1 else "sweep"  # a directory that every worker reaches, or a URL


def measure(config):
    start = datetime.now(timezone.utc)
    time.sleep(0.01)  # your measurement goes here
    tokens, joules, end = 50 * config["batch_size"], 25.0, datetime.now(timezone.utc)
    seconds = (end - start).total_seconds()
    return ExperimentResult(
        experiment_id=f"batch-{config['batch_size']}", backend=config["backend"], effective_config=config,
        measurement_config_hash=compute_measurement_config_hash(config), measurement_methodology="total",
        total_tokens=tokens, total_energy_j=joules, total_inference_time_sec=seconds, total_flops=0.0,
        avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
        start_time=start, end_time=end,
    )  # fmt: skip


def work(root, configs):
    """Measure and save; the engine may run this again after it lost a worker."""
    store = ResultStore(root)
    for config in store.missing(configs):
        store.save(measure(config))
