"""MLflow: one run per result, in a store of files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

# MLflow reads these at import: no telemetry, and a store of files.
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", MLFLOW_ALLOW_FILE_STORE="true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from llenergymeasure import ExperimentResult
from peers.session import Session

__all__ = ["FluentRuns", "Runs"]


class _Runs(Session):
    distribution = "mlflow-skinny"

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        self.store = directory / "mlruns"
        self.client = MlflowClient(tracking_uri=self.store.as_uri())
        self.experiment = self.client.create_experiment("sweep")
        self.run_id = ""

    def config(self) -> dict[str, object]:
        """Return the parameters to log."""
        return dict(_flat(self.result.effective_config))

    def metrics(self) -> dict[str, float]:
        """Return the metrics to log."""
        return {name: value for name, value in self.result if type(value) in {int, float}}

    def last(self) -> object:
        """Read the artifact of the last run, after a check of its parameters and metrics."""
        run = self.store / self.experiment / self.run_id
        assert (run / "params" / "model").exists()
        assert (run / "metrics" / "total_energy_j").exists()
        return json.loads((run / "artifacts" / "result.json").read_bytes())


class Runs(_Runs):
    """Runs by the client, in as few calls as possible."""

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        # `log_text` would make and delete a directory for each result; this file is overwritten.
        self.staged = directory / "result.json"

    def save(self, count: int) -> None:
        """Make one run after the other."""
        for _ in range(count):
            now = int(time.time() * 1000)
            self.run_id = self.client.create_run(self.experiment, run_name="result").info.run_id
            self.client.log_batch(
                self.run_id,
                metrics=[Metric(name, value, now, 0) for name, value in self.metrics().items()],
                params=[Param(name, str(value)) for name, value in self.config().items()],
            )
            self.staged.write_text(self.result.model_dump_json(indent=2), encoding="utf-8")
            self.client.log_artifact(self.run_id, str(self.staged))
            self.client.set_terminated(self.run_id)


class FluentRuns(_Runs):
    """Runs by the functions that its tutorials use."""

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        mlflow.set_tracking_uri(self.store.as_uri())
        mlflow.set_experiment(experiment_id=self.experiment)

    def save(self, count: int) -> None:
        """Make one run after the other."""
        for _ in range(count):
            with mlflow.start_run() as run:
                mlflow.log_params(self.config())
                mlflow.log_metrics(self.metrics())
                mlflow.log_dict(self.result.model_dump(mode="json"), "result.json")
            self.run_id = run.info.run_id


def _flat(config: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
