"""A program that ends in its own way while its results are on their way, or has pools of others that save.

Run as a script: what it does, how, and the directory that it saves to. It prints the path of each result that
is acknowledged.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.writer import Writer

PATIENCE = 30
STARTED = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
KEPT: list[Any] = []


def result(name: str) -> ExperimentResult:
    return ExperimentResult(
        experiment_id=name,
        measurement_config_hash="0123456789abcdef",
        measurement_methodology="total",
        total_tokens=1000,
        total_energy_j=12.5,
        total_inference_time_sec=3.25,
        avg_tokens_per_second=307.7,
        avg_energy_per_token_j=0.0125,
        total_flops=0.0,
        start_time=STARTED,
        end_time=STARTED,
        effective_config={"model": "org/Model", "padding": "0123456789" * 100},
    )


def tell(future: Future[Path]) -> None:
    """Print where a result is, in one call: many threads and processes do."""
    if future.exception() is None:
        os.write(1, f"{future.result()}\n".encode())


def submit(writer: Writer, names: list[str]) -> list[Future[Path]]:
    futures = []
    for name in names:
        futures.append(writer.submit(result(name)))
        futures[-1].add_done_callback(tell)
    return futures


def several(name: str, count: int) -> list[str]:
    return [f"{name}-{n}" for n in range(count)]


# Ends.


def end_at_once(root: Path, how: str) -> None:
    """Some are acknowledged, others on their way, and there is no time to say goodbye."""
    writer = ResultStore(root).writer()
    KEPT.append(writer)
    submit(writer, several("first", 50))
    writer.flush()
    submit(writer, several("second", 500))
    if how == "abort":
        os.abort()
    os._exit(5)


def end_under_a_daemon(root: Path, how: str) -> None:
    """A daemon thread submits for as long as it is let."""
    writer = ResultStore(root).writer()
    KEPT.append(writer)
    enough = threading.Event()

    def work() -> None:
        n = 0
        while True:
            try:
                submit(writer, [f"daemon-{n}"])
            except ValueError as error:
                if str(error) != "the writer is closed":
                    os.write(2, f"{error}\n".encode())
                return
            n += 1
            if n == 200:
                enough.set()

    threading.Thread(target=work, daemon=True).start()
    assert enough.wait(PATIENCE)
    if how == "sys.exit":
        sys.exit(3)
    if how == "error":
        raise ZeroDivisionError("mine")


def end_under_a_daemon_that_saves(root: Path, how: str) -> None:
    """A daemon thread is in `save_many`, or in one save after the other."""
    store = ResultStore(root)
    enough = threading.Event()
    # Made before: in a validator, Python ends a daemon thread through pydantic's own frames of Rust.
    made = result("daemon")

    def endless() -> Any:
        n = 0
        while True:
            yield made.model_copy(update={"experiment_id": f"daemon-{n}"})
            n += 1
            if n == 200:
                enough.set()

    def work() -> None:
        if how == "save_many":
            store.save_many(endless())
        for each in endless():
            os.write(1, f"{store.save(each)}\n".encode())

    threading.Thread(target=work, daemon=True).start()
    assert enough.wait(PATIENCE)


# Forks.


def fork_in_a_thread(root: Path, how: str) -> None:
    """Another thread forks while this one's engine is busy; each child saves in its own ways and ends."""
    end, busy = how.split(" beside ")
    result("first").model_dump_json()
    # Pydantic's own locks: a fork while another thread serialises can leave one of them locked in the child.
    pydantic = threading.Lock()
    store = ResultStore(root)
    over = threading.Event()
    states: list[int] = []

    def work() -> None:
        for n in range(6):
            with pydantic:
                child = os.fork()
            if child == 0:
                be_a_child(store, n, end)
                return
            states.append(os.waitpid(child, 0)[1])
        over.set()

    thread = threading.Thread(target=work)
    thread.start()
    (save_many_until if busy == "save_many" else write_until)(store, over, pydantic)
    thread.join()
    assert states == [0] * 6, states


def be_a_child(store: ResultStore, n: int, end: str) -> None:
    signal.alarm(PATIENCE)
    with store.writer() as own:
        submit(own, several(f"child-{n}", 10))
        own.flush()
        submit(own, several(f"child-{n}-more", 10))
    for path in store.save_many([result(name) for name in several(f"child-{n}-many", 10)]):
        os.write(1, f"{path}\n".encode())
    # Else as a thread that is over.
    if end == "os._exit":
        os._exit(0)


def save_many_until(store: ResultStore, over: threading.Event, pydantic: threading.Lock) -> None:
    def saving() -> Any:
        n = 0
        while not over.is_set() or n < 100:
            # Serialised by `save_many`, between two of these.
            pydantic.acquire()
            yield result(f"parent-{n}")
            pydantic.release()
            n += 1

    for path in store.save_many(saving()):
        os.write(1, f"{path}\n".encode())


def write_until(store: ResultStore, over: threading.Event, pydantic: threading.Lock) -> None:
    n = 0
    with store.writer(max_pending=64) as writer:
        while not over.is_set() or n < 100:
            with pydantic:
                submit(writer, [f"parent-{n}"])
            n += 1


# Pools.


def work_of(store: ResultStore, name: str, count: int) -> list[str]:
    """Save through a writer that this worker keeps for all its tasks."""
    mine = [kept for kept in KEPT if isinstance(kept, Writer)]
    writer = mine[0] if mine else store.writer()
    if not mine:
        KEPT.append(writer)
    futures = submit(writer, several(name, count))
    writer.flush()
    return [str(future.result()) for future in futures]


def die(store: ResultStore) -> None:
    """Be killed with results on their way."""
    writer = store.writer()
    KEPT.append(writer)
    submit(writer, several(f"dying-{os.getpid()}", 300))
    os.kill(os.getpid(), signal.SIGKILL)


def pool(root: Path, method: str) -> None:
    """Workers with a writer each, which none of them closes."""
    store = ResultStore(root)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers:
        tasks = [workers.submit(work_of, store, f"task-{n}", 25) for n in range(8)]
        paths = [path for task in tasks for path in task.result(PATIENCE)]
    assert len(set(paths)) == 200


def pool_that_is_killed(root: Path, method: str) -> None:
    """A worker is killed in the middle; its pool breaks, and another one goes on."""
    store = ResultStore(root)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as workers:
        workers.submit(work_of, store, "before", 50).result(PATIENCE)
        death = workers.submit(die, store)
        assert isinstance(death.exception(PATIENCE), BrokenProcessPool)
    with ProcessPoolExecutor(2, mp_context=context) as workers:
        tasks = [workers.submit(work_of, store, f"after-{n}", 25) for n in range(4)]
        for task in tasks:
            task.result(PATIENCE)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[3]), sys.argv[2])
