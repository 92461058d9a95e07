# run.py: one run of the sweep: run.py ROOT CONFIG, with the configuration as JSON
import json
import sys
from datetime import datetime, timezone

from llenergymeasure import ExperimentResult, ResultStore

LARGEST = 8  # what the GPU has room for
root, config = sys.argv[1], json.loads(sys.argv[2])
with ResultStore(root).measuring(config) as run:
    # your measurement goes here
    if config["batch_size"] > LARGEST:
        raise MemoryError("CUDA out of memory")
    tokens, joules, seconds = 50 * config["batch_size"], 25.0, 0.5
    run.result = ExperimentResult(
        experiment_id=f"batch-{config['batch_size']}", effective_config=config,
        measurement_methodology="total", total_tokens=tokens, total_energy_j=joules,
        total_inference_time_sec=seconds, total_flops=0.0,
        avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
        start_time=run.started, end_time=datetime.now(timezone.utc),
    )  # fmt: skip
