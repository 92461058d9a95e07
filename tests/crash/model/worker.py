"""A process that forks a fresh one for each job, and lets it die at a system call or a byte of its choice.

Run as a script: a job is one line of JSON on stdin, the answer one on stdout: how the child ended, and what
it said before. Under `calls` the child is traced by this process and killed at that stop, where each system
call of any of its threads has two: one at its door, when it is not made any more, and one behind it. Under
`bytes` it dies of the write that would make a file longer than that.
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
        # The first one takes a hundred milliseconds: not in each child.
        results = [ExperimentResult.model_validate_json(text) for text in job["results"]]
        ears, mouth = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ears)
            live(job, results, mouth)
        os.close(mouth)
        status = kill_at(child, job["calls"]) if job["calls"] is not None else os.waitpid(child, 0)[1]
        with os.fdopen(ears, "rb") as pipe:
            said = [json.loads(line) for line in pipe.read().splitlines()]
        end = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        os.write(1, json.dumps({"end": end, "said": said}).encode() + b"\n")


def live(job: dict[str, Any], results: list[ExperimentResult], mouth: int) -> NoReturn:
    """Do a job; tell `[index, path]` as soon as a result is acknowledged, or what went wrong."""
    time.strftime = lambda *_: job["stamp"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job["bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["bytes"], job["bytes"]))
    store = ResultStore(job["root"])
    store._flush_method = job["engine"]
    sources = [source_of(source, job["trace"]) for source in job["sources"]]
    if job["calls"] is not None:
        if libc.ptrace(TRACEME, 0, None, None) != 0:
            os._exit(UNTRACEABLE)
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        work(job["how"], store, results, sources, mouth, durable=job["durable"])
    except BaseException as error:  # noqa: BLE001 - whatever came out is what is tested
        tell(mouth, f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def work(
    how: str,
    store: ResultStore,
    results: list[ExperimentResult],
    sources: list[Any],
    mouth: int,
    *,
    durable: bool,
) -> None:
    if how == "clean":
        store.clean(older_than=timedelta(0), dry_run=False)
    elif how == "save":
        for index, (result, source) in enumerate(zip(results, sources, strict=True)):
            tell(mouth, [index, str(store.save(result, source, durable=durable))])
    elif how == "save_many":
        saved = store.save_many(results, timeseries_sources=sources, durable=durable)
        for index, path in enumerate(saved):
            tell(mouth, [index, str(path)])
    else:
        with store.writer(durable=durable) as writer:
            for index, (result, source) in enumerate(zip(results, sources, strict=True)):
                future = writer.submit(result, source)
                future.add_done_callback(
                    lambda future, index=index: tell(mouth, [index, str(future.result())])  # type: ignore[misc]
                )


def source_of(source: str | None, trace: dict[str, Any]) -> Path | Timeseries | None:
    if source is None:
        return None
    return Timeseries(**trace) if source == "arrow" else Path(source)


def tell(mouth: int, what: object) -> None:
    # One call for one line: whole, or not said at all.
    os.write(mouth, json.dumps(what).encode() + b"\n")


def kill_at(child: int, calls: int) -> int:
    """Let a child run to a stop at a system call, and kill it there; return its wait status."""
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
        # A thread that the kill has reached is gone by now, and the call fails.
        libc.ptrace(SYSCALL, task, None, 0 if ours else stopped_by)


if __name__ == "__main__":
    main()
