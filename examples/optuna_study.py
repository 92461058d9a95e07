"""Search with Optuna for the settings that need the least energy per token, and save each trial in the store.

pip install optuna, put your measurement into `measure`, and run: python optuna_study.py
Start it again after a kill: a configuration that is in the store is never measured twice.
"""

import time
from datetime import datetime, timedelta, timezone

import optuna
from optuna.trial import TrialState

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.domain.experiment import compute_measurement_config_hash

STORE, TRIALS = ResultStore("results"), 20


def measure(config):
    start, clock = datetime.now(timezone.utc), time.monotonic()
    time.sleep(0.1)  # your measurement goes here
    if config["batch_size"] > 32 and config["dtype"] == "float32":
        raise MemoryError("out of memory")
    tokens, joules, seconds = 50 * config["batch_size"], 25.0, time.monotonic() - clock
    return ExperimentResult(
        experiment_id="optuna", effective_config=config, measurement_methodology="total", total_flops=0.0,
        total_tokens=tokens, total_energy_j=joules, total_inference_time_sec=seconds,
        avg_tokens_per_second=tokens / seconds, avg_energy_per_token_j=joules / tokens,
        start_time=start, end_time=start + timedelta(seconds=seconds),
    )  # fmt: skip


def objective(trial):
    config = {"model": "gpt2", "backend": "vllm"}
    config["batch_size"] = trial.suggest_categorical("batch_size", [1, 4, 16, 64])
    config["dtype"] = trial.suggest_categorical("dtype", ["float16", "float32"])
    if STORE.missing([config]):
        with STORE.measuring(config) as run:
            run.result = measure(config)
        return run.result.avg_energy_per_token_j
    key = ("measurement_config_hash", "==", compute_measurement_config_hash(config))
    known = STORE.scan(["avg_energy_per_token_j"], where=[key]).to_pydict()["avg_energy_per_token_j"]
    if not known:
        raise optuna.TrialPruned("this configuration has failed")
    return known[0]


if __name__ == "__main__":
    study = optuna.create_study(storage="sqlite:///study.db", study_name="gpt2", load_if_exists=True)
    left = TRIALS - sum(trial.state.is_finished() for trial in study.trials)
    for trial in study.get_trials(states=[TrialState.RUNNING]):  # it was killed; its result may be saved
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    study.optimize(objective, n_trials=left, catch=MemoryError)
    print(f"{1000 * study.best_value:.3f} mJ per token with {study.best_params}")
