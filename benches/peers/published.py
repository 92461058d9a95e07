"""The published llenergymeasure 0.7.0, which has the same import name and its own environment."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from peers.session import Session

__all__ = ["Bundles", "Results"]

# Not imported by name: a type checker would find our modules.
experiment: Any = import_module("llenergymeasure.domain.experiment")
persistence: Any = import_module("llenergymeasure.results.persistence")

OUTPUT_TOKENS = 12_800
"""The output tokens of the record."""


class Results(Session):
    """The result.json alone."""

    distribution = "llenergymeasure"

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.config = json.loads(record)["effective_config"]
        self.result = _converted(json.loads(record))
        # Its record omits the fields of its other files.
        self.expected = json.loads(self.result.model_dump_json())
        self.saved: Path | None = None

    @classmethod
    def version(cls) -> str:
        """Return its version, after a check that it is the published one."""
        version = super().version()
        assert version == "0.7.0", f"expected 0.7.0, got {version}"
        return version

    def save(self, count: int) -> None:
        """Save one at a time, with an index, as a study does."""
        for n in range(count):
            self._save(n)

    def _save(self, n: int) -> Path:
        path: Path = persistence.save_result(
            self.result,
            self.directory,
            model_name=self.result.model_name,
            engine=self.result.engine,
            experiment_index=n,
        )
        self.saved = path
        return path

    def last(self) -> object:
        """Read the last result.json."""
        assert self.saved is not None
        return json.loads(self.saved.read_bytes())


class Bundles(Results):
    """All files of one measurement, as its studies keep them."""

    def save(self, count: int) -> None:
        """Save one bundle after the other."""
        result = self.result
        for n in range(count):
            directory = self._save(n).parent
            persistence.save_system(
                result.environment, result.experiment_id, result.declared_config_hash, directory
            )
            persistence.save_config_sidecar(
                directory,
                experiment_id=result.experiment_id,
                config_hash=result.declared_config_hash,
                engine=result.engine,
                model_name=result.model_name,
                measurement_methodology="steady_state",
                declared_config=self.config,
            )

    def last(self) -> object:
        """Read the last result.json, after a check of the other two files."""
        assert self.saved is not None
        assert json.loads(self.saved.with_name("config.json").read_bytes())["declared_config"] == self.config
        assert "hardware" in json.loads(self.saved.with_name("system.json").read_bytes())
        return super().last()


def _converted(record: dict[str, Any]) -> Any:  # noqa: ANN401 - its own ExperimentResult
    """Return the same result as its model, some of whose names differ."""
    throttle = record["thermal_throttle"]
    model = experiment.ExperimentResult
    return model(
        **{name: value for name, value in record.items() if name in model.model_fields},
        declared_config_hash=record["measurement_config_hash"],
        llenergymeasure_version="0.7.0",
        engine=record["backend"],
        model_name=record["effective_config"]["model"],
        input_tokens=record["total_tokens"] - OUTPUT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        environment=record["environment_snapshot"],
        throttle={
            "thermal": {"hw": throttle["hw_thermal"], "sw": throttle["sw_thermal"]},
            "power": {"hw": throttle["hw_power"]},
            "throttle_duration_sec": throttle["throttle_duration_sec"],
            "max_temperature_c": throttle["max_temperature_c"],
        },
    )
