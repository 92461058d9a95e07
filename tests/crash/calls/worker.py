"""A process that forks a fresh process for each operation: a call of it fails, and then the next one is made.

Run as a script: a job is one line of JSON on stdin. The answers are lines on stdout: the child's process id;
what became of the operation; what it left, how many descriptors, and what became of the next one; the child's
wait status. A child that is killed says no more. It waits for a byte on stdin before it begins, so that a
tracer can be attached, and for another one after the operation, so that it can be detached.

A job is a dictionary: `root`, `how` ("save", "save_many" or "writer"), `engine`, `results` as JSON, their
`sources` (paths, "arrow" and None), and `stderr`.
"""

from __future__ import annotations

import ctypes
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

PR_SET_PTRACER = 0x59616D61
SOON = 10.0
"""Seconds in which a thread of the engine that has nothing to do is gone, however busy the machine is."""


class Interrupts:
    """Raises KeyboardInterrupt at the first SIGINT of an operation.

    A thread may get its own when the operation is over: that one, and all that follow, are nobody's.
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
        # What a store finds out about its file system is a part of a save. A thread counts its own calls, and
        # those of the engine's are not to be counted with these.
        os.environ["LLEM_NO_DURABILITY_WARNING"] = "" if job["how"] == "save" else "1"
        if job["how"] not in warm:
            # Whatever is loaded at the first save is loaded before any is traced.
            warm.add(job["how"])
            with tempfile.TemporaryDirectory() as scratch:
                perform({**job, "root": scratch, "sources": ["arrow"]}, results[:1])
        child = os.fork()
        if child == 0:
            serve(job, results)
        tell(os.waitpid(child, 0)[1])


def read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += (more := os.read(0, 1 << 20))
        if not more:
            break
    return line


def tell(what: object) -> None:
    os.writev(1, [json.dumps(what).encode() + b"\n"])


def serve(job: dict[str, Any], results: list[ExperimentResult]) -> NoReturn:
    os.dup2(os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    # Where only a parent may trace, anyone may trace this one; the kernel may not know the call.
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    interrupts = Interrupts()
    before = descriptors()
    tell(os.getpid())  # only now, so that a tracer sees nothing of the preparation
    os.readv(0, [bytearray(1)])
    os.getppid()  # where the operation begins, for a reader of the trace
    said = perform(job, results, interrupts)
    os.getppid()  # where it ends
    tell(said)
    os.readv(0, [bytearray(1)])
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(SOON)
    after: dict[str, Any] = {"left": listing(Path(job["root"])), "descriptors": [before, settled(before)]}
    after["next"] = perform(job, results[:3])
    after["descriptors"].append(settled(before))
    tell(after)
    os._exit(0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - nothing but their number is wanted


def settled(before: int) -> int:
    """How many descriptors are open when the threads of the engine are gone; those that leak stay."""
    until = time.monotonic() + SOON
    while (after := descriptors()) > before and time.monotonic() < until and engine_threads():
        time.sleep(0.001)
    return descriptors() if after > before else after


def engine_threads() -> int:
    return len(os.listdir("/proc/self/task")) - 1  # noqa: PTH208 - nothing but their number is wanted


def listing(root: Path) -> list[str] | None:
    """Everything under a directory; None where there is none."""
    if not root.exists():
        return None
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def perform(
    job: dict[str, Any], results: list[ExperimentResult], interrupts: Interrupts | None = None
) -> dict[str, Any]:
    """Do the job, and say what became of every result."""
    said: dict[str, Any] = {"kind": "saved", "saved": {}, "failed": {}, "unconfirmed": {}}
    given = [sidecar(source) for source in job["sources"]]
    try:
        if interrupts is not None:
            interrupts.wanted = True
        store = ResultStore(job["root"])
        store._flush_method = job["engine"]
        if job["how"] == "save":
            said["saved"] = {0: str(store.save(results[0], given[0]))}
        elif job["how"] == "save_many":
            paths = store.save_many(results, timeseries_sources=given[: len(results)])
            said["saved"] = {n: str(path) for n, path in enumerate(paths)}
        else:
            write(store, results, given, said)
    except PersistenceError as error:
        said |= {"kind": type(error).__name__, "failed": {0: facts(error)}}
    except (BulkSaveError, SaveInterrupted) as error:
        said |= {"kind": type(error).__name__, "saved": strings(error.saved)}
        said["failed"] = {index: facts(failure) for index, failure in error.failed.items()}
        said["unconfirmed"] = strings(getattr(error, "unconfirmed", {}))
    except BaseException as error:  # noqa: BLE001 - whatever came out is what is tested
        said |= {"kind": type(error).__name__, "message": str(error)}
    if interrupts is not None:
        interrupts.wanted = False
    return said


def sidecar(source: str | None) -> Any:
    if source != "arrow":
        return source
    return Timeseries(timestamp_s=[0.0] * 3, gpu_index=[0] * 3, power_w=[1.5] * 3)


def write(
    store: ResultStore, results: list[ExperimentResult], given: list[Any], said: dict[str, Any]
) -> None:
    futures: list[Future[Path]] = []
    try:
        with store.writer() as writer:
            for result, source in zip(results, given, strict=False):
                futures.append(writer.submit(result, source))
    finally:
        said["submitted"] = len(futures)
        for number, future in enumerate(futures):
            if future.done() and (error := future.exception()) is not None:
                said["failed"][number] = facts(error)
            elif future.done():
                said["saved"][number] = str(future.result())


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
