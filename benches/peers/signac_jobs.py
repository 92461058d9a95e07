"""signac: one job per result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import signac

from llenergymeasure import ExperimentResult
from peers.session import Session

__all__ = ["Documents", "Files"]


class _Jobs(Session):
    distribution = "signac"

    def __init__(self, directory: Path, record: str) -> None:
        super().__init__(directory, record)
        self.result = ExperimentResult.model_validate_json(record)
        self.project = signac.init_project(str(directory))
        self.job: Any = None

    def state(self, n: int) -> dict[str, object]:
        """Return the state point that identifies a job."""
        return {"experiment_id": self.result.experiment_id, "repetition": n}


class Documents(_Jobs):
    """Results as documents of jobs."""

    def save(self, count: int) -> None:
        """Assign one document after the other."""
        for n in range(count):
            self.job = self.project.open_job(self.state(n))
            self.job.document = self.result.model_dump(mode="json")

    def last(self) -> object:
        """Read the document's file."""
        return json.loads(Path(self.job.fn(self.job.FN_DOCUMENT)).read_bytes())


class Files(_Jobs):
    """Results as files in the directories of jobs."""

    def save(self, count: int) -> None:
        """Write one file after the other."""
        for n in range(count):
            self.job = self.project.open_job(self.state(n)).init()
            with open(self.job.fn("result.json"), "w", encoding="utf-8") as file:  # noqa: PTH123 - as its documentation does
                file.write(self.result.model_dump_json(indent=2))

    def last(self) -> object:
        """Read the file."""
        return json.loads(Path(self.job.fn("result.json")).read_bytes())
