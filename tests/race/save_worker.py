# ruff: noqa: ARG001, PERF203 - all roles have one signature, and each failure is reported
"""Processes and threads that save into one directory at once.

Run as a script with a job as JSON and a directory of reports. It forks its processes, which wait for a common
start, and each writes a JSON file of its saves.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from llenergymeasure import ExperimentResult, PersistenceError, ResultStore
from support.processes import HANG


class Report:
    """The saves and failures of one process."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, int]] = []
        self.failed: list[str] = []
        self.seen = 0

    def send(self) -> None:
        # The clock distinguishes processes that get the same id.
        path = Path(sys.argv[2]) / f"{os.getpid()}-{time.monotonic_ns()}.json"
        path.write_text(json.dumps({"saved": self.saved, "failed": self.failed, "seen": self.seen}))


def main(job: dict[str, Any]) -> None:
    results = [ExperimentResult.model_validate_json(text) for text in job["results"]]
    if job["stamp"]:
        time.strftime = lambda *_: job["stamp"]
    for round_ in range(job["rounds"]):
        root = Path(job["root"].format(round=round_))
        start = os.pipe()
        children = [
            fork(ROLES[role], number, start, results, root, job) for number, role in enumerate(job["roles"])
        ]
        os.close(start[0])
        os.close(start[1])
        for child in children:
            _, status = os.waitpid(child, 0)
            if status != 0:
                sys.exit(f"a process of round {round_} ended with status {status}")


def fork(
    role: Any,
    number: int,
    start: tuple[int, int],
    results: list[ExperimentResult],
    root: Path,
    job: dict[str, Any],
) -> int:
    child = os.fork()
    if child:
        return child
    signal.alarm(HANG)  # a process that hangs ends, and fails the test
    os.close(start[1])
    report = Report()
    os.read(start[0], 1)
    try:
        role(report, number, results, root, job)
        report.send()
    except BaseException as error:  # noqa: BLE001 - the parent reports it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


def save_all(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    which = number % len(results)
    for _ in range(job["saves"]):
        try:
            path = results[which].save(root, job["source"], durable=job["durable"])
            report.saved.append((str(path), which))
        except Exception as error:  # noqa: BLE001 - each failure is reported
            report.failed.append(f"{type(error).__name__}: {error}")


def save_in_threads(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    threads = [
        threading.Thread(target=save_all, args=(report, number + n, results, root, job)) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def save_many(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    which = number % len(results)
    sources = [job["source"]] * job["saves"]
    paths = ResultStore(root).save_many(
        (results[which] for _ in sources), timeseries_sources=sources, durable=job["durable"]
    )
    report.saved += [(str(path), which) for path in paths]


def write(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    """Save through one writer from several threads."""
    which = number % len(results)
    futures = []
    with ResultStore(root).writer(durable=job["durable"], max_pending=job.get("max_pending", 64)) as writer:

        def submit() -> None:
            for _ in range(job["saves"]):
                futures.append(writer.submit(results[which], job["source"]))  # noqa: PERF401 - threads share the list

        threads = [threading.Thread(target=submit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report.saved += [(str(future.result(0)), which) for future in futures]


def fail(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    """Fail at the write of each record, which removes the claimed directory."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    for _ in range(job["saves"]):
        try:
            path = results[number % len(results)].save(root, durable=job["durable"])
        except PersistenceError as error:
            assert not error.committed, error  # noqa: PT017
        else:
            report.failed.append(f"saved {path} over the limit")
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def be_interrupted(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    """Interrupt each save at a random moment, which removes the claimed directory before the commit."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    which = number % len(results)
    for _ in range(job["saves"]):
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1e-3))
            results[which].save(root, durable=job["durable"])
            # Not `pause`, which never returns after a signal that comes just before it.
            while signal.getitimer(signal.ITIMER_REAL)[0] > 0:
                time.sleep(1e-4)
            time.sleep(0.002)
        except KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def read_all(
    report: Report, _: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    """Read every record again and again, until all expected records exist."""
    sidecar = Path(job["source"]).read_bytes() if job["source"] else None
    named = {
        name: [r.model_copy(update={"timeseries": name}) for r in results]
        for name in (None, "timeseries.parquet")
    }
    expected = results if sidecar is None else named["timeseries.parquet"]
    end = time.monotonic() + HANG / 2
    there = 0
    while there < job["expected"] and time.monotonic() < end:
        records = list(root.glob("*/result.json"))
        there = len(records)
        for record in records:
            report.seen += 1
            try:
                loaded = ExperimentResult.from_json(record, missing_sidecar="error")
            except Exception as error:  # noqa: BLE001 - each failure is reported
                report.failed.append(f"{record}: {type(error).__name__}: {error}")
                continue
            if loaded not in expected:
                report.failed.append(f"{record} is another result")
        for path in root.glob("*/timeseries.parquet"):
            if path.read_bytes() != sidecar:
                report.failed.append(f"{path} is torn")


def remove_root(report: Report, _: int, __: list[ExperimentResult], root: Path, job: dict[str, Any]) -> None:
    """Remove the output directory whenever it is empty, as a person might."""

    def is_empty() -> bool:
        try:
            return not list(root.glob("*/result.json"))
        except FileNotFoundError:  # removed during the listing
            return True

    end = time.monotonic() + HANG / 2
    while time.monotonic() < end and is_empty():
        # Pause: a tight loop would always win the race.
        time.sleep(random.uniform(0, 2e-3))
        try:
            root.rmdir()
            report.seen += 1
        except OSError:
            pass


def fork_while_saving(
    report: Report, number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> None:
    """Fork while other threads save, and save in the child."""
    over = threading.Event()

    def busy(which: int) -> None:
        mine = Report()
        while not over.is_set():
            save_all(mine, which, results, root, {**job, "saves": 1})
        report.saved += mine.saved
        report.failed += mine.failed

    threads = [threading.Thread(target=busy, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(job["saves"]):
        child = os.fork()
        if child == 0:
            save_in_the_child(number, results, root, job)
        _, status = os.waitpid(child, 0)
        if status != 0:
            report.failed.append(f"a child ended with status {status}")
    over.set()
    for thread in threads:
        thread.join()


def save_in_the_child(
    number: int, results: list[ExperimentResult], root: Path, job: dict[str, Any]
) -> NoReturn:
    signal.alarm(HANG)  # ends a child that waits for a lock of another thread
    report = Report()
    save_all(report, number, results, root, {**job, "saves": 3})
    report.send()
    os._exit(0)


ROLES = {
    "save": save_all,
    "threads": save_in_threads,
    "many": save_many,
    "writer": write,
    "fail": fail,
    "interrupt": be_interrupted,
    "read": read_all,
    "remove": remove_root,
    "fork": fork_while_saving,
}

if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
