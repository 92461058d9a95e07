"""A sweep on eight processes that is killed again and again loses no run, and repeats none."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from support.processes import HANG, export_support

from .sweep_worker import configurations

LONG = os.environ.get("LLEM_SWEEP") == "long"
CONFIGURATIONS, REPEATS, KILLS = (400, 5, 10) if LONG else (50, 3, 4)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def start(*arguments: str | Path | int) -> subprocess.Popen[bytes]:
    """Start the sweep in a group of its own."""
    script = Path(__file__).with_name("sweep_worker.py")
    command = [sys.executable, "-W", "ignore", str(script), *map(str, arguments)]
    return subprocess.Popen(command, start_new_session=True)


def entries(root: Path) -> int:
    """Return the number of directories in the store, with those of interrupted saves."""
    return sum(1 for _ in root.iterdir()) if root.exists() else 0


def test_sweep_that_is_killed_has_each_run_once(tmp_path: Path) -> None:
    export_support()
    root, notes = tmp_path / "sweep", tmp_path / "notes"
    notes.mkdir()
    store, configs, total = ResultStore(root), configurations(CONFIGURATIONS), CONFIGURATIONS * REPEATS
    arguments = (root, notes, CONFIGURATIONS, REPEATS)
    chance = random.Random()
    for threshold in sorted(chance.sample(range(total), KILLS)):
        sweep = start(*arguments)
        until = time.monotonic() + HANG
        while entries(root) < threshold and sweep.poll() is None:
            assert time.monotonic() < until
            time.sleep(chance.random() / 500)
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()
    # A shard that began after others had saved leaves runs to the next start.
    for _ in range(20):
        if not store.missing(configs, REPEATS):
            break
        assert start(*arguments).wait(2 * HANG) == 0

    failures = [run for _, run in store.failures()]
    results = store.load_all()
    ran = [run.effective_config for run in failures] + [result.effective_config for result in results]
    done = Counter(config["batch_size"] for config in ran)
    assert done == {config["batch_size"]: REPEATS for config in configs}
    ids = Counter([run.message for run in failures] + [result.experiment_id for result in results])
    assert max(ids.values()) == 1
    assert failures
    acknowledged = {line for file in notes.iterdir() for line in file.read_text().split()}
    assert acknowledged <= ids.keys()
    store.clean(older_than="0s", dry_run=False)
    checked = store.verify()
    assert (checked.ok, checked.incomplete) == (True, [])
    assert checked.complete + checked.failures == total
