# local_sweep.py: a sweep with repeats on the processes of one machine; killed and started again, it goes on
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from multiprocessing import get_context

from llenergymeasure import ExperimentResult, ResultStore

CONFIGS = [{"model": "gpt2", "backend": "vllm", "batch_size": size} for size in (1, 2, 4, 8, 16, 32)]
REPEATS, PROCESSES = 5, 4  # one process per GPU
LARGEST = 16  # what a GPU has room for
ROOT = sys.argv[1] if len(sys.argv) > 1 else "sweep"


def measure(config):
    start = datetime.now(timezone.utc)
    time.sleep(0.02)  # your measurement goes here
    if config["batch_size"] > LARGEST:
        raise MemoryError("CUDA out of memory")
    tokens, joules, end = 50 * config["batch_size"], 25.0, datetime.now(timezone.utc)
    seconds = (end - start).total_seconds()
    return ExperimentResult(
        experiment_id=f"batch-{config['batch_size']}", effective_config=config,
        measurement_methodology="total", total_tokens=tokens, total_energy_j=joules,
        total_inference_time_sec=seconds, total_flops=0.0,
        avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
        start_time=start, end_time=end,
    )  # fmt: skip


def work(number):
    store = ResultStore(ROOT)
    for config in store.missing(CONFIGS, REPEATS, shard=(number, PROCESSES)):
        with suppress(MemoryError), store.measuring(config) as run:  # saves the result, or the failure
            run.result = measure(config)


if __name__ == "__main__":
    store = ResultStore(ROOT)
    while missing := store.missing(CONFIGS, REPEATS):  # retry_failed=True: also the runs that failed
        print(len(missing), "runs to measure")
        start = get_context("spawn").Process
        workers = [start(target=work, args=(number,), daemon=True) for number in range(PROCESSES)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if any(worker.exitcode for worker in workers):
            sys.exit("a process ended early; start the sweep again")
    print(len(store.completed()), "configurations,", len(list(store.failures())), "failed runs")
