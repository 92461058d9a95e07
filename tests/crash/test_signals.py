"""Signals in the middle of a batch: those that end a process, those that raise, and those that do not."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals are sent to threads by /proc")

WAYS = ["save_many", "writer", "threads"]
ENGINES = ["fsync", "syncfs"]
WITHOUT_END = 1_000_000
SOME = 300
HANG = 120
ROUNDS = 50
"""Rounds of signals that reach more than the main thread."""
RACE = re.compile(
    r"Exception ignored in[^\n]*\n(?:Traceback[^\n]*\n)?(?: [^\n]*\n)*"
    r"OSError: Signal \d+ ignored due to race condition\n"
)
"""A message of CPython about a signal during its finalisation, not an error of the store."""


class Running:
    """A process that saves, what it tells while it does, and what it says in the end."""

    def __init__(self, root: Path, job: dict[str, Any]) -> None:
        script = str(Path(__file__).with_name("bulk_saver.py"))
        job = {"root": str(root), "acks": True, "pid": True, "padding": 500, **job}
        self.process = subprocess.Popen(
            [sys.executable, script, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self._lines = iter(self.process.stdout)
        self.pid = int(json.loads(next(self._lines)))
        self.told: list[Any] = []
        self.said: dict[str, Any] = {}

    def listen(self, count: int) -> None:
        """Wait until so many results are acknowledged."""
        while (self.told[-1] if self.told and isinstance(self.told[-1], int) else len(self.told)) < count:
            self.told.append(json.loads(next(self._lines)))

    def let_end(self) -> None:
        """Tell a process with `until_input` that it may stop."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> int:
        """Wait for its end; return its status."""
        lines = [json.loads(line) for line in self._lines if line.endswith("\n")]
        if lines and isinstance(lines[-1], dict):
            self.said = lines.pop()
        self.told += lines
        status = self.process.wait(HANG)
        assert self.process.stderr is not None
        assert RACE.sub("", self.process.stderr.read()) == ""
        return status

    def close(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        self.process.wait(HANG)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start a process that saves; see `bulk_saver.py` for the options."""
    started: list[Running] = []

    def start(root: Path, **job: Any) -> Running:
        started.append(Running(root, job))
        return started[-1]

    yield start
    for running in started:
        running.close()


def records(root: Path) -> dict[str, int]:
    """The numbers of the results of a directory, by their paths; all are whole, and each is there once."""
    found = {
        str(path): int(ExperimentResult.from_json(path, missing_sidecar="error").experiment_id)
        for path in root.glob("*/result.json")
    }
    assert len(set(found.values())) == len(found)
    return found


def assert_no_half(root: Path) -> None:
    """Nothing is there but whole results."""
    there = set(root.rglob("*"))
    assert there == {file for path in root.glob("*/result.json") for file in (path.parent, path)}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("engine", ENGINES)
def test_terminate_process_keeps_acknowledged_results(
    start: Callable[..., Running],
    result: ExperimentResult,
    tmp_path: Path,
    engine: str,
    how: str,
) -> None:
    root = tmp_path / "out"
    running = start(root, how=how, engine=engine, count=WITHOUT_END)
    running.listen(SOME)
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == -signal.SIGTERM
    there = records(root)
    if how == "save_many":
        assert running.told == sorted(running.told)
        assert len(there) >= running.told[-1] >= SOME
    else:
        assert len(running.told) >= SOME
        assert set(running.told) <= set(there)
    # What is left is in nobody's way.
    more = ResultStore(root).save_many([result.model_copy(update={"experiment_id": "-1"})] * 2)
    assert not {str(path) for path in more} & set(there)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["writer", "threads"])
def test_exit_from_handler_in_writer_waits_for_submitted_results(
    start: Callable[..., Running], tmp_path: Path, engine: str, how: str
) -> None:
    root = tmp_path / "out"
    running = start(root, how=how, engine=engine, count=WITHOUT_END, on_term=7)
    running.listen(SOME)
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == 0
    said = running.said
    assert (said["kind"], said["message"]) == ("SystemExit", "7")
    # One whose submit was interrupted is there or not, and nobody has its future; only the main thread is
    # interrupted.
    assert said["done"] == said["submitted"] == len(said["saved"]) >= SOME - 1
    there = set(records(root))
    assert set(said["saved"].values()) <= there
    assert len(there) - len(said["saved"]) in ((0, 1) if how == "writer" else (0,))
    assert_no_half(root)


@pytest.mark.parametrize("engine", ENGINES)
def test_exit_from_handler_in_save_many_waits_for_given_results(
    start: Callable[..., Running], tmp_path: Path, engine: str
) -> None:
    root = tmp_path / "out"
    running = start(root, engine=engine, count=WITHOUT_END, on_term=7)
    running.listen(SOME)
    os.kill(running.pid, signal.SIGTERM)
    assert running.end() == 0
    assert (running.said["kind"], running.said["message"]) == ("SystemExit", "7")
    there = sorted(records(root).values())
    assert len(there) >= running.told[-1] >= SOME
    assert there == list(range(len(there)))
    assert_no_half(root)


@pytest.mark.parametrize("engine", ENGINES)
def test_interrupt_while_threads_submit_waits_for_submitted_results(
    start: Callable[..., Running], tmp_path: Path, engine: str
) -> None:
    root = tmp_path / "out"
    running = start(root, how="threads", engine=engine, count=WITHOUT_END)
    running.listen(SOME)
    os.kill(running.pid, signal.SIGINT)
    assert running.end() == 0
    said = running.said
    assert said["kind"] == "KeyboardInterrupt", said
    assert said["done"] == said["submitted"] == len(said["saved"]) >= SOME
    assert set(said["saved"].values()) == set(records(root)) == set(running.told)
    assert_no_half(root)


def signal_every_thread(pid: int, which: signal.Signals) -> int:
    """Send a signal to each thread of a process, its engine's too; return to how many."""
    tasks = [int(task) for task in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 - names are all that is wanted
    return sum(ctypes.CDLL(None).tgkill(pid, task, which) == 0 for task in tasks)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("engine", "durable"), [("fsync", True), ("syncfs", True), (None, False)])
def test_signal_every_thread_loses_no_result(
    start: Callable[..., Running], tmp_path: Path, engine: str | None, how: str, *, durable: bool
) -> None:
    root = tmp_path / "out"
    running = start(root, how=how, engine=engine, count=200, durable=durable, acks=False, until_input=True)
    rounds = 0
    end = time.monotonic() + HANG
    while running.process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            # The store has threads of its own; it saves until enough signals have reached them.
            rounds += signal_every_thread(running.pid, signal.SIGUSR1) > 1
        if rounds == ROUNDS:
            running.let_end()
        assert time.monotonic() < end, f"{rounds} of {ROUNDS} rounds reached a thread of the store"
    assert running.end() == 0
    assert rounds >= ROUNDS
    assert running.said["kind"] == "saved", running.said
    assert running.said["failed"] == {}
    there = records(root)
    assert set(there) == set(running.said["saved"].values())
    assert set(there.values()) >= set(range(200))
    if how != "threads":  # each of the threads stops at a number of its own
        assert sorted(there.values()) == list(range(len(there)))
    assert_no_half(root)
