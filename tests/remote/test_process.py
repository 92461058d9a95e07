"""Forks, signals and threads: a process that used an object store, and one that never did."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.faulty_proxy import FaultyProxy
from support.locations import LocalLocation, Location
from support.processes import run_code

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tests read /proc, and fork")
HEAD = """
import json, os, signal, sys, threading, time, warnings
from llenergymeasure import ResultStore, SaveInterrupted
from support.invariants import numbered_result, numbered_trace
# A shell starts its background jobs with this signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
job = json.loads(sys.argv[1])
store = ResultStore(job["root"], **({"options": job["options"]} if job["options"] else {}))
"""


def run(location: Location, code: str) -> str:
    done = run_code(HEAD + code, json.dumps(location.job()), options=("-W", "ignore"))
    assert done.returncode == 0, done.stderr[-3000:]
    return str(done.stdout)


def test_fork_after_use_saves_and_reads_in_both(remote: Location) -> None:
    out = run(
        remote,
        """
store.save(numbered_result(0))
child = os.fork()
signal.alarm(60)
number = 2 if child else 1
store.save(numbered_result(number), numbered_trace(number))
assert len(store.load_all()) >= 2
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(sorted(one.total_tokens for one in store.load_all()))
""",
    )
    assert out == "[0, 1, 2]\n"


def test_fork_during_saves_of_other_threads_succeeds(server: Location) -> None:
    out = run(
        server,
        """
signal.alarm(120)
# pydantic has a lock of its own, which a fork may leave held.
results = {number: numbered_result(number) for number in [*range(400), *range(1000, 1005)]}
results[0].model_dump_json()
def save(first):
    for number in range(first, first + 5):
        store.save(results[number])
threads = [threading.Thread(target=save, args=(100 * n,)) for n in range(4)]
for thread in threads: thread.start()
child = os.fork()
if not child:
    signal.alarm(60)
    save(1000)
    os._exit(0)
for thread in threads: thread.join()
assert os.waitpid(child, 0)[1] == 0
print(len(store.load_all()))
""",
    )
    assert out == "25\n"


def test_local_process_starts_no_runtime_and_opens_no_socket(tmp_path: Path) -> None:
    out = run(
        LocalLocation(tmp_path / "local"),
        """
store.save(numbered_result(0), numbered_trace(0))
store.save_many(map(numbered_result, range(1, 9)))
store.load_all(); store.scan(["path"]).to_pydict(); store.verify(deep=True); store.clean(); store.completed()
names = [open(f"/proc/self/task/{one}/comm").read().strip() for one in os.listdir("/proc/self/task")]
paths = [f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd")]
links = [os.readlink(path) for path in paths if os.path.lexists(path)]
print([name for name in names if "tokio" in name or "remote" in name])
print([link for link in links if link.startswith("socket")])
""",
    )
    assert out == "[]\n[]\n"


@pytest.mark.parametrize("verb", ["save(numbered_result(0))", "load_all()", "scan(['path']).to_pydict()"])
def test_interrupt_of_a_silent_store_takes_effect_at_once(
    bucket: Location, proxied: Callable[[Location], tuple[Location, FaultyProxy]], verb: str
) -> None:
    seen, proxy = proxied(bucket)
    proxy.plan(rules=[{"fault": "stall"}], stall=20.0)
    out = run(
        seen,
        f"""
start = []
def interrupt():
    time.sleep(1)
    start.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    store.{verb}
except KeyboardInterrupt as error:
    print(time.monotonic() - start[0])
""",
    )
    assert float(out) < (2.0 if os.environ.get("CI") else 1.0)


def test_interrupt_of_save_many_reports_puts_in_flight(
    bucket: Location, proxied: Callable[[Location], tuple[Location, FaultyProxy]]
) -> None:
    seen, proxy = proxied(bucket)
    proxy.plan(rules=[{"fault": "stall", "key": "result", "skip": 4}], stall=20.0)
    out = run(
        seen,
        """
def interrupt():
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    store.save_many(map(numbered_result, range(20)))
except SaveInterrupted as error:
    print(len(error.saved), len(error.unconfirmed), len(error.saved) + len(error.unconfirmed) <= 20)
""",
    )
    saved, unconfirmed, fits = out.split()
    assert fits == "True"
    assert int(saved) >= 1
    assert int(unconfirmed) >= 1
