"""A process that forks a fresh process for each job of many results, so that strace can be attached.

Run as a script, it speaks as `saver.py` does. With a job as its only argument, it does that one itself, and
prints a line for every result that is acknowledged before it prints the outcome.

A job is a dictionary: `root`, and what it changes of `JOB`.
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
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from support.processes import wait_until

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SaveInterrupted
from llenergymeasure.results import save_many as bulk
from llenergymeasure.results import writer
from llenergymeasure.results.timeseries import Timeseries

PR_SET_PTRACER = 0x59616D61
JOB: dict[str, Any] = {
    "how": "save_many",
    "count": 20,
    "engine": None,
    "durable": True,
    "stamp": None,
    "padding": 4000,
    "sources": [],  # paths, "arrow" and None, taken in turn
    "max_pending": 1024,
    "pause_at": None,  # a number of results after which the generator goes on giving nothing
    "acks": False,
    "max_bytes": None,
    "looks": False,  # counts what is under way at each submit, which takes its time
    "one_by_one": False,  # each is waited for before the next is submitted
    "pid": False,
    "fsize": None,  # the largest file that may be written
    "descriptors": None,  # how many may be opened yet
    "on_term": None,  # an exit status that SIGTERM asks for by an exception; None leaves it as it is
    "until_input": False,  # goes on after `count` results until there is input, or its end
}
STARTED = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)


def main() -> None:
    if len(sys.argv) > 1:
        job = {**JOB, **json.loads(sys.argv[1])}
        if job["descriptors"] is not None:
            warm_up()
        prepare(job)
        outcome = perform(job)
        retire_handler(signal.SIGUSR1)
        tell(outcome)
        return
    warm_up()
    while line := os.read(0, 1 << 20):
        job = {**JOB, **json.loads(line)}
        child = os.fork()
        if child == 0:
            serve(job)
        tell(os.waitpid(child, 0)[1])


def retire_handler(number: signal.Signals) -> None:
    """Ignore a signal that other processes still send, before the interpreter finalises.

    CPython prints "Signal 10 ignored due to race condition" for a signal that arrives while `signal.signal`
    replaces its handler: see `_PyErr_CheckSignalsTstate`. So the kernel ignores the signal first.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal(number, int(signal.SIG_IGN))
    # A thread may still be in CPython's handler: threads of the store end when they are idle.
    wait_until(lambda: len(os.listdir("/proc/self/task")) == 1)  # noqa: PTH208 - their number suffices
    signal.signal(number, signal.SIG_IGN)  # runs the Python handler of every signal that did arrive


def warm_up() -> None:
    """Load whatever is loaded at the first save, before any is traced or has few descriptors."""
    with tempfile.TemporaryDirectory() as scratch:
        perform({**JOB, "root": scratch, "count": 2, "sources": ["arrow"]})
        perform({**JOB, "root": scratch, "count": 2, "how": "writer"})


def tell(what: object) -> None:
    # No call that may be made to fail.
    os.writev(1, [json.dumps(what).encode() + b"\n"])


def serve(job: dict[str, Any]) -> NoReturn:
    os.dup2(os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    # Where only a parent may trace, anyone may trace this one; the kernel may not know the call.
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    prepare(job)
    tell(os.getpid())  # only now, so that a tracer sees nothing of the preparation
    os.read(0, 1)
    os.getppid()  # where the save begins, for a reader of the trace
    outcome = perform(job)
    os.getppid()  # where it ends
    tell(outcome)
    os._exit(0)


def prepare(job: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # An answer to every signal that is no answer: what is interrupted goes on.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    if job["on_term"] is not None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(job["on_term"]))
    if job["stamp"]:
        time.strftime = lambda *_: job["stamp"]
    if job["max_bytes"] is not None:
        bulk.MAX_BYTES = vars(writer)["MAX_BYTES"] = job["max_bytes"]
    if job["fsize"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["fsize"], resource.RLIM_INFINITY))
    if job["descriptors"] is not None:
        # The listing itself has one open.
        limit = len(os.listdir("/proc/self/fd")) - 1 + job["descriptors"]  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if job["pid"]:
        tell(os.getpid())


def result(number: int, padding: int) -> ExperimentResult:
    return ExperimentResult(
        experiment_id=f"{number}",
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
        effective_config={"model": "org/Model", "padding": "x" * padding},
    )


def generate(job: dict[str, Any]) -> Iterator[ExperimentResult]:
    for number in numbers(job):
        if number == job["pause_at"]:
            while True:
                time.sleep(0.01)
        yield result(number, job["padding"])


def numbers(job: dict[str, Any], first: int = 0, step: int = 1) -> Iterator[int]:
    """Yield the numbers of the results to save."""
    for number in itertools.count(first, step):
        if number >= job["count"] and not (job["until_input"] and not has_input()):
            return
        yield number


def has_input() -> bool:
    return bool(select.select([0], [], [], 0)[0])


def sources(job: dict[str, Any]) -> list[Any] | None:
    if not job["sources"]:
        return None
    trace = Timeseries(timestamp_s=[0.0] * 3, gpu_index=[0] * 3, power_w=[1.5] * 3)
    given = (job["sources"][n % len(job["sources"])] for n in range(job["count"]))
    return [trace if source == "arrow" else source for source in given]


def perform(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job, and say what became of it; times are of the clock that all processes share."""
    store = ResultStore(job["root"])
    store._flush_method = job["engine"]
    said: dict[str, Any] = {"kind": "saved", "failed": {}, "most_undone": 0, "most_unwritten": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        said["saved"] = WAYS[job["how"]](store, job, said)
    except BulkSaveError as error:
        said |= {"kind": "BulkSaveError", "saved": paths(error.saved), "failed": facts(error.failed)}
    except SaveInterrupted as error:
        said |= {"kind": "SaveInterrupted", "saved": paths(error.saved), "failed": facts(error.failed)}
        said["unconfirmed"] = paths(error.unconfirmed)
    except BaseException as error:  # noqa: BLE001 - whatever came out is what is tested
        said |= {"kind": type(error).__name__, "message": str(error)}
    said["over"] = time.monotonic()
    said["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    return said


def save_many(store: ResultStore, job: dict[str, Any], _: dict[str, Any]) -> dict[int, str]:
    def progress(done: int, _: int | None) -> None:
        # For a reader of the trace, and for one of the output.
        os.access(f"/progress/{done}", os.F_OK)
        if job["acks"]:
            tell(done)

    saved = store.save_many(
        generate(job), timeseries_sources=sources(job), durable=job["durable"], progress=progress
    )
    return paths(dict(enumerate(saved)))


def write(store: ResultStore, job: dict[str, Any], said: dict[str, Any]) -> dict[int, str]:
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
                if not job["looks"]:
                    continue
                undone = sum(not future.done() for future in futures)
                unwritten = len(futures) - sum(1 for _ in Path(job["root"]).glob("*/result.json"))
                said["most_undone"] = max(said["most_undone"], undone)
                said["most_unwritten"] = max(said["most_unwritten"], unwritten)
    finally:
        look_at(futures, said)
    return paths({n: future.result(0) for n, future in enumerate(futures)})


def write_in_threads(store: ResultStore, job: dict[str, Any], said: dict[str, Any]) -> dict[int, str]:
    """Four threads submit, until the writer is closed at the latest, and the main thread waits for them."""
    futures: list[Future[Path]] = []

    def work(part: int) -> None:
        for number in numbers(job, part, 4):
            try:
                future = opened.submit(result(number, job["padding"]))
            except ValueError:
                return
            futures.append(future)
            future.add_done_callback(acknowledge(job))

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    try:
        with store.writer(durable=job["durable"], max_pending=job["max_pending"]) as opened:
            for thread in threads:
                thread.start()
            for thread in threads:
                # A signal that comes just before the main thread waits does not end the wait.
                while thread.is_alive():
                    thread.join(0.05)
    finally:
        for thread in threads:
            thread.join()
        look_at(futures, said)
    return paths({n: future.result(0) for n, future in enumerate(futures)})


WAYS = {"save_many": save_many, "writer": write, "threads": write_in_threads}


def acknowledge(job: dict[str, Any]) -> Callable[[Future[Path]], None]:
    def acknowledge(future: Future[Path]) -> None:
        if future.exception() is None:
            path = future.result()
            os.access(f"/acknowledged/{path.parent.name}", os.F_OK)
            if job["acks"]:
                tell(str(path))

    return acknowledge


def look_at(futures: list[Future[Path]], said: dict[str, Any]) -> None:
    """Tell what became of futures, of which none is waited for."""
    said["submitted"] = len(futures)
    said["done"] = sum(future.done() for future in futures)
    with contextlib.suppress(Exception):
        good = {n: future.result(0) for n, future in enumerate(futures) if not future.exception(0)}
        said["saved"] = paths(good)


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
