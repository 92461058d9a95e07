"""Two hosts that save into one location, one of which is cut off while its requests are in flight."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.faulty_proxy import FaultyProxy
from support.invariants import Ended, check_invariants
from support.locations import Location
from support.namespaces import Host, namespaces_missing, two_hosts
from support.processes import HANG, wait_until

from .conftest import DEFAULT_JOB, SOAK, WORKER

OUTAGES = [3.0, 45.0, 150.0] if SOAK else [3.0]
"""Seconds. A request waits 30 seconds for its answer, and a save gives up after 120."""


@pytest.fixture
def hosts() -> Iterator[tuple[str, Host, Host]]:
    if why := namespaces_missing():
        pytest.skip(why)
    with two_hosts() as hosts:
        yield hosts


def start(host: Host, location: Location, reports: Path, first: int, seconds: float) -> subprocess.Popen[str]:
    """Start savers on a host."""
    reports.mkdir()
    job = {"processes": 4, "saves": 100_000, "first": first, "traces": 3, "seconds": seconds, "pause": 0.05}
    worker = [sys.executable, "-W", "ignore", str(WORKER), json.dumps(DEFAULT_JOB | location.job() | job)]
    return subprocess.Popen(host.command(*worker, str(reports)), stderr=subprocess.PIPE, text=True)


def has_ended(savers: list[subprocess.Popen[str]]) -> bool:
    """Return whether some of the savers have ended."""
    return any(saver.poll() is not None for saver in savers)


@pytest.mark.parametrize("outage", OUTAGES)
def test_host_cut_off_in_flight_loses_and_doubles_nothing(
    server: Location, hosts: tuple[str, Host, Host], tmp_path: Path, outage: float
) -> None:
    address, steady, cut_off = hosts
    with closing(FaultyProxy(server.port, address)) as proxy:
        # Slow answers are in flight when the cable is cut.
        proxy.plan(rates={"PUT": {"slow": 0.5}}, slow=0.5)
        seen = server.through(proxy)
        reports = [tmp_path / "steady", tmp_path / "cut"]
        savers = [
            start(host, seen, place, 1_000_000 * number, outage + 8)
            for number, (host, place) in enumerate(zip((steady, cut_off), reports, strict=True))
        ]
        wait_until(lambda: len({one["peer"] for one in proxy.requests("PUT")}) == 2 or has_ended(savers))
        time.sleep(2)
        cut_off.cut()
        before = len(proxy.requests())
        time.sleep(outage)
        assert len(proxy.requests()) > before, "the other host waited"
        cut_off.mend()
        for saver in savers:
            _, errors = saver.communicate(timeout=HANG + 150)
            assert (saver.returncode, errors) == (0, "")
    ended = Ended()
    for place in reports:
        part = Ended.read(place)
        assert len(part.saved) >= 4
        ended.add(part)
    assert ended.failed == []
    assert bool(ended.unknown) == (outage > HANG)
    found = check_invariants(server, ended)
    assert server.store().verify(deep=True).damaged == []
    print(f"{outage:.0f} s: {len(ended.saved)} saved, {ended.unknown} unknown, {len(found)} records")  # noqa: T201
