"""Sacred: one run per result, kept by its FileStorageObserver."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from sacred import SETTINGS, Experiment
from sacred.observers import FileStorageObserver

from llenergymeasure import ExperimentResult
from peers.session import Session

__all__ = ["DefaultRuns", "Runs"]


class DefaultRuns(Session):
    """Runs that return the result, which their run.json then holds."""

    distribution = "sacred"

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        logging.disable(logging.INFO)  # it logs each result in full
        self.experiment = self.made()
        self.experiment.add_config(self.result.effective_config)

        def measure() -> dict[str, object]:
            return self.result.model_dump(mode="json")

        self.experiment.main(measure)
        self.run: Any = None

    def made(self) -> Any:  # noqa: ANN401 - it is untyped
        """Make the experiment and its observer."""
        experiment = Experiment("sweep")
        experiment.observers.append(FileStorageObserver(self.directory))
        return experiment

    def save(self, count: int) -> None:
        """Run the experiment again and again."""
        for _ in range(count):
            self.run = self.experiment.run()

    def last(self) -> object:
        """Read the result of the last run."""
        path = self.directory / str(self.run._id) / "run.json"  # noqa: SLF001 - it has no other name
        return json.loads(path.read_bytes())["result"]


class Runs(DefaultRuns):
    """Runs without the default data about host, sources and output, which takes time to gather."""

    def made(self) -> Any:  # noqa: ANN401
        """Make the experiment with the settings that its documentation has."""
        SETTINGS.CAPTURE_MODE = "no"
        SETTINGS.DISCOVER_DEPENDENCIES = "none"
        SETTINGS.DISCOVER_SOURCES = "none"
        SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False
        SETTINGS.HOST_INFO.INCLUDE_CPU_INFO = False
        experiment = Experiment("sweep", interactive=True, save_git_info=False)
        experiment.observers.append(FileStorageObserver(self.directory, copy_sources=False))
        return experiment
