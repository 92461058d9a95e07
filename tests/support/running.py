"""Processes that save many results until a test interrupts or kills them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult

from .processes import HANG, wait_until
from .saver import SCRIPTS

SIGNAL_RACE = re.compile(
    r"Exception ignored in[^\n]*\n(?:Traceback[^\n]*\n)?(?: [^\n]*\n)*"
    r"OSError: Signal \d+ ignored due to race condition\n"
)
"""CPython's message about a signal during its finalisation, which is not an error of the store."""


class RunningSaver:
    """A process that saves, the results that it acknowledges, and its final reply."""

    def __init__(self, root: Path, job: dict[str, Any], tracer: tuple[str, ...] = ()) -> None:
        job = {"root": str(root), "acks": True, "pid": True, "padding": 500, **job}
        self.process = subprocess.Popen(
            [*tracer, sys.executable, str(SCRIPTS / "bulk_worker.py"), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if tracer else subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self._lines = iter(self.process.stdout)
        self.pid = int(self.read())
        self.acknowledged: list[Any] = []
        self.reply: dict[str, Any] = {}

    def read(self) -> Any:
        """Return the next line."""
        return json.loads(next(self._lines))

    @property
    def count(self) -> int:
        """The number of acknowledged results: `save_many` reports it, a writer reports each path."""
        last = self.acknowledged[-1] if self.acknowledged else 0
        return last if isinstance(last, int) else len(self.acknowledged)

    def wait_for(self, count: int) -> None:
        """Wait until the process has acknowledged so many results."""
        while self.count < count:
            self.acknowledged.append(self.read())

    def signal(self, which: signal.Signals) -> float:
        """Send a signal, and return the time."""
        os.kill(self.pid, which)
        return time.monotonic()

    def close_input(self) -> None:
        """Let a job with `until_input` come to its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def finish(self) -> int:
        """Wait for the end of the process, and return its status; it must have printed no error."""
        lines = [json.loads(line) for line in self._lines if line.endswith("\n")]
        if lines and isinstance(lines[-1], dict):
            self.reply = lines.pop()
        self.acknowledged += lines
        status = self.process.wait(HANG)
        if self.process.stderr is not None:
            assert SIGNAL_RACE.sub("", self.process.stderr.read()) == ""
        return status

    def close(self) -> None:
        """Kill the process, and its tracer."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait(HANG)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def load_numbers(root: Path) -> dict[str, int]:
    """Return the numbers of the results below a root, by path; each is complete, and exists once."""
    found = {
        str(path): int(ExperimentResult.from_json(path, missing_sidecar="error").experiment_id)
        for path in root.glob("*/result.json")
    }
    assert len(set(found.values())) == len(found)
    return found


def assert_no_leftovers(root: Path) -> None:
    """Check that the root holds complete results and nothing else."""
    there = set(root.rglob("*"))
    assert there == {file for path in root.glob("*/result.json") for file in (path.parent, path)}


def wait_for_delay(pid: int) -> None:
    """Wait until strace holds a thread of a process in a delayed call."""
    wait_until(lambda: any(_is_held(task) for task in Path(f"/proc/{pid}/task").iterdir()))


def _is_held(task: Path) -> bool:
    before = _stop(task)
    time.sleep(0.05)
    return before is not None and before == _stop(task)


def _stop(task: Path) -> str | None:
    """Return the count of context switches of a thread in a tracing stop; None for any other thread."""
    try:
        status = (task / "status").read_text()
    except OSError:
        return None
    switches = "".join(line for line in status.splitlines() if "ctxt_switches" in line)
    return switches if "(tracing stop)" in status else None
