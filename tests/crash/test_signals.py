"""Signals during a bulk save: fatal ones, those whose handler raises, and those whose handler returns."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.processes import HANG
from support.running import RunningSaver, assert_no_leftovers, load_numbers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals are sent to threads by /proc")

WAYS = ["save_many", "writer", "threads"]
FLUSH_METHODS = ["fsync", "syncfs"]
ENDLESS = 1_000_000
SOME = 300
"""Results that are acknowledged before the signal."""
ROUNDS = 50
"""Rounds of signals that reach more than the main thread; the process saves until then."""


@pytest.fixture
def start() -> Iterator[Callable[..., RunningSaver]]:
    """Start processes that save; see `bulk_worker.py` for the options."""
    started: list[RunningSaver] = []

    def start(root: Path, **job: Any) -> RunningSaver:
        started.append(RunningSaver(root, job))
        return started[-1]

    yield start
    for running in started:
        running.close()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_terminate_process_keeps_acknowledged_results(
    start: Callable[..., RunningSaver],
    result: ExperimentResult,
    tmp_path: Path,
    flush_method: str,
    how: str,
) -> None:
    root = tmp_path / "out"
    running = start(root, how=how, flush_method=flush_method, count=ENDLESS)
    running.wait_for(SOME)
    running.signal(signal.SIGTERM)
    assert running.finish() == -signal.SIGTERM
    there = load_numbers(root)
    if how == "save_many":
        assert running.acknowledged == sorted(running.acknowledged)
        assert len(there) >= running.acknowledged[-1] >= SOME
    else:
        assert len(running.acknowledged) >= SOME
        assert set(running.acknowledged) <= set(there)
    # Leftovers do not disturb the next save.
    more = ResultStore(root).save_many([result.model_copy(update={"experiment_id": "-1"})] * 2)
    assert not {str(path) for path in more} & set(there)


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize("how", ["writer", "threads"])
def test_exit_from_handler_in_writer_waits_for_submitted_results(
    start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str, how: str
) -> None:
    root = tmp_path / "out"
    running = start(root, how=how, flush_method=flush_method, count=ENDLESS, on_term=7)
    running.wait_for(SOME)
    running.signal(signal.SIGTERM)
    assert running.finish() == 0
    reply = running.reply
    assert (reply["kind"], reply["message"]) == ("SystemExit", "7")
    # The handler may interrupt one submit of the main thread, whose result has no future.
    assert reply["done"] == reply["submitted"] == len(reply["saved"]) >= SOME - 1
    there = set(load_numbers(root))
    assert set(reply["saved"].values()) <= there
    assert len(there) - len(reply["saved"]) in ((0, 1) if how == "writer" else (0,))
    assert_no_leftovers(root)


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_exit_from_handler_in_save_many_waits_for_given_results(
    start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str
) -> None:
    root = tmp_path / "out"
    running = start(root, flush_method=flush_method, count=ENDLESS, on_term=7)
    running.wait_for(SOME)
    running.signal(signal.SIGTERM)
    assert running.finish() == 0
    assert (running.reply["kind"], running.reply["message"]) == ("SystemExit", "7")
    there = sorted(load_numbers(root).values())
    assert len(there) >= running.acknowledged[-1] >= SOME
    assert there == list(range(len(there)))
    assert_no_leftovers(root)


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_interrupt_while_threads_submit_waits_for_submitted_results(
    start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str
) -> None:
    root = tmp_path / "out"
    running = start(root, how="threads", flush_method=flush_method, count=ENDLESS)
    running.wait_for(SOME)
    running.signal(signal.SIGINT)
    assert running.finish() == 0
    reply = running.reply
    assert reply["kind"] == "KeyboardInterrupt", reply
    assert reply["done"] == reply["submitted"] == len(reply["saved"]) >= SOME
    assert set(reply["saved"].values()) == set(load_numbers(root)) == set(running.acknowledged)
    assert_no_leftovers(root)


def signal_every_thread(pid: int, which: signal.Signals) -> int:
    """Send a signal to each thread of a process, and return the number of threads."""
    tasks = [int(task) for task in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 - names suffice
    return sum(ctypes.CDLL(None).tgkill(pid, task, which) == 0 for task in tasks)


def signal_until_exit(running: RunningSaver) -> int:
    """Send signals until a process ends; return the number of rounds that reached threads of the store."""
    rounds = 0
    end = time.monotonic() + HANG
    while running.process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            rounds += signal_every_thread(running.pid, signal.SIGUSR1) > 1
        if rounds == ROUNDS:
            running.close_input()
        if time.monotonic() > end:
            running.process.kill()
    return rounds


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("flush_method", "durable"), [("fsync", True), ("syncfs", True), (None, False)])
def test_signal_every_thread_loses_no_result(
    start: Callable[..., RunningSaver], tmp_path: Path, flush_method: str | None, how: str, *, durable: bool
) -> None:
    root = tmp_path / "out"
    running = start(
        root, how=how, flush_method=flush_method, count=200, durable=durable, acks=False, until_input=True
    )
    with ThreadPoolExecutor(1) as pool:
        # The reply may be larger than a pipe, so that it is read while signals arrive.
        rounds = pool.submit(signal_until_exit, running)
        assert running.finish() == 0
    assert rounds.result() >= ROUNDS
    assert running.reply["kind"] == "saved", running.reply
    assert running.reply["failed"] == {}
    there = load_numbers(root)
    assert set(there) == set(running.reply["saved"].values())
    assert set(there.values()) >= set(range(200))
    if how != "threads":  # each of the threads stops at a number of its own
        assert sorted(there.values()) == list(range(len(there)))
    assert_no_leftovers(root)
