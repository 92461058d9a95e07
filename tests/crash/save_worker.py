"""A process that forks a fresh child for each save, so that strace can be attached to the save alone.

Run as a script, it reads a job as one line of JSON: `result`, `root`, `source`, `stderr`, and changes of
`JOB`. It answers with lines: the child's process id, the child's report (unless the child was killed), and
the child's wait status. The child waits for one more byte on stdin before it saves, for a tracer.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, PersistenceError, ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.child import allow_tracers, limit_descriptors, limit_file_size, redirect_stderr
from support.processes import report

JOB: dict[str, Any] = {
    "durable": True,
    "stamp": None,  # the minute in the directory's name
    "warm": 0,  # saves before the one that counts
    "umask": None,
    "alarm": False,  # raise TimeoutError at SIGALRM
    "gone_cwd": False,  # work in a directory that was removed
    "fsize": None,  # the largest file that the process may write
    "descriptors": None,  # how many descriptors the process may still open
    "uid": None,
    "failure": False,  # save a failure of the result's configuration, and not the result
}
ROWS = 3


def main() -> None:
    while line := os.read(0, 1 << 20):
        job = {**JOB, **json.loads(line)}
        result = ExperimentResult.model_validate_json(job["result"])
        child = os.fork()
        if child == 0:
            save(job, result)
        report(os.waitpid(child, 0)[1])


def save(job: dict[str, Any], result: ExperimentResult) -> NoReturn:
    redirect_stderr(job["stderr"])
    allow_tracers()
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
    report(os.getpid())  # only now: a tracer must not see the preparation
    os.read(0, 1)
    try:
        os.getppid()  # marks the begin of the save in the trace
        try:
            if job["failure"]:
                path = save_failed_run(result, root, durable=job["durable"])
            else:
                path = result.save(root, source, durable=job["durable"])
        finally:
            os.getppid()  # marks its end
        outcome = {"kind": "saved", "path": str(path)}
    except PersistenceError as error:
        outcome = {"kind": error.__class__.__name__, "is": [base.__name__ for base in type(error).__mro__]}
        for name in ("errno", "filename", "step", "committed", "result_path"):
            outcome[name] = getattr(error, name)
        outcome["message"] = str(error)
        outcome["cause"] = type(error.__cause__).__name__
    except BaseException as error:  # noqa: BLE001 - the test checks every error
        outcome = {"kind": type(error).__name__, "message": str(error)}
    report(outcome)
    os._exit(0)


def save_failed_run(result: ExperimentResult, root: str, *, durable: bool) -> Path:
    path: Path = ResultStore(root).save_failure(result.effective_config, ValueError("x"), durable=durable)
    return path


def prepare(job: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if job["alarm"]:
        signal.signal(signal.SIGALRM, raise_timeout)
    if job["gone_cwd"]:
        gone = Path(job["stderr"]).with_name("gone")
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
    limit_file_size(job["fsize"])
    limit_descriptors(job["descriptors"])
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
