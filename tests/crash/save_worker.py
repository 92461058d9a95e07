"""A process that forks a fresh process for each save, so that strace can be attached to the save alone.

Run as a script: a job is one line of JSON on stdin; the answers are lines on stdout: the child's process
id, what became of the save (nothing, if the child was killed), and the child's wait status. The child waits
for one more byte on stdin before it saves, so that a tracer can be attached.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, PersistenceError
from llenergymeasure.results.timeseries import Timeseries

PR_SET_PTRACER = 0x59616D61
ROWS = 3


def main() -> None:
    while line := os.read(0, 1 << 20):
        job = json.loads(line)
        result = ExperimentResult.model_validate_json(job["result"])
        child = os.fork()
        if child == 0:
            save(job, result)
        tell(os.waitpid(child, 0)[1])


def tell(what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def save(job: dict[str, Any], result: ExperimentResult) -> NoReturn:
    os.dup2(os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    # Where only a parent may trace, anyone may trace this one; the kernel may not know the call.
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    root = job["root"]
    if job["stamp"]:
        time.strftime = lambda *_: job["stamp"]
    source: Any = job["source"]
    if source == "arrow":
        source = Timeseries(timestamp_s=[0.0] * ROWS, gpu_index=[0] * ROWS, power_w=[1.5] * ROWS)
    for _ in range(job["warm"]):
        result.save(root, durable=False)
    prepare(job)
    outcome: dict[str, Any] = {"kind": "unknown"}
    tell(os.getpid())  # only now, so that a tracer sees nothing of the preparation
    os.read(0, 1)
    try:
        os.getppid()  # where the save begins, for a reader of the trace
        try:
            path = result.save(root, source, durable=job["durable"])
        finally:
            os.getppid()  # where it ends
        outcome = {"kind": "saved", "path": str(path)}
    except PersistenceError as error:
        outcome = {"kind": error.__class__.__name__, "is": [base.__name__ for base in type(error).__mro__]}
        for name in ("errno", "filename", "step", "committed", "result_path"):
            outcome[name] = getattr(error, name)
        outcome["message"] = str(error)
        outcome["cause"] = type(error.__cause__).__name__
    except BaseException as error:  # noqa: BLE001 - whatever came out is what is tested
        outcome = {"kind": type(error).__name__, "message": str(error)}
    tell(outcome)
    os._exit(0)


def prepare(job: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if job["alarm"]:
        signal.signal(signal.SIGALRM, raise_timeout)
    if job["gone_cwd"]:
        gone = Path(job["stderr"]).with_name("gone")
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
    if job["fsize"] is not None:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["fsize"], resource.RLIM_INFINITY))
    if job["descriptors"] is not None:
        # The listing itself has one open.
        limit = len(os.listdir("/proc/self/fd")) - 1 + job["descriptors"]  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if job["umask"] is not None:
        os.umask(job["umask"])
    if job["uid"] is not None:
        os.setgroups([])
        os.setgid(job["uid"])
        os.setuid(job["uid"])


def raise_timeout(*_: object) -> NoReturn:
    raise TimeoutError("enough")


if __name__ == "__main__":
    main()
