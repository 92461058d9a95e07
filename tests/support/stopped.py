"""Savers and cleaners that stop at a system call, while a test does something else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from llenergymeasure import ExperimentResult, ResultStore

from .processes import HANG
from .saver import Outcome, Saver
from .tracing import Call

CLEAN_ONCE = """
import sys
from datetime import timedelta
from llenergymeasure import ResultStore
ResultStore(sys.argv[1]).clean(older_than=timedelta(0), dry_run=False)
"""


def clean_now(root: Path) -> None:
    """Remove leftovers of any age."""
    ResultStore(root).clean(older_than=timedelta(0), dry_run=False)


def save_stopped(
    saver: Saver,
    result: ExperimentResult,
    root: Path,
    source: Path | None,
    call: Call,
    meanwhile: Callable[[Path], object],
) -> Outcome:
    """Save in a process that stops at a call, do something meanwhile, and continue the save.

    An undisturbed save has shown the number of the call.
    """
    done: list[Outcome] = []
    injection = f"{call.name}:signal=SIGSTOP:when={call.nth}"
    thread = threading.Thread(
        target=lambda: done.append(saver.save(result, root, source=source, inject=(injection,)))
    )
    before, log = _children(saver), saver.next_log
    thread.start()
    child = _wait_for_stop(saver, log, before, thread)
    if child is not None:
        meanwhile(root)
        os.kill(child, signal.SIGCONT)
    thread.join(HANG)
    return done[0]


def _children(saver: Saver) -> set[int]:
    pid = saver.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _wait_for_stop(saver: Saver, log: Path, before: set[int], thread: threading.Thread) -> int | None:
    """Wait until the signal, not the tracer, stops the forked process; return None if the save ends first."""
    while thread.is_alive():
        for child in _children(saver) - before:
            try:
                status = Path(f"/proc/{child}/status").read_text()
            except OSError:
                continue
            state = next(line for line in status.splitlines() if line.startswith("State:"))
            if "(stopped)" in state:
                return child
            # strace holds a group-stopped process in a tracing stop.
            tracer = next(line for line in status.splitlines() if line.startswith("TracerPid:"))
            if "(tracing stop)" in state and tracer.split()[1] != "0" and _is_group_stopped(log):
                return child
        thread.join(0.01)
    return None


def _is_group_stopped(log: Path) -> bool:
    return log.exists() and "--- stopped by SIGSTOP ---" in log.read_text()


def clean_traced(root: Path, log: Path, inject: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a clean in its own process, with faults in the syntax of strace's `--inject`."""
    calls = {name for fault in inject for name in fault.partition(":")[0].split(",")}
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(sorted(calls))}"]
    for fault in inject:
        command += ["-e", f"inject={fault}"]
    return subprocess.Popen(
        [*command, sys.executable, "-c", CLEAN_ONCE, str(root)], stderr=subprocess.DEVNULL
    )


class StoppedCleaner:
    """A cleaner in its own process that stops at a system call, with further faults for strace to inject."""

    def __init__(self, root: Path, log: Path, call: str, nth: int, inject: tuple[str, ...] = ()) -> None:
        self._log = log
        self._tracer = clean_traced(root, log, (*inject, f"{call}:signal=SIGSTOP:when={nth}"))
        while self._tracer.poll() is None and not self.is_stopped:
            time.sleep(0.01)

    @property
    def is_stopped(self) -> bool:
        """Return whether the cleaner has reached the call."""
        return _is_group_stopped(self._log)

    def finish(self) -> None:
        """Let the cleaner go on to its end."""
        self._signal(signal.SIGCONT)
        assert self._tracer.wait(HANG) == 0

    def kill(self) -> None:
        """Kill the cleaner."""
        self._signal(signal.SIGKILL)
        self._tracer.wait(HANG)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._tracer.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), number)
