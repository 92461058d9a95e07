"""A sweep on eight processes, which a test kills: `sweep_worker.py ROOT NOTES CONFIGURATIONS REPEATS`."""

from __future__ import annotations

import os
import random
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, ResultStore
from support.results import make_result

PROCESSES = 8
FAILING = 0.15


class RunFailedError(Exception):
    """A failure of a run; its text is the id of the run."""


def configurations(count: int) -> list[dict[str, Any]]:
    """Return the configurations of the sweep."""
    return [{"model": "gpt2", "backend": "vllm", "batch_size": size} for size in range(count)]


def work(root: str, notes: str, count: int, repeats: int, number: int) -> None:
    """Run a shard of what is missing, and note the id of each run that is acknowledged."""
    store, chance = ResultStore(root), random.Random(os.urandom(8))
    acknowledged = os.open(Path(notes) / f"{number}-{uuid.uuid4()}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for config in store.missing(configurations(count), repeats, (number, PROCESSES)):
        run_id = uuid.uuid4().hex
        with suppress(RunFailedError), store.measuring(config) as run:
            if chance.random() < FAILING:
                raise RunFailedError(run_id)
            fields = make_result().model_dump(
                exclude={"measurement_config_hash", "effective_config", "backend"}
            )
            run.result = ExperimentResult(**fields | {"experiment_id": run_id}, effective_config=config)
        os.write(acknowledged, f"{run_id}\n".encode())


def main() -> int:
    """Fork the processes, and wait for them."""
    root, notes, count, repeats = sys.argv[1:]
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            try:
                work(root, notes, int(count), int(repeats), number)
            except BaseException:  # noqa: BLE001 - a child must not go on as its parent
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    return max(os.waitpid(child, 0)[1] for child in children)


if __name__ == "__main__":
    sys.exit(main() != 0)
