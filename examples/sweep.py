# sweep.py: kill it with -9 at any moment; started again, it measures what is missing
import time
from datetime import datetime, timezone
from multiprocessing import get_context

from llenergymeasure import ExperimentResult, ResultStore

CONFIGS = [{"model": "gpt2", "backend": "vllm", "batch_size": size} for size in range(1, 41)]
STORE = ResultStore("sweep")


def work(configs):
    for config in configs:
        with STORE.measuring(config) as run:  # an exception is saved as a failure, and goes on
            start = datetime.now(timezone.utc)
            time.sleep(0.1)  # your measurement goes here
            tokens, joules, end = 50 * config["batch_size"], 25.0, datetime.now(timezone.utc)
            seconds = (end - start).total_seconds()
            run.result = ExperimentResult(
                experiment_id=f"batch-{config['batch_size']}", backend=config["backend"],
                effective_config=config, measurement_methodology="total", total_tokens=tokens,
                total_energy_j=joules, total_inference_time_sec=seconds, total_flops=0.0,
                avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
                start_time=start, end_time=end,
            )  # fmt: skip


if __name__ == "__main__":
    print(len(STORE.missing(CONFIGS)), "of", len(CONFIGS), "to measure")
    for n in range(2):  # one process per GPU
        get_context("spawn").Process(target=work, args=(STORE.missing(CONFIGS, shard=(n, 2)),)).start()
