"""The faulty proxy loses, delays and refuses as its plan says, and counts what it sees."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from support.doubles import Double
from support.faulty_proxy import FAULTS, LOSSES, REFUSALS, FaultyProxy, losses
from support.plain_http import CREATE, create, send
from support.processes import HANG

HAVE_STORED = {"lose_500", "drop_after", "cut", "slow", "stall"}


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[Double, FaultyProxy]]:
    with closing(Double("s3")) as double, closing(FaultyProxy(double.port)) as proxy:
        yield double, proxy


@pytest.fixture
def double(programs: tuple[Double, FaultyProxy]) -> Double:
    """Return a double with an empty bucket."""
    programs[0].new_bucket("bucket")
    return programs[0]


@pytest.fixture
def proxy(double: Double, programs: tuple[Double, FaultyProxy]) -> FaultyProxy:
    """Return a proxy without a plan, before the double."""
    assert double is programs[0]
    programs[1].plan()
    programs[1].clear()
    return programs[1]


def test_forward_without_plan_changes_nothing_and_counts(double: Double, proxy: FaultyProxy) -> None:
    assert create(proxy.port, "s3", "a b", b"x" * 100_000).status == 200
    assert send(proxy.port, "GET", "/bucket/a b").body == b"x" * 100_000
    assert send(proxy.port, "HEAD", "/bucket/a b").headers["content-length"] == "100000"
    assert send(proxy.port, "GET", "/bucket", query="list-type=2").status == 200
    assert double.objects("bucket") == {"a b": b"x" * 100_000}
    assert proxy.counts() == {"PUT": 1, "GET": 1, "HEAD": 1, "LIST": 1}
    (put,) = proxy.requests("PUT")
    assert (put["key"], put["status"], put["size"], put["fault"]) == ("/bucket/a b", 200, 100_000, "")
    assert put["headers"]["if-none-match"] == "*"
    proxy.clear()
    assert proxy.counts() == {}


def test_log_has_no_credentials(proxy: FaultyProxy) -> None:
    send(proxy.port, "PUT", "/bucket/a", CREATE["s3"] | {"Authorization": "secret"})
    assert "secret" not in str(proxy.requests())


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_answers_and_stores_as_it_says(double: Double, proxy: FaultyProxy, fault: str) -> None:
    proxy.plan(rules=[{"fault": fault, "kind": "PUT"}], late=0.2, slow=0.2, stall=0.2)
    start = time.monotonic()
    answer = create(proxy.port, "s3", "a")
    seconds = time.monotonic() - start
    stored = "a" in double.objects("bucket")
    assert stored == (fault in HAVE_STORED)
    if fault in REFUSALS:
        status, code, _ = REFUSALS[fault]
        assert (answer.status, code in answer.body.decode()) == (status, True)
    elif fault != "cut":
        assert answer.status == {"lose_500": 500, "slow": 200, "stall": 200}.get(fault, 0)
    assert (seconds >= 0.2) == (fault in ("slow", "stall"))
    proxy.settle()
    assert ("a" in double.objects("bucket")) == (fault in {*HAVE_STORED, "late"})
    (seen,) = proxy.requests()
    assert seen["fault"] == fault
    assert (seen["status"] == 200) == (fault in {*HAVE_STORED, "late"})


def test_cut_answer_is_incomplete(proxy: FaultyProxy) -> None:
    create(proxy.port, "s3", "a", b"x" * 1000)
    proxy.plan(rules=[{"fault": "cut", "kind": "GET"}])
    assert send(proxy.port, "GET", "/bucket/a").status == 0


def test_rule_applies_to_the_requests_that_it_names(proxy: FaultyProxy) -> None:
    proxy.plan(rules=[{"fault": "error", "kind": "PUT", "key": "result", "skip": 1, "times": 2}])
    statuses = [create(proxy.port, "s3", f"{n}/result.json").status for n in range(5)]
    assert statuses == [200, 500, 500, 200, 200]
    assert create(proxy.port, "s3", "other").status == 200


def test_rates_are_met_and_repeat_with_their_seed(proxy: FaultyProxy) -> None:
    def run(seed: int) -> list[str]:
        proxy.clear()
        proxy.plan(seed=seed, rates=losses(PUT=0.4), late=0.01)
        for number in range(120):
            send(proxy.port, "PUT", f"/bucket/{number}", CREATE["s3"])
        return [one["fault"] for one in proxy.requests()]

    first = run(1)
    assert run(1) == first
    assert run(2) != first
    counts = Counter(first)
    assert set(counts) == {"", *LOSSES["PUT"]}
    assert 50 < counts[""] < 95


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_ends_the_process_at_its_request(double: Double, proxy: FaultyProxy, when: str) -> None:
    code = f"""
from support.plain_http import create
input()
for number in range(9):
    create({proxy.port}, "s3", str(number))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    proxy.kill(child.pid, 3, when)
    child.communicate(b"\n", timeout=HANG)
    assert child.returncode == -9
    assert sorted(double.objects("bucket")) == (["0", "1"] if when == "before" else ["0", "1", "2"])
    assert create(proxy.port, "s3", "next").status == 200
