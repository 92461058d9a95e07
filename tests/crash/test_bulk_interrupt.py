"""Many saves that are killed or interrupted, and a disk that is slow or hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore

if TYPE_CHECKING:
    Bulk = Callable[..., Any]

SOON = 2.0
"""Seconds: ten times what an interrupt may take."""
HANG = 30


class Running:
    """A process that saves, and what it says."""

    def __init__(self, root: Path, command: list[str], job: dict[str, Any]) -> None:
        script = str(Path(__file__).with_name("bulk_saver.py"))
        job = {"root": str(root), "acks": True, "pid": True, **job}
        self._process = subprocess.Popen(
            [*command, sys.executable, script, json.dumps(job)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._lines = iter(self._process.stdout)
        self.pid = self.read()
        self.said: dict[str, Any] = {}

    def read(self) -> Any:
        return json.loads(next(self._lines))

    def signal(self, which: signal.Signals) -> float:
        os.kill(self.pid, which)
        return time.monotonic()

    def rest(self) -> list[Any]:
        """Everything that it still says, up to its end."""
        lines = [json.loads(line) for line in self._lines if line.endswith("\n")]
        self._process.wait(HANG)
        if lines and isinstance(lines[-1], dict):
            self.said = lines.pop()
        return lines

    def end(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait(HANG)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a process that saves into a directory; with `hang`, these calls take a minute."""
    started: list[Running] = []

    def start(root: Path, *, hang: str = "", only: Path | None = None, **job: Any) -> Running:
        command: list[str] = []
        if hang:
            command = ["strace", "-f", "-qq", "-o", str(tmp_path / "log"), "-e", f"trace={hang}"]
            for name in hang.split(","):
                command += ["-e", f"inject={name}:delay_enter=60000000"]
            command += [] if only is None else ["-P", str(only)]
        started.append(Running(root, command, job))
        return started[-1]

    yield start
    for running in started:
        running.end()


def records(root: Path) -> dict[str, str]:
    """The ids of the results that are listed, by their paths; all of them are whole."""
    return {
        str(path): ExperimentResult.from_json(path, missing_sidecar="error").experiment_id
        for path in root.glob("*/result.json")
    }


def assert_no_half(root: Path) -> None:
    """Nothing is there but whole results."""
    there = set(root.rglob("*"))
    assert there == {file for path in root.glob("*/result.json") for file in (path.parent, path)}


@pytest.mark.parametrize(
    ("engine", "durable"), [("fsync", True), ("syncfs", True), (None, True), (None, False)]
)
def test_kill_writer_keeps_every_resolved_future(
    start: Callable[..., Running],
    result: ExperimentResult,
    tmp_path: Path,
    engine: str | None,
    *,
    durable: bool,
) -> None:
    root = tmp_path / "out"
    running = start(root, how="writer", count=5000, engine=engine, durable=durable, padding=500)
    acknowledged = [running.read() for _ in range(700)]
    running.signal(signal.SIGKILL)
    acknowledged += running.rest()
    assert running.said == {}
    there = records(root)
    assert len(set(acknowledged)) == len(acknowledged) >= 700
    assert set(acknowledged) <= set(there)
    assert len(set(there.values())) == len(there) < 5000
    # What is left is in nobody's way.
    more = ResultStore(root).save_many([result] * 20)
    assert not {str(path) for path in more} & set(there)
    assert len(records(root)) == len(there) + 20


@pytest.mark.parametrize(
    ("engine", "durable"), [("fsync", True), ("syncfs", True), (None, True), (None, False)]
)
def test_interrupt_save_many_stops_soon_and_reports_results(
    start: Callable[..., Running], tmp_path: Path, engine: str | None, *, durable: bool
) -> None:
    root = tmp_path / "out"
    running = start(root, count=1_000_000, engine=engine, durable=durable, padding=500)
    done = 0
    while done < 300:
        done = running.read()
    sent = running.signal(signal.SIGINT)
    running.rest()
    said = running.said
    assert said["kind"] == "SaveInterrupted", said
    assert said["over"] - sent < SOON
    assert said["failed"] == {}
    assert len(said["saved"]) >= done
    there = records(root)
    assert {path: n for n, path in said["saved"].items()}.items() <= there.items()
    assert there == {path: n for n, path in (said["saved"] | said["unconfirmed"]).items()}
    if not said["unconfirmed"]:
        assert_no_half(root)


def test_interrupt_waiting_generator_stops_soon(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(tmp_path, count=100, pause_at=10)
    while len(records(tmp_path)) < 10:
        time.sleep(0.01)
    sent = running.signal(signal.SIGINT)
    running.rest()
    assert running.said["kind"] == "SaveInterrupted"
    assert running.said["over"] - sent < SOON
    assert sorted(running.said["saved"], key=int) == [f"{n}" for n in range(10)]
    assert_no_half(tmp_path)


# With syncfs, the second barrier of a batch is the same call as the first of the next.
@pytest.mark.parametrize(("engine", "where"), [("fsync", "first"), ("fsync", "second"), ("syncfs", "first")])
def test_interrupt_hanging_disk_stops_soon_and_reports_unconfirmed(
    traced: object, start: Callable[..., Running], tmp_path: Path, engine: str, where: str
) -> None:
    assert traced
    root = tmp_path / "out"
    root.mkdir()
    hang = f"{engine},fsync"
    running = start(root, count=3000, engine=engine, hang=hang, only=root if where == "second" else None)
    pattern = "*/result.json" if where == "second" else "*/.result.json.tmp"
    until = time.monotonic() + HANG
    while not list(root.glob(pattern)):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.2)
    sent = running.signal(signal.SIGINT)
    running.said = running.read()
    said = running.said
    assert said["kind"] == "SaveInterrupted", said
    assert said["over"] - sent < SOON
    assert (said["saved"], said["failed"]) == ({}, {})
    assert bool(said["unconfirmed"]) == (where == "second")
    running.end()
    assert records(root) == {path: n for n, path in said["unconfirmed"].items()}


@pytest.mark.parametrize("call", ["openat", "write", "renameat2"])
def test_interrupt_hanging_disk_not_durable_reports_what_may_appear(
    traced: object, tmp_path: Path, call: str
) -> None:
    assert traced
    root = tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(f"""
import os, signal, sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bulk_saver

# Whoever starts the tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def saving():
    bulk_saver.ResultStore({str(root)!r}).save(bulk_saver.result(9, 10), durable=False)
    yield from (bulk_saver.result(n, 10) for n in range(3))
    time.sleep(0.1)
    signal.raise_signal(signal.SIGINT)

try:
    bulk_saver.ResultStore({str(root)!r}).save_many(saving(), durable=False)
except bulk_saver.SaveInterrupted as error:
    time.sleep(1.5)
    print(*map(str, [*error.saved.values(), *error.unconfirmed.values()]), sep="\\n")
""")
    command = ["strace", "-f", "-qq", "-o", str(tmp_path / "log"), "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:delay_enter=700000", "-P", str(root)]
    for n in range(1, 4):
        # The engine's own three; the one before them is saved by hand.
        command += ["-P", str(next_name(root, n))]
    run = subprocess.run(
        [*command, sys.executable, str(script)], capture_output=True, text=True, timeout=HANG, check=False
    )
    said = [line for line in run.stderr.splitlines() if not line.startswith("strace:")]
    assert (run.returncode, said) == (0, [])
    told = run.stdout.split()
    there = {path for path, number in records(root).items() if number != "9"}
    assert there <= set(told)


def next_name(root: Path, n: int) -> Path:
    return root / f"org-model_pytorch_{time.strftime('%Y-%m-%dT%H-%M')}_{n}"


@pytest.mark.parametrize("engine", ["fsync", "syncfs"])
def test_interrupt_writer_block_waits_for_submitted_results(
    start: Callable[..., Running], tmp_path: Path, engine: str
) -> None:
    root = tmp_path / "out"
    running = start(root, how="writer", count=1_000_000, engine=engine, padding=500)
    for _ in range(300):
        running.read()
    running.signal(signal.SIGINT)
    running.rest()
    said = running.said
    assert said["kind"] == "KeyboardInterrupt", said
    assert said["done"] == said["submitted"] == len(said["saved"])
    there = records(root)
    assert {path: n for n, path in said["saved"].items()}.items() <= there.items()
    # The one whose submit was interrupted is there or not.
    assert len(there) - len(said["saved"]) in (0, 1)
    assert_no_half(root)


@pytest.mark.parametrize("engine", ["fsync", "syncfs"])
def test_submit_slow_disk_waits_by_count(bulk: Bulk, tmp_path: Path, engine: str) -> None:
    inject = ("fsync:delay_exit=20000", "syncfs:delay_exit=20000")
    outcome = bulk(tmp_path, how="writer", engine=engine, count=60, max_pending=8, looks=True, inject=inject)
    assert outcome.kind == "saved", outcome
    assert len(outcome.said["saved"]) == 60
    assert 1 <= outcome.said["most_undone"] <= 8


@pytest.mark.parametrize("how", ["save_many", "writer"])
def test_bulk_save_slow_disk_waits_by_bytes(bulk: Bulk, tmp_path: Path, how: str) -> None:
    inject = ("fsync:delay_exit=30000", "syncfs:delay_exit=30000")
    size, count, at_once = 1_000_000, 40, 4
    outcome = bulk(
        tmp_path,
        how=how,
        count=count,
        padding=size,
        max_bytes=at_once * (size + 2000),
        looks=True,
        inject=inject,
    )
    assert outcome.kind == "saved", outcome
    assert len(outcome.said["saved"]) == count
    if how == "writer":
        assert 1 <= outcome.said["most_unwritten"] <= at_once
    # Less than half of all that was saved, with everything else that the process does.
    assert outcome.said["grown"] < size * count / 2
