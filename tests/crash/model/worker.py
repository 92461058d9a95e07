"""A process that forks a fresh child for each job, and kills it at a chosen system call or byte.

Run as a script, it reads a job as one line of JSON, and answers with a line: the child's end, and its reports
before. With `calls`, this process traces the child and kills it at that stop. Each system call of any thread
has two stops: one at its entry, where the kill prevents the call, and one at its exit. With `bytes`, the
child dies of the write that would make a file longer.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

TRACEME, SYSCALL, SETOPTIONS = 0, 24, 0x4200
SYSGOOD, TRACE_CLONE, EXITKILL = 1, 8, 0x100000
WALL = 0x40000000
"""Wait for threads, too."""
AT_A_CALL = signal.SIGTRAP | 0x80
UNTRACEABLE = 77

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def main() -> None:
    while line := os.read(0, 1 << 20):
        job = json.loads(line)
        # The first validation takes a hundred milliseconds: too long for each child.
        results = [ExperimentResult.model_validate_json(text) for text in job["results"]]
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            run_child(job, results, write_end)
        os.close(write_end)
        status = kill_at(child, job["calls"]) if job["calls"] is not None else os.waitpid(child, 0)[1]
        with os.fdopen(read_end, "rb") as pipe:
            reply = [json.loads(line) for line in pipe.read().splitlines()]
        end = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        os.write(1, json.dumps({"end": end, "reply": reply}).encode() + b"\n")


def run_child(job: dict[str, Any], results: list[ExperimentResult], write_end: int) -> NoReturn:
    """Do a job, and report `[index, path]` at each acknowledgement, or an error."""
    time.strftime = lambda *_: job["stamp"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job["bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["bytes"], job["bytes"]))
    store = ResultStore(job["root"])
    store._flush_method = job["flush_method"]
    sources = [source_of(source, job["trace"]) for source in job["sources"]]
    if job["calls"] is not None:
        if libc.ptrace(TRACEME, 0, None, None) != 0:
            os._exit(UNTRACEABLE)
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        work(job["how"], store, results, sources, write_end, durable=job["durable"])
    except BaseException as error:  # noqa: BLE001 - the test checks every error
        report(write_end, f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def work(
    how: str,
    store: ResultStore,
    results: list[ExperimentResult],
    sources: list[Any],
    write_end: int,
    *,
    durable: bool,
) -> None:
    if how == "clean":
        store.clean(older_than=timedelta(0), dry_run=False)
    elif how == "save":
        for index, (result, source) in enumerate(zip(results, sources, strict=True)):
            report(write_end, [index, str(store.save(result, source, durable=durable))])
    elif how == "save_many":
        saved = store.save_many(results, timeseries_sources=sources, durable=durable)
        for index, path in enumerate(saved):
            report(write_end, [index, str(path)])
    else:
        with store.writer(durable=durable) as writer:
            for index, (result, source) in enumerate(zip(results, sources, strict=True)):
                future = writer.submit(result, source)
                future.add_done_callback(
                    lambda future, index=index: report(write_end, [index, str(future.result())])  # type: ignore[misc]
                )


def source_of(source: str | None, trace: dict[str, Any]) -> Path | Timeseries | None:
    if source is None:
        return None
    return Timeseries(**trace) if source == "arrow" else Path(source)


def report(write_end: int, value: object) -> None:
    # One call per line, so that a killed process reports a line completely or not at all.
    os.write(write_end, json.dumps(value).encode() + b"\n")


def kill_at(child: int, calls: int) -> int:
    """Run a child to a stop at a system call, kill it there, and return its wait status."""
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        return status
    libc.ptrace(SETOPTIONS, child, None, SYSGOOD | TRACE_CLONE | EXITKILL)
    libc.ptrace(SYSCALL, child, None, None)
    while True:
        task, status = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(status):
            if task == child:
                return status
            continue
        stopped_by = os.WSTOPSIG(status)
        if stopped_by == AT_A_CALL:
            calls -= 1
            if calls == 0:
                os.kill(child, signal.SIGKILL)
        ours = stopped_by in (AT_A_CALL, signal.SIGTRAP, signal.SIGSTOP)
        # The call fails for a thread that the kill has already ended.
        libc.ptrace(SYSCALL, task, None, 0 if ours else stopped_by)


if __name__ == "__main__":
    main()
