"""A process that forks a fresh child for each operation, whose calls fail, and for the operation after it.

Run as a script, it reads a job as one line of JSON. It answers with lines: the child's process id; the
outcome of the operation; the tree, the descriptors and the outcome of the next operation; the child's wait
status. A killed child reports no more. The child waits for a byte on stdin before the operation, for a tracer
to attach, and for another byte after it, for the tracer to detach.

A job is a dictionary: `root`, `how` ("save", "save_many" or "writer"), `flush_method`, `results` as JSON,
their `sources` (paths, "arrow" and None), and `stderr`.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SaveInterrupted
from llenergymeasure.results.timeseries import Timeseries
from support.child import allow_tracers, redirect_stderr
from support.trees import list_tree

SOON = 10.0
"""Seconds within which an idle thread of the store ends, even on a busy machine."""


class Interrupts:
    """Raises KeyboardInterrupt at the first SIGINT of an operation.

    A later SIGINT, which another thread received, is ignored.
    """

    def __init__(self) -> None:
        self.wanted = False
        signal.signal(signal.SIGINT, self._raise)

    def _raise(self, *_: object) -> None:
        wanted, self.wanted = self.wanted, False
        if wanted:
            raise KeyboardInterrupt


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    warm: set[str] = set()
    while line := read_line():
        job = json.loads(line)
        results = [ExperimentResult.model_validate_json(text) for text in job["results"]]
        # The durability probe belongs to a single save. In bulk saves its calls would confuse the counts.
        os.environ["LLEM_NO_DURABILITY_WARNING"] = "" if job["how"] == "save" else "1"
        if job["how"] not in warm:
            # The first save loads modules, which no trace must show.
            warm.add(job["how"])
            with tempfile.TemporaryDirectory() as scratch:
                perform({**job, "root": scratch, "sources": ["arrow"]}, results[:1])
        child = os.fork()
        if child == 0:
            serve(job, results)
        report(os.waitpid(child, 0)[1])


def read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += (more := os.read(0, 1 << 20))
        if not more:
            break
    return line


def report(value: object) -> None:
    # writev: tests make `write` fail.
    os.writev(1, [json.dumps(value).encode() + b"\n"])


def serve(job: dict[str, Any], results: list[ExperimentResult]) -> NoReturn:
    redirect_stderr(job["stderr"])
    allow_tracers()
    interrupts = Interrupts()
    before = descriptors()
    report(os.getpid())  # only now: a tracer must not see the preparation
    os.readv(0, [bytearray(1)])
    os.getppid()  # marks the begin of the operation in the trace
    reply = perform(job, results, interrupts)
    os.getppid()  # marks its end
    report(reply)
    os.readv(0, [bytearray(1)])
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(SOON)
    after: dict[str, Any] = {"left": tree_of(Path(job["root"])), "descriptors": [before, settled(before)]}
    after["next"] = perform(job, results[:3])
    after["descriptors"].append(settled(before))
    report(after)
    os._exit(0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number suffices


def settled(before: int) -> int:
    """Return the number of open descriptors once the threads of the store have ended."""
    until = time.monotonic() + SOON
    while (after := descriptors()) > before and time.monotonic() < until and other_threads():
        time.sleep(0.001)
    return descriptors() if after > before else after


def other_threads() -> int:
    return len(os.listdir("/proc/self/task")) - 1  # noqa: PTH208 - their number suffices


def tree_of(root: Path) -> list[str] | None:
    """Return everything below a root; None without a root."""
    return list_tree(root) if root.exists() else None


def perform(
    job: dict[str, Any], results: list[ExperimentResult], interrupts: Interrupts | None = None
) -> dict[str, Any]:
    """Do the job, and return the outcome of every result."""
    reply: dict[str, Any] = {"kind": "saved", "saved": {}, "failed": {}, "unconfirmed": {}}
    given = [sidecar(source) for source in job["sources"]]
    try:
        if interrupts is not None:
            interrupts.wanted = True
        store = ResultStore(job["root"])
        store._flush_method = job["flush_method"]
        if job["how"] == "save":
            reply["saved"] = {0: str(store.save(results[0], given[0]))}
        elif job["how"] == "save_many":
            paths = store.save_many(results, timeseries_sources=given[: len(results)])
            reply["saved"] = {n: str(path) for n, path in enumerate(paths)}
        else:
            write(store, results, given, reply)
    except PersistenceError as error:
        reply |= {"kind": type(error).__name__, "failed": {0: facts(error)}}
    except (BulkSaveError, SaveInterrupted) as error:
        reply |= {"kind": type(error).__name__, "saved": strings(error.saved)}
        reply["failed"] = {index: facts(failure) for index, failure in error.failed.items()}
        reply["unconfirmed"] = strings(getattr(error, "unconfirmed", {}))
    except BaseException as error:  # noqa: BLE001 - the test checks every error
        reply |= {"kind": type(error).__name__, "message": str(error)}
    if interrupts is not None:
        interrupts.wanted = False
    return reply


def sidecar(source: str | None) -> Any:
    if source != "arrow":
        return source
    return Timeseries(timestamp_s=[0.0] * 3, gpu_index=[0] * 3, power_w=[1.5] * 3)


def write(
    store: ResultStore, results: list[ExperimentResult], given: list[Any], reply: dict[str, Any]
) -> None:
    futures: list[Future[Path]] = []
    try:
        with store.writer() as writer:
            for result, source in zip(results, given, strict=False):
                futures.append(writer.submit(result, source))
    finally:
        reply["submitted"] = len(futures)
        for number, future in enumerate(futures):
            if future.done() and (error := future.exception()) is not None:
                reply["failed"][number] = facts(error)
            elif future.done():
                reply["saved"][number] = str(future.result())


def strings(paths: dict[int, Path]) -> dict[int, str]:
    return {index: str(path) for index, path in paths.items()}


def facts(error: BaseException) -> dict[str, Any]:
    names = ("errno", "filename", "step", "committed", "result_path")
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "cause": type(error.__cause__).__name__,
        **{name: getattr(error, name, None) for name in names},
    }


if __name__ == "__main__":
    main()
