"""Processes and threads that save results and failures of one name at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from support.processes import fork
from support.results import make_result

PROCESSES, THREADS, SAVES = 4, 3, 8
CONFIG = {"model": "gpt2", "backend": "vllm"}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def test_save_results_and_failures_at_once_keeps_each(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")

    def save(number: int) -> None:
        for turn in range(SAVES):
            if (number + turn) % 2:
                store.save_failure(CONFIG, ValueError(f"{number}-{turn}"), durable=False)
            else:
                store.save(
                    make_result(effective_config=CONFIG, experiment_id=f"{number}-{turn}"), durable=False
                )

    def work(process: int) -> None:
        threads = [threading.Thread(target=save, args=(process * THREADS + one,)) for one in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = [fork(work, process) for process in range(PROCESSES)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * PROCESSES

    saved = [run.message for _, run in store.failures()]
    saved += [result.experiment_id for result in store.load_all()]
    assert sorted(saved) == sorted(f"{n}-{turn}" for n in range(PROCESSES * THREADS) for turn in range(SAVES))
    names = [path.name for path in store.root.iterdir()]
    assert len(names) == PROCESSES * THREADS * SAVES
    assert sum("_failed" in name for name in names) == len(names) // 2
    assert store.verify().failures == len(names) // 2
