"""A process that forks a fresh child for each job of many results, so that strace can be attached.

Run as a script, it speaks as `save_worker.py` does. With a job as its only argument, it does that job itself,
and prints a line for every acknowledged result before it prints the outcome.

A job is a dictionary: `root`, and changes of `JOB`.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SaveInterrupted
from llenergymeasure.results import save_many as bulk
from llenergymeasure.results import writer
from llenergymeasure.results.timeseries import Timeseries
from support.child import allow_tracers, limit_descriptors, limit_file_size, redirect_stderr
from support.processes import wait_until
from support.results import make_result

JOB: dict[str, Any] = {
    "how": "save_many",
    "count": 20,
    "flush_method": None,
    "durable": True,
    "stamp": None,
    "padding": 4000,
    "sources": [],  # paths, "arrow" and None, taken in turn
    "max_pending": 1024,
    "pause_at": None,  # the generator blocks after this number of results
    "acks": False,  # report each acknowledged result
    "max_bytes": None,
    "count_pending": False,  # count what is pending at each submit, which takes time
    "one_by_one": False,  # wait for each result before the next submit
    "pid": False,
    "fsize": None,  # the largest file that the process may write
    "descriptors": None,  # how many descriptors the process may still open
    "on_term": None,  # the exit status of SIGTERM's handler; None leaves the signal alone
    "until_input": False,  # go on after `count` results until standard input has data, or ends
}


def main() -> None:
    if len(sys.argv) > 1:
        job = {**JOB, **json.loads(sys.argv[1])}
        if job["descriptors"] is not None:
            warm_up()
        prepare(job)
        # First the report: calls that hang keep their threads alive for a minute.
        report(perform(job))
        retire_handler(signal.SIGUSR1)
        return
    warm_up()
    while line := os.read(0, 1 << 20):
        job = {**JOB, **json.loads(line)}
        child = os.fork()
        if child == 0:
            serve(job)
        report(os.waitpid(child, 0)[1])


def retire_handler(number: signal.Signals) -> None:
    """Ignore a signal that other processes still send, before the interpreter finalises.

    CPython prints "Signal 10 ignored due to race condition" for a signal that arrives while `signal.signal`
    replaces its handler: see `_PyErr_CheckSignalsTstate`. So the kernel ignores the signal first.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal(number, int(signal.SIG_IGN))
    # A thread may still be in CPython's handler: threads of the store end when they are idle.
    wait_until(lambda: thread_count() == 1)
    signal.signal(number, signal.SIG_IGN)  # runs the Python handler of every signal that did arrive


def thread_count() -> int:
    """Return the number of threads of this process, without a descriptor, which may have run out."""
    return Path("/proc/self/task").stat().st_nlink - 2


def warm_up() -> None:
    """Load everything that a first save loads, before a trace begins or descriptors run out."""
    with tempfile.TemporaryDirectory() as scratch:
        perform({**JOB, "root": scratch, "count": 2, "sources": ["arrow"]})
        perform({**JOB, "root": scratch, "count": 2, "how": "writer"})


def report(value: object) -> None:
    # writev: tests make `write` fail.
    os.writev(1, [json.dumps(value).encode() + b"\n"])


def serve(job: dict[str, Any]) -> NoReturn:
    redirect_stderr(job["stderr"])
    allow_tracers()
    prepare(job)
    report(os.getpid())  # only now: a tracer must not see the preparation
    os.read(0, 1)
    os.getppid()  # marks the begin of the saves in the trace
    outcome = perform(job)
    os.getppid()  # marks their end
    report(outcome)
    os._exit(0)


def prepare(job: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The handler does nothing: interrupted calls go on.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    if job["on_term"] is not None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(job["on_term"]))
    if job["stamp"]:
        time.strftime = lambda *_: job["stamp"]
    if job["max_bytes"] is not None:
        bulk.MAX_BYTES = vars(writer)["MAX_BYTES"] = job["max_bytes"]
    limit_file_size(job["fsize"])
    limit_descriptors(job["descriptors"])
    if job["pid"]:
        report(os.getpid())


def result(number: int, padding: int) -> ExperimentResult:
    # One string of this size: tests measure the memory of the process.
    return make_result(
        experiment_id=f"{number}", effective_config={"model": "org/Model", "padding": "x" * padding}
    )


def numbers(job: dict[str, Any], first: int = 0, step: int = 1) -> Iterator[int]:
    """Yield the numbers of the results to save."""
    for number in itertools.count(first, step):
        if number >= job["count"] and not (job["until_input"] and not has_input()):
            return
        yield number


def has_input() -> bool:
    return bool(select.select([0], [], [], 0)[0])


def generate(job: dict[str, Any]) -> Iterator[ExperimentResult]:
    for number in numbers(job):
        if number == job["pause_at"]:
            while True:
                time.sleep(0.01)
        yield result(number, job["padding"])


def sources(job: dict[str, Any]) -> list[Any] | None:
    if not job["sources"]:
        return None
    trace = Timeseries(timestamp_s=[0.0] * 3, gpu_index=[0] * 3, power_w=[1.5] * 3)
    given = (job["sources"][n % len(job["sources"])] for n in range(job["count"]))
    return [trace if source == "arrow" else source for source in given]


def perform(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job, and return its outcome; times are of the clock that all processes share."""
    store = ResultStore(job["root"])
    store._flush_method = job["flush_method"]
    reply: dict[str, Any] = {"kind": "saved", "failed": {}, "most_pending": 0, "most_unwritten": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        reply["saved"] = WAYS[job["how"]](store, job, reply)
    except BulkSaveError as error:
        reply |= {"kind": "BulkSaveError", "saved": paths(error.saved), "failed": facts(error.failed)}
    except SaveInterrupted as error:
        reply |= {"kind": "SaveInterrupted", "saved": paths(error.saved), "failed": facts(error.failed)}
        reply["unconfirmed"] = paths(error.unconfirmed)
    except BaseException as error:  # noqa: BLE001 - the test checks every error
        reply |= {"kind": type(error).__name__, "message": str(error)}
    reply["over"] = time.monotonic()
    reply["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    return reply


def save_many(store: ResultStore, job: dict[str, Any], _: dict[str, Any]) -> dict[int, str]:
    def progress(done: int, _: int | None) -> None:
        os.access(f"/progress/{done}", os.F_OK)  # a mark in the trace
        if job["acks"]:
            report(done)

    saved = store.save_many(
        generate(job), timeseries_sources=sources(job), durable=job["durable"], progress=progress
    )
    return paths(dict(enumerate(saved)))


def write(store: ResultStore, job: dict[str, Any], reply: dict[str, Any]) -> dict[int, str]:
    given = sources(job) or itertools.repeat(None)
    futures: list[Future[Path]] = []
    try:
        with store.writer(durable=job["durable"], max_pending=job["max_pending"]) as opened:
            for result_, source in zip(generate(job), given, strict=False):
                future = opened.submit(result_, source)
                future.add_done_callback(acknowledge(job))
                futures.append(future)
                if job["one_by_one"]:
                    future.exception()
                if job["count_pending"]:
                    count_pending(job, futures, reply)
    finally:
        describe(futures, reply)
    return paths({n: future.result(0) for n, future in enumerate(futures)})


def count_pending(job: dict[str, Any], futures: list[Future[Path]], reply: dict[str, Any]) -> None:
    pending = sum(not future.done() for future in futures)
    unwritten = len(futures) - sum(1 for _ in Path(job["root"]).glob("*/result.json"))
    reply["most_pending"] = max(reply["most_pending"], pending)
    reply["most_unwritten"] = max(reply["most_unwritten"], unwritten)


def write_in_threads(store: ResultStore, job: dict[str, Any], reply: dict[str, Any]) -> dict[int, str]:
    """Submit from four threads, at the latest until the writer is closed, while the main thread waits."""
    futures: list[Future[Path]] = []

    def work(first: int) -> None:
        for number in numbers(job, first, 4):
            try:
                future = opened.submit(result(number, job["padding"]))
            except ValueError:
                return
            futures.append(future)
            future.add_done_callback(acknowledge(job))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    try:
        with store.writer(durable=job["durable"], max_pending=job["max_pending"]) as opened:
            for thread in threads:
                thread.start()
            for thread in threads:
                # A signal right before the main thread waits does not end the wait.
                while thread.is_alive():
                    thread.join(0.05)
    finally:
        for thread in threads:
            thread.join()
        describe(futures, reply)
    return paths({n: future.result(0) for n, future in enumerate(futures)})


WAYS = {"save_many": save_many, "writer": write, "threads": write_in_threads}


def acknowledge(job: dict[str, Any]) -> Callable[[Future[Path]], None]:
    def acknowledge(future: Future[Path]) -> None:
        if future.exception() is None:
            path = future.result()
            os.access(f"/acknowledged/{path.parent.name}", os.F_OK)  # a mark in the trace
            if job["acks"]:
                report(str(path))

    return acknowledge


def describe(futures: list[Future[Path]], reply: dict[str, Any]) -> None:
    """Add the outcomes of futures to a reply, without a wait for any."""
    reply["submitted"] = len(futures)
    reply["done"] = sum(future.done() for future in futures)
    with contextlib.suppress(Exception):
        good = {n: future.result(0) for n, future in enumerate(futures) if not future.exception(0)}
        reply["saved"] = paths(good)


def paths(saved: dict[int, Path]) -> dict[int, str]:
    return {index: str(path) for index, path in saved.items()}


def facts(failed: dict[int, Exception]) -> dict[int, Any]:
    return {
        index: {
            "kind": type(error).__name__,
            "message": str(error),
            **{name: getattr(error, name, None) for name in ("errno", "step", "committed", "result_path")},
        }
        for index, error in failed.items()
        if isinstance(error, (PersistenceError, Exception))
    }


if __name__ == "__main__":
    main()
