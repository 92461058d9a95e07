"""`llem check`: object stores that keep their conditions, and stores that only claim it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import PersistenceError
from llenergymeasure.results import _durability
from support.doubles import Double
from support.faulty_proxy import FaultyProxy, losses
from support.locations import Location, double_location
from support.program import run_llem
from support.results import make_result

from .conftest import give_environment, needs_remote

pytestmark = needs_remote


Proxied = Callable[[Location], tuple[Location, FaultyProxy]]


@pytest.fixture
def double(open_location: Callable[[str], Location]) -> Location:
    """Return an empty bucket of the double of S3."""
    return open_location("s3")


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(_durability, "_checked", set())
    monkeypatch.setattr(_durability, "_warned", set())


def test_check_good_store_passes_and_leaves_nothing(
    remote: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_durability.QUIET, raising=False)
    store = remote.store()
    assert store.durability == "unknown"
    with pytest.warns(UserWarning, match="llem check"):
        path = store.save(make_result())
    check = store.check()
    assert (check.ok, check.winners, check.lacks, check.left) == (True, 1, {}, [])
    assert store.durability == "full"
    assert list(remote.files()) == [f"{path.parent.name}/result.json"]
    assert store.verify().ok


@pytest.mark.parametrize("dialect", ["s3", "gcs", "azure"])
@pytest.mark.parametrize("conditions", ["ignored", "racy"])
def test_check_finds_store_that_lets_several_saves_win(dialect: str, conditions: str) -> None:
    with closing(Double(dialect, conditions)) as double:
        location = double_location(double)
        store = location.store()
        check = store.check()
        assert not check.ok
        assert check.overwrites == (conditions == "ignored")
        assert (check.winners > 1) == (conditions == "racy")
        assert "cannot hold" in str(check)
        assert store.durability != "full"
        assert location.files() == {}


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [("HEAD", {"HEAD"}), ("GET", {"GET"}), ("LIST", {"LIST"}), ("DELETE", {"DELETE"}), ("", set())],
)
def test_check_reports_requests_that_a_role_lacks(
    double: Location, proxied: Proxied, kind: str, lacks: set[str]
) -> None:
    location, proxy = proxied(double)
    if kind:
        proxy.plan(rules=[{"fault": "denied", "kind": kind}])
    check = location.store().check()
    assert set(check.lacks) == lacks
    assert check.is_atomic
    assert check.ok == (kind != "HEAD")
    assert bool(check.left) == bool(double.files()) == (kind == "DELETE")
    assert len(check.left) == len(double.files())
    if kind:
        assert f"the role lacks {kind}" in str(check)


def test_check_by_a_role_that_may_not_put_says_so(double: Location, proxied: Proxied) -> None:
    location, proxy = proxied(double)
    proxy.plan(rules=[{"fault": "denied", "kind": "PUT"}])
    with pytest.raises(PersistenceError, match="do not have this permission"):
        location.store().check()


def test_check_through_a_network_that_loses_answers_passes(double: Location, proxied: Proxied) -> None:
    location, proxy = proxied(double)
    proxy.plan(seed=5, rates=losses(PUT=0.3), late=0.05)
    check = location.store().check()
    assert (check.overwrites, check.winners <= 1) == (False, True)


def test_check_missing_bucket_says_so(double: Location) -> None:
    location: Any = double
    location.root = "s3://absent-bucket/x"
    with pytest.raises(PersistenceError, match="the bucket does not exist"):
        location.store().check()


def test_llem_check_prints_one_sentence_or_json(double: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    give_environment(monkeypatch, double)
    done = run_llem("check", double.root)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{double.root} can hold results")
    assert done.out.count("\n") == 1
    document = json.loads(run_llem("check", double.root, "--json").out)
    assert (document["ok"], document["winners"], document["url"]) == (True, 1, double.root)
    failed = run_llem("check", "s3://absent-bucket")
    assert failed.status == 1
    assert "the bucket does not exist" in failed.err
    assert run_llem("check", "here").status == 2
