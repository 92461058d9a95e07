"""Processes that save at once into one location lose, double, mix and tear nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from support.faulty_proxy import FaultyProxy
from support.invariants import Ended, check_invariants
from support.locations import Location
from support.processes import HANG

from .conftest import DEFAULT_JOB, WORKER, count

Proxied = Callable[[Location], tuple[Location, FaultyProxy]]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")


@pytest.mark.parametrize("traces", [0, 1, 2])
def test_save_in_16_processes_keeps_every_result(
    location: Location, savers: Callable[..., Ended], traces: int
) -> None:
    saves = count(location, 2 if traces else 10, 200 if traces else 1000)
    ended = savers(location, processes=16, saves=saves, traces=traces)
    assert (ended.failed, ended.unknown) == ([], {})
    assert len(check_invariants(location, ended)) == len(ended.saved) == 16 * saves
    assert location.store().verify().ok


def test_save_many_in_8_processes_keeps_every_result(
    location: Location, savers: Callable[..., Ended]
) -> None:
    ended = savers(location, processes=8, saves=20, traces=4, bulk=True)
    assert ended.failed == []
    assert len(check_invariants(location, ended)) == len(ended.saved) == 160


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("traces", [0, 1])
def test_kill_at_every_request_of_a_save_leaves_a_result_or_a_leftover(
    server: Location, proxied: Proxied, savers: Callable[..., Ended], tmp_path: Path, traces: int, when: str
) -> None:
    for at in range(1, 7):
        location = server.fresh()
        seen, proxy = proxied(location)
        reports = tmp_path / uuid.uuid4().hex
        reports.mkdir()
        job = DEFAULT_JOB | seen.job() | {"saves": 1, "first": at, "traces": traces, "wait": True}
        child = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(job), str(reports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        proxy.kill(int(child.stdout.readline()), at, when)
        child.communicate("\n", timeout=HANG)
        ended = Ended.read(reports)
        found = check_invariants(location, ended)
        if child.returncode == 0:
            assert at > 1
            assert len(ended.saved) == 1
            break
        assert child.returncode == -signal.SIGKILL
        proxy.plan()
        # The next savers are not disturbed by what the killed one left.
        more = savers(seen, saves=2, first=100, traces=traces)
        assert len(check_invariants(location, more)) == 2 + len(found)
        verification = location.store().verify()
        assert verification.damaged == []
    else:
        pytest.fail("a save sent more than six requests")


def test_suffixes_of_saves_without_and_with_sidecar_differ_in_parity(
    remote: Location, savers: Callable[..., Ended]
) -> None:
    ended = savers(remote, processes=4, saves=6, traces=2)
    for path, is_with_trace in ended.saved.values():
        name = path.split("/")[-2]
        suffix = int(name.rpartition("_")[2]) if not name.endswith("14-30") else 0
        assert suffix % 2 == is_with_trace, name
