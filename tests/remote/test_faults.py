"""Saves and reads through a store that loses, delays and refuses: nothing is lost, doubled, mixed or torn."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from llenergymeasure import LLEMError, PersistenceError
from support.doubles import Double
from support.faulty_proxy import FaultyProxy, losses
from support.invariants import Ended, check_invariants, numbered_result, numbered_trace
from support.locations import DoubleLocation, Location
from support.loopback import HOST

from .conftest import SERVERS, SOAK, count

Proxied = Callable[[Location], tuple[Location, FaultyProxy]]
BAD = losses(PUT=0.4, GET=0.1, LIST=0.1, HEAD=0.1)


@pytest.mark.parametrize("bulk", [False, True])
def test_savers_through_losses_keep_every_invariant(
    remote: Location, proxied: Proxied, savers: Callable[..., Ended], *, bulk: bool
) -> None:
    seen, proxy = proxied(remote)
    proxy.plan(seed=3, rates=BAD, late=0.2)
    processes, saves = 16 if SOAK else 4, count(remote, 8 if remote.name == "s3" else 4, 625)
    ended = savers(seen, processes=processes, saves=saves, traces=3, bulk=bulk)
    proxy.settle()
    assert ended.failed == []
    found = check_invariants(remote, ended)
    assert len(found) >= len(ended.saved)
    assert len(ended.saved) + len(ended.unknown) == processes * saves
    puts = proxy.requests("PUT")
    lost = [one for one in puts if one["fault"]]
    assert len(lost) > saves
    print(f"{len(ended.saved)} saved, {len(ended.unknown)} unknown, {len(found)} records")  # noqa: T201
    print(f"{len(lost)} of {len(puts)} PUTs had a fault")  # noqa: T201
    verification = remote.store().verify(deep=True)
    assert verification.damaged == []


def test_readers_through_losses_read_everything(remote: Location, proxied: Proxied) -> None:
    numbers = list(range(60 if remote.name in ("s3", *SERVERS) else 20))
    traces = [numbered_trace(n) if n % 5 == 0 else None for n in numbers]
    remote.store().save_many(map(numbered_result, numbers), timeseries_sources=traces)
    seen, proxy = proxied(remote)
    proxy.plan(seed=5, rates=losses(GET=0.1, LIST=0.1, HEAD=0.1))
    store = seen.store()
    assert sorted(one.total_tokens for one in store.load_all()) == numbers
    assert sorted(store.scan(["total_tokens"]).to_pydict()["total_tokens"]) == numbers
    assert len(store.scan_timeseries().to_pydict()["power_w"]) == 2 * len(numbers) // 5
    assert store.verify(deep=True).complete == len(numbers)


@pytest.mark.parametrize(
    "fault", ["lose_500", "drop_after", "drop_before", "late", "conflict", "slow_down", "slow"]
)
@pytest.mark.parametrize("name", ["result.json", "timeseries.parquet"])
def test_save_whose_first_put_fails_is_saved_once(
    remote: Location, proxied: Proxied, fault: str, name: str
) -> None:
    seen, proxy = proxied(remote)
    rule = {"fault": fault, "kind": "PUT", "key": name, "times": 1}
    proxy.plan(rules=[rule], late=0.2, slow=0.2)
    path = seen.store().save(numbered_result(5), numbered_trace(5))
    proxy.settle()
    check_invariants(remote, Ended(saved={5: (str(path), True)}))
    assert len(remote.records()) == 1


@pytest.mark.parametrize("how", ["save", "save_many", "list", "read"])
def test_request_that_is_sent_again_is_logged(
    remote: Location, proxied: Proxied, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    seen, proxy = proxied(remote)
    store = seen.store()
    store.save(numbered_result(0))
    assert not caplog.messages
    kind = {"list": "LIST", "read": "GET"}.get(how, "PUT")
    proxy.plan(rules=[{"fault": "slow_down", "kind": kind, "key": "", "times": 1}])
    if how == "save":
        store.save(numbered_result(1))
    elif how == "save_many":
        store.save_many([numbered_result(1)])
    else:
        store.load_all()
    (message,) = caplog.messages
    assert str(store.root) in message
    assert "503" in message
    assert "sent again after" in message
    assert {record.name for record in caplog.records} == {"llenergymeasure"}


REFUSED = {
    "expired": "expired",
    "clock_skew": "clock",
    "denied": "403",
    "bad_key": "does not know the access key",
    "bad_signature": "the secret does not fit",
    "wrong_region": "region",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_save_fails_at_once_with_a_remedy(bucket: Location, proxied: Proxied, fault: str) -> None:
    seen, proxy = proxied(bucket)
    proxy.plan(rules=[{"fault": fault}])
    start = time.monotonic()
    with pytest.raises(PersistenceError, match=f"(?i){REFUSED[fault]}") as raised:
        seen.store().save(numbered_result(1))
    error = raised.value
    assert error.committed is False
    assert time.monotonic() - start < 30
    assert error.url is not None
    assert error.url.startswith(seen.root)
    assert error.status in (400, 403)
    assert str(error.request_id).startswith("PROXY")
    text = f"{error} {error!r}"
    assert "testtest" not in text
    assert "\n" not in str(error)
    assert bucket.files() == {}
    with pytest.raises(LLEMError):
        seen.store().load_all()


def test_verbs_on_missing_bucket_name_the_bucket(bucket: Location) -> None:
    bucket.root = "s3://no-such-bucket-of-llem/prefix"
    store = bucket.store()
    named = pytest.raises(LLEMError, match=r"no-such-bucket-of-llem/.*the bucket does not exist; create it")
    with named:
        store.load_all()
    if bucket.name != "seaweedfs":  # a PUT of its administrator creates the bucket
        with named:
            store.save(numbered_result(1))


def test_save_to_closed_port_says_so_quickly(bucket: Location) -> None:
    bucket.port = 9
    start = time.monotonic()
    refused = pytest.raises(PersistenceError, match=rf"{HOST}:9 was refused; start .*\[ECONNREFUSED\]")
    with refused as raised:
        bucket.store().save(numbered_result(1))
    assert raised.value.committed is False
    assert isinstance(raised.value, ConnectionRefusedError)
    assert time.monotonic() - start < 30
    with refused:
        bucket.store().load_all()


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://no-such-host.invalid", "the host no-such-host.invalid was not found; check the endpoint"),
        ("https://{}:{}", "no TLS connection to .*; check the certificate, or http:// in the endpoint"),
    ],
)
def test_read_through_wrong_endpoint_names_what_to_check(server: Location, endpoint: str, said: str) -> None:
    store = server.store(options={"endpoint": endpoint.format(HOST, server.port)})
    with pytest.raises(PersistenceError, match=said) as raised:
        store.load_all()
    assert "[" not in str(raised.value)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("access_key_id", "the store does not know the access key; check it"),
        ("secret_access_key", "the secret does not fit the access key; check both"),
    ],
)
def test_verbs_with_wrong_credentials_name_what_to_check(server: Location, option: str, said: str) -> None:
    if server.name == "moto":
        pytest.skip("moto accepts every key")
    store = server.store(options={option: "wrong"})
    for call in (store.load_all, store.completed, lambda: store.save(numbered_result(1))):
        with pytest.raises(PersistenceError, match=rf"{said}.*\[HTTP 403, request \S+\]") as raised:
            call()
        assert isinstance(raised.value, PermissionError)
        assert "testtest" not in str(raised.value)


def test_save_to_store_that_overwrites_is_refused() -> None:
    with closing(Double("s3", "ignored")) as double:
        location = DoubleLocation(double)
        store = location.store()
        with pytest.raises(PersistenceError, match="overwrite"):
            store.save(numbered_result(1))
        assert store.durability == "none"
        with pytest.raises(PersistenceError, match="overwrite"):
            store.save(numbered_result(2))


def test_durability_is_full_only_after_a_refused_put(remote: Location) -> None:
    store = remote.store()
    before = str(store.durability)
    store.save(numbered_result(1))
    assert before in ("unknown", "full")
    assert store.durability in ("full", "unknown")
    assert store.durability.reason


def test_late_put_next_to_other_savers_does_no_harm(
    bucket: Location, proxied: Proxied, savers: Callable[..., Any]
) -> None:
    seen, proxy = proxied(bucket)
    proxy.plan(rules=[{"fault": "late", "kind": "PUT", "times": 3}], late=1.0)
    ended = savers(seen, processes=3, saves=4, traces=2)
    proxy.settle()
    check_invariants(bucket, ended)
    assert len(ended.saved) == 12
