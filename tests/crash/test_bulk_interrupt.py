"""Bulk saves that are killed or interrupted, on disks that work, are slow, or hang."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.processes import HANG, wait_until
from support.running import RunningSaver, assert_no_leftovers, load_numbers, wait_for_delay
from support.saver import Outcome

Bulk = Callable[..., Outcome]

STAMP = "2026-02-18T14-30"
SOON = 10.0
"""Seconds for an interrupt: 0.2 on an idle machine. Hanging disks and endless jobs take minutes."""


def slow(milliseconds: int) -> tuple[str, ...]:
    """Return the faults that make each flush take so long."""
    return tuple(f"{call}:delay_exit={1000 * milliseconds}" for call in ("fsync", "syncfs"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningSaver]]:
    """Start processes that save; each call named in `hang` takes a minute."""
    started: list[RunningSaver] = []

    def start(root: Path, *, hang: str = "", only: Path | None = None, **job: Any) -> RunningSaver:
        command: list[str] = []
        if hang:
            command = ["strace", "-f", "-qq", "-o", str(tmp_path / "log"), "-e", f"trace={hang}"]
            for name in hang.split(","):
                command += ["-e", f"inject={name}:delay_enter=60000000"]
            command += [] if only is None else ["-P", str(only)]
        started.append(RunningSaver(root, job, tuple(command)))
        return started[-1]

    yield start
    for running in started:
        running.close()


@pytest.mark.parametrize(
    ("flush_method", "durable"), [("fsync", True), ("syncfs", True), (None, True), (None, False)]
)
def test_kill_writer_keeps_every_resolved_future(
    start: Callable[..., RunningSaver],
    result: ExperimentResult,
    tmp_path: Path,
    flush_method: str | None,
    *,
    durable: bool,
) -> None:
    root = tmp_path / "out"
    running = start(root, how="writer", count=5000, flush_method=flush_method, durable=durable)
    running.wait_for(700)
    running.signal(signal.SIGKILL)
    assert running.finish() == -signal.SIGKILL
    assert running.reply == {}
    acknowledged, there = running.acknowledged, load_numbers(root)
    assert len(set(acknowledged)) == len(acknowledged) >= 700
    assert set(acknowledged) <= set(there)
    assert len(set(there.values())) == len(there) < 5000
    # Leftovers do not disturb the next save.
    more = ResultStore(root).save_many([result] * 20)
    assert not {str(path) for path in more} & set(there)
    assert len(list(root.glob("*/result.json"))) == len(there) + 20


@pytest.mark.parametrize(
    ("flush_method", "durable"), [("fsync", True), ("syncfs", True), (None, True), (None, False)]
)
def test_interrupt_save_many_stops_soon_and_reports_results(
    start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str | None, *, durable: bool
) -> None:
    root = tmp_path / "out"
    running = start(root, count=1_000_000, flush_method=flush_method, durable=durable)
    running.wait_for(300)
    done = running.count
    sent = running.signal(signal.SIGINT)
    running.finish()
    reply = running.reply
    assert reply["kind"] == "SaveInterrupted", reply
    assert reply["over"] - sent < SOON
    assert reply["failed"] == {}
    assert len(reply["saved"]) >= done
    there = load_numbers(root)
    assert {path: int(n) for n, path in reply["saved"].items()}.items() <= there.items()
    assert there == {path: int(n) for n, path in (reply["saved"] | reply["unconfirmed"]).items()}
    if not reply["unconfirmed"]:
        assert_no_leftovers(root)


def test_interrupt_waiting_generator_stops_soon(start: Callable[..., RunningSaver], tmp_path: Path) -> None:
    running = start(tmp_path, count=100, pause_at=10)
    wait_until(lambda: len(load_numbers(tmp_path)) == 10)
    sent = running.signal(signal.SIGINT)
    running.finish()
    assert running.reply["kind"] == "SaveInterrupted"
    assert running.reply["over"] - sent < SOON
    assert sorted(running.reply["saved"], key=int) == [f"{n}" for n in range(10)]
    assert_no_leftovers(tmp_path)


# With syncfs, the second barrier of a batch is the first barrier of the next.
@pytest.mark.parametrize(
    ("flush_method", "where"), [("fsync", "first"), ("fsync", "second"), ("syncfs", "first")]
)
def test_interrupt_hanging_disk_stops_soon_and_reports_unconfirmed(
    traced: object, start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str, where: str
) -> None:
    assert traced
    root = tmp_path / "out"
    root.mkdir()
    hang = f"{flush_method},fsync"
    running = start(
        root, count=3000, flush_method=flush_method, hang=hang, only=root if where == "second" else None
    )
    pattern = "*/result.json" if where == "second" else "*/.result.json.tmp"
    wait_until(lambda: list(root.glob(pattern)))
    wait_for_delay(running.pid)
    sent = running.signal(signal.SIGINT)
    running.reply = running.read()
    reply = running.reply
    assert reply["kind"] == "SaveInterrupted", reply
    assert reply["over"] - sent < SOON
    assert (reply["saved"], reply["failed"]) == ({}, {})
    assert bool(reply["unconfirmed"]) == (where == "second")
    running.close()
    assert load_numbers(root) == {path: int(n) for n, path in reply["unconfirmed"].items()}


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
import bulk_worker

# The shell that starts the tests in the background may ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

time.strftime = lambda *_: {STAMP!r}

def saving():
    bulk_worker.ResultStore({str(root)!r}).save(bulk_worker.result(9, 10), durable=False)
    yield from (bulk_worker.result(n, 10) for n in range(3))
    time.sleep(0.1)
    signal.raise_signal(signal.SIGINT)

try:
    bulk_worker.ResultStore({str(root)!r}).save_many(saving(), durable=False)
except bulk_worker.SaveInterrupted as error:
    # The calls that the disk delays are over when their threads are.
    bulk_worker.wait_until(lambda: bulk_worker.thread_count() == 1)
    print(*map(str, [*error.saved.values(), *error.unconfirmed.values()]), sep="\\n")
""")
    command = ["strace", "-f", "-qq", "-o", str(tmp_path / "log"), "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:delay_enter=700000", "-P", str(root)]
    for n in range(1, 4):
        # Only the three results of the bulk save; a single save precedes them.
        command += ["-P", str(next_name(root, n)), "-P", str(next_name(root, n) / ".result.json.tmp")]
    run = subprocess.run(
        [*command, sys.executable, str(script)], capture_output=True, text=True, timeout=HANG, check=False
    )
    errors = [line for line in run.stderr.splitlines() if not line.startswith("strace:")]
    assert (run.returncode, errors) == (0, [])
    assert "DELAYED" in (tmp_path / "log").read_text()
    reported = run.stdout.split()
    there = {path for path, number in load_numbers(root).items() if number != 9}
    assert there <= set(reported)


def next_name(root: Path, n: int) -> Path:
    return root / f"org-model_pytorch_{STAMP}_{n}"


@pytest.mark.parametrize("flush_method", ["fsync", "syncfs"])
def test_interrupt_writer_block_waits_for_submitted_results(
    start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str
) -> None:
    root = tmp_path / "out"
    running = start(root, how="writer", count=1_000_000, flush_method=flush_method)
    running.wait_for(300)
    running.signal(signal.SIGINT)
    running.finish()
    reply = running.reply
    assert reply["kind"] == "KeyboardInterrupt", reply
    assert reply["done"] == reply["submitted"] == len(reply["saved"])
    there = load_numbers(root)
    assert {path: int(n) for n, path in reply["saved"].items()}.items() <= there.items()
    # The result whose submit was interrupted may exist.
    assert len(there) - len(reply["saved"]) in (0, 1)
    assert_no_leftovers(root)


@pytest.mark.parametrize("flush_method", ["fsync", "syncfs"])
def test_submit_slow_disk_waits_by_count(bulk: Bulk, tmp_path: Path, flush_method: str) -> None:
    outcome = bulk(
        tmp_path,
        how="writer",
        flush_method=flush_method,
        count=60,
        max_pending=8,
        count_pending=True,
        inject=slow(20),
    )
    assert outcome.kind == "saved", outcome
    assert len(outcome.reply["saved"]) == 60
    assert 1 <= outcome.reply["most_pending"] <= 8


@pytest.mark.parametrize("how", ["save_many", "writer"])
def test_bulk_save_slow_disk_waits_by_bytes(bulk: Bulk, tmp_path: Path, how: str) -> None:
    size, count, at_once = 1_000_000, 100, 4
    outcome = bulk(
        tmp_path,
        how=how,
        count=count,
        padding=size,
        max_bytes=at_once * (size + 2000),
        count_pending=True,
        inject=slow(30),
    )
    assert outcome.kind == "saved", outcome
    assert len(outcome.reply["saved"]) == count
    if how == "writer":
        assert 1 <= outcome.reply["most_unwritten"] <= at_once
    # The process grows by about 20 MB however many results there are; that all are held would be 100.
    assert outcome.reply["grown"] < size * count / 2
