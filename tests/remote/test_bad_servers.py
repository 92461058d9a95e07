"""Servers that ignore conditions, or check them without atomicity, are found, and so are doubles of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import LLEMError
from llenergymeasure.results import _durability
from support import servers
from support.doubles import Double
from support.invariants import numbered_result, numbered_trace
from support.locations import Location, S3Location, double_location
from support.program import run_llem

from .conftest import give_environment, needs_remote

pytestmark = needs_remote
START: dict[str, Callable[[Path], Any]] = {"rclone": servers.rclone, "s3s-fs": servers.s3s_fs}


@pytest.fixture
def bad(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Location]:
    """Return a bucket of a bad server, or of its double."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(_durability, "_checked", set())
    if request.param not in START:
        with closing(Double("s3", request.param)) as double:
            yield double_location(double)
    elif servers.find_program(request.param) is None:
        pytest.skip(f"no {request.param}: make test-remote installs it")
    else:
        with START[request.param](tmp_path) as server:
            yield S3Location(server)


@pytest.mark.parametrize("bad", ["ignored", "rclone"], indirect=True)
@pytest.mark.parametrize("verb", ["save", "save with trace", "save_many"])
def test_first_save_to_store_that_overwrites_is_refused(bad: Location, verb: str) -> None:
    store = bad.store()
    calls: dict[str, Callable[[], object]] = {
        "save": lambda: store.save(numbered_result(1)),
        "save with trace": lambda: store.save(numbered_result(1), numbered_trace(1)),
        "save_many": lambda: store.save_many([numbered_result(1)]),
    }
    for _ in range(2):
        with pytest.raises(LLEMError, match="overwrite"):
            calls[verb]()
    assert store.durability == "none"


@pytest.mark.parametrize("bad", ["ignored", "rclone"], indirect=True)
def test_check_of_store_that_overwrites_says_so(bad: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    store = bad.store()
    check = store.check()
    assert (check.ok, check.overwrites) == (False, True)
    assert store.durability != "full"
    assert bad.files() == {}
    give_environment(monkeypatch, bad)
    done = run_llem("check", bad.root)
    assert done.status == 1
    assert "cannot hold results" in done.out


@pytest.mark.parametrize("bad", ["racy", "s3s-fs"], indirect=True)
def test_check_of_store_without_atomicity_finds_several_winners(
    bad: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bad.store()
    store.save(numbered_result(1))  # a save alone finds nothing
    assert store.durability == "unknown"
    check = store.check()
    assert (check.ok, check.overwrites, check.is_atomic) == (False, False, False)
    assert check.winners > 1
    assert store.durability != "full"
    give_environment(monkeypatch, bad)
    done = run_llem("check", bad.root)
    assert done.status == 1
    assert "cannot hold the results of concurrent saves" in done.out
