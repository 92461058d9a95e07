"""A program that ends while results are pending, forks, or runs pools of processes that save.

Run as a script with the name of a function of this module, its variant, and a root. It prints the path of
each acknowledged result.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from llenergymeasure import ResultStore
from llenergymeasure.results.writer import Writer
from support.processes import HANG
from support.results import make_padded_result

result = partial(make_padded_result, padding=1000)
KEPT: list[Any] = []


def print_path(future: Future[Path]) -> None:
    """Print the path of a result in one call, since many threads and processes print."""
    if future.exception() is None:
        os.write(1, f"{future.result()}\n".encode())


class Endless:
    """A source whose rows never come, so that its result is pending for as long as the process lives."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        import pyarrow as pa  # here alone: most functions of this module do without it

        schema = pa.schema([("power_w", pa.float32())])

        def batches() -> Iterator[Any]:
            threading.Event().wait()
            yield from ()

        return pa.RecordBatchReader.from_batches(schema, batches()).__arrow_c_stream__(requested_schema)


def submit(writer: Writer, names: list[str]) -> list[Future[Path]]:
    futures = []
    for name in names:
        futures.append(writer.submit(result(name)))
        futures[-1].add_done_callback(print_path)
    return futures


def several(name: str, count: int) -> list[str]:
    return [f"{name}-{n}" for n in range(count)]


def end_at_once(root: Path, how: str) -> None:
    """End abruptly while some results are acknowledged and others are pending."""
    writer = ResultStore(root).writer()
    KEPT.append(writer)
    submit(writer, several("first", 50))
    writer.flush()
    submit(writer, several("second", 499))
    writer.submit(result("held"), Endless())
    if how == "abort":
        os.abort()
    os._exit(5)


def end_under_a_daemon(root: Path, how: str) -> None:
    """End while a daemon thread submits."""
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
    assert enough.wait(HANG)
    if how == "sys.exit":
        sys.exit(3)
    if how == "error":
        raise ZeroDivisionError("mine")


def end_under_a_daemon_that_saves(root: Path, how: str) -> None:
    """End while a daemon thread is in `save_many`, or in one save after the other."""
    store = ResultStore(root)
    enough = threading.Event()
    # Built in advance: a daemon thread must not end inside the Rust frames of pydantic.
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
    assert enough.wait(HANG)


def fork_in_a_thread(root: Path, how: str) -> None:
    """Fork from another thread while the workers of this one are busy; each child saves and ends."""
    end, busy = how.split(" next to ")
    result("first").model_dump_json()
    # A fork while another thread serialises can leave a lock of pydantic locked in the child.
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
    signal.alarm(HANG)
    with store.writer() as own:
        submit(own, several(f"child-{n}", 10))
        own.flush()
        submit(own, several(f"child-{n}-more", 10))
    for path in store.save_many([result(name) for name in several(f"child-{n}-many", 10)]):
        os.write(1, f"{path}\n".encode())
    # The other children end with their thread.
    if end == "os._exit":
        os._exit(0)


def save_many_until(store: ResultStore, over: threading.Event, pydantic: threading.Lock) -> None:
    def saving() -> Any:
        n = 0
        while not over.is_set() or n < 100:
            # `save_many` serialises it before it asks for the next one.
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
    """Kill this process while results are pending."""
    writer = store.writer()
    KEPT.append(writer)
    submit(writer, several(f"dying-{os.getpid()}", 299))
    writer.submit(result(f"dying-{os.getpid()}-held"), Endless())
    os.kill(os.getpid(), signal.SIGKILL)


def pool(root: Path, method: str) -> None:
    """Run pool workers with one writer each, which none of them closes."""
    store = ResultStore(root)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers:
        tasks = [workers.submit(work_of, store, f"task-{n}", 25) for n in range(8)]
        paths = [path for task in tasks for path in task.result(HANG)]
    assert len(set(paths)) == 200


def pool_that_is_killed(root: Path, method: str) -> None:
    """Kill a pool worker during its saves; its pool breaks, and another one continues."""
    store = ResultStore(root)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as workers:
        workers.submit(work_of, store, "before", 50).result(HANG)
        death = workers.submit(die, store)
        assert isinstance(death.exception(HANG), BrokenProcessPool)
    with ProcessPoolExecutor(2, mp_context=context) as workers:
        tasks = [workers.submit(work_of, store, f"after-{n}", 25) for n in range(4)]
        for task in tasks:
            task.result(HANG)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[3]), sys.argv[2])
