"""Processes that save into one location at once.

Run as a script with a job as JSON and a directory of reports. It forks its processes, which wait for a common
start, and each writes a JSON file of its saves. A job with `wait` writes its process id first, and waits.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from llenergymeasure import BulkSaveError, PersistenceError, ResultStore
from support.invariants import numbered_result, numbered_trace
from support.processes import fork, join


def open_store(job: dict[str, Any]) -> ResultStore:
    settings = {} if job["options"] is None else {"options": job["options"]}
    return ResultStore(job["root"], **settings)


def save_each(store: ResultStore, numbers: list[int], job: dict[str, Any]) -> dict[str, Any]:
    """Save results one by one, for some seconds if the job says so; ask at the end for unknown outcomes."""
    report: dict[str, Any] = {"saved": [], "failed": [], "unknown": []}
    unknown: list[tuple[int, PersistenceError]] = []
    end = time.monotonic() + job["seconds"]
    for number in numbers:
        if job["seconds"] and time.monotonic() > end:
            break
        time.sleep(job["pause"])
        is_with_trace = has_trace(number, job)
        try:
            path = store.save(numbered_result(number), numbered_trace(number) if is_with_trace else None)
            report["saved"].append([number, str(path), is_with_trace])
        except PersistenceError as error:
            if error.committed is None:
                unknown.append((number, error))
            else:
                report["failed"].append([number, error.committed, str(error)])
    if unknown:
        time.sleep(job["settle"])
    for number, cause in unknown:
        path = store.resolve(cause)
        report["unknown"].append([number, None if path is None else str(path)])
    return report


def save_bulk(store: ResultStore, numbers: list[int], job: dict[str, Any]) -> dict[str, Any]:
    """Save all results by one `save_many`."""
    traces = [numbered_trace(number) if has_trace(number, job) else None for number in numbers]
    try:
        paths = store.save_many(map(numbered_result, numbers), timeseries_sources=traces)
    except BulkSaveError as error:
        return {"saved": [], "failed": [[-1, None, f"{error}: {error.failed}"]], "unknown": []}
    saved = [[number, str(path), has_trace(number, job)] for number, path in zip(numbers, paths, strict=True)]
    return {"saved": saved, "failed": [], "unknown": []}


def has_trace(number: int, job: dict[str, Any]) -> bool:
    return bool(job["traces"]) and number % int(job["traces"]) == 0


def work(process: int, start: tuple[int, int], job: dict[str, Any], reports: Path) -> None:
    os.close(start[1])
    os.read(start[0], 1)
    first = job["first"] + process * job["saves"]
    numbers = list(range(first, first + job["saves"]))
    save = save_bulk if job["bulk"] else save_each
    report = save(open_store(job), numbers, job)
    (reports / f"{process}.json").write_text(json.dumps(report))


def main(job: dict[str, Any], reports: Path) -> None:
    if job["stamp"]:
        time.strftime = lambda *_: job["stamp"]
    if job["wait"]:
        print(os.getpid(), flush=True)  # noqa: T201 - the test reads it
        sys.stdin.readline()
    if job["processes"] == 1:
        start = os.pipe()
        os.write(start[1], b"!")
        work(0, start, job, reports)
        return
    start = os.pipe()
    children = [
        fork(work, n, start, job, reports, seconds=1200 + int(job["seconds"]))
        for n in range(job["processes"])
    ]
    os.close(start[0])
    os.close(start[1])
    for child in children:
        join(child)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
