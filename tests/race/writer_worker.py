"""A program that saves through writers while it forks, starts other processes, or ends.

Run as a script with the name of a function of this module, the start method of processes, and a root.
"""

from __future__ import annotations

import concurrent.futures
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.writer import Writer
from support.processes import HANG
from support.results import make_padded_result

result = partial(make_padded_result, padding=3000)
KEPT: list[Any] = []


def submit(root: Path, name: str, count: int = 100) -> Writer:
    """Submit to a writer that stays open."""
    writer = ResultStore(root).writer()
    KEPT.append(writer)
    for n in range(count):
        writer.submit(result(f"{name}-{n}"))
    return writer


def end_in_main(root: Path, _: str) -> None:
    submit(root, "main")


def end_by_exit(root: Path, _: str) -> None:
    submit(root, "main")
    sys.exit(3)


def end_by_error(root: Path, _: str) -> None:
    submit(root, "main")
    raise ZeroDivisionError("mine")


def end_with_a_failure(root: Path, _: str) -> None:
    submit(root, "main").submit("no result")  # type: ignore[arg-type]


def end_with_two_writers(root: Path, _: str) -> None:
    submit(root, "first", 50)
    submit(root, "second", 50)


def end_before_a_thread(root: Path, _: str) -> None:
    """End the main thread while another one still submits."""

    def work() -> None:
        writer = ResultStore(root).writer()
        KEPT.append(writer)
        for n in range(100):
            writer.submit(result(f"thread-{n}"))
            # One pause is long enough for the writer to become idle.
            time.sleep(0.5 if n == 10 else 0.001)

    threading.Thread(target=work).start()


def end_before_a_pool(root: Path, _: str) -> None:
    pool = concurrent.futures.ThreadPoolExecutor(2)
    KEPT.append(pool)
    writer = ResultStore(root).writer()
    KEPT.append(writer)

    def work(n: int) -> None:
        time.sleep(0.002)
        writer.submit(result(f"pool-{n}"))

    for n in range(100):
        pool.submit(work, n)


def end_in_a_child(root: Path, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=submit, args=(root, f"child-{n}", 50)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(HANG)
        assert child.exitcode == 0, child.exitcode


def write_in_a_child(root: Path, name: str) -> None:
    with ResultStore(root).writer() as writer:
        futures = [writer.submit(result(f"{name}-{n}")) for n in range(50)]
    assert len({future.result(0) for future in futures}) == 50


def write_in_children(root: Path, method: str) -> None:
    """Save here and in children at once, each through its own writer."""
    context: Any = multiprocessing.get_context(method)
    with ResultStore(root).writer() as writer:
        futures = [writer.submit(result(f"parent-{n}")) for n in range(50)]
        children = [
            context.Process(target=write_in_a_child, args=(root, f"child-{number}")) for number in range(3)
        ]
        for child in children:
            child.start()
        futures += [writer.submit(result(f"parent-{n}")) for n in range(50, 100)]
        for child in children:
            child.join(HANG)
            assert child.exitcode == 0, child.exitcode
    assert len({future.result(0) for future in futures}) == 100


def use_in_a_fork(root: Path, how: str) -> None:
    """Fork during many submits; each child tries the parent's writer, and ends as `how` says."""
    result("first").model_dump_json()
    # A fork while another thread serialises can leave a lock of pydantic locked in the child.
    pydantic = threading.Lock()
    with ResultStore(root).writer(max_pending=32) as writer:
        over = threading.Event()
        futures: list[Future[Path]] = []

        def work() -> None:
            while not over.is_set():
                with pydantic:
                    futures.append(writer.submit(result(f"parent-{len(futures)}")))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for n in range(6):
                with pydantic:
                    child = os.fork()
                if child == 0:
                    signal.alarm(HANG)
                    be_a_child(writer, root, n, how)
                    return  # leave through the end of the block
                _, status = os.waitpid(child, 0)
                assert status == 0, status
        finally:
            over.set()
        thread.join()
    for n, future in enumerate(futures):
        assert ExperimentResult.from_json(future.result(0)).experiment_id == f"parent-{n}"


def be_a_child(writer: Writer, root: Path, n: int, how: str) -> None:
    for use in (lambda: writer.submit(result("stolen")), writer.flush, writer.close):
        try:
            use()
        except RuntimeError as error:  # noqa: PERF203 - each call must raise
            message = str(error)
            assert "belongs to process" in message, message
            assert "open another one" in message, message
        else:
            raise AssertionError("the child used its parent's writer")
    assert repr(writer)
    if how == "os._exit":
        os._exit(0)
    with ResultStore(root).writer() as own:
        own.submit(result(f"child-{n}"))
    ResultStore(root).save_many([result(f"child-{n}-many")])
    gc.collect()
    if how == "sys.exit":
        sys.exit(0)


def forget_in_a_fork(root: Path, _: str) -> None:
    """Drop every reference to the parent's writer in a child while results are pending."""
    for n in range(8):
        writer = ResultStore(root).writer()
        futures = [writer.submit(result(f"parent-{n}-{k}")) for k in range(30)]
        child = os.fork()
        if child == 0:
            signal.alarm(HANG)
            del writer, futures
            gc.collect()
            sys.exit(0)
        status = os.waitpid(child, 0)[1]
        assert status == 0, status
        writer.close()
        assert all(future.result(0).exists() for future in futures)


def fork_while_saving_many(root: Path, _: str) -> None:
    children: list[int] = []

    def saving() -> Any:
        for n in range(200):
            if n % 20 == 10:
                child = os.fork()
                if child == 0:
                    signal.alarm(HANG)
                    ResultStore(root).save_many([result(f"child-{n}-{k}") for k in range(5)])
                    os._exit(0)
                children.append(child)
            yield result(f"parent-{n}")

    assert len(ResultStore(root).save_many(saving())) == 200
    for pid in children:
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[3]), sys.argv[2])
