"""The number of requests that each verb sends, and the headers of each PUT, counted at a proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.faulty_proxy import FaultyProxy
from support.invariants import RECORD, SIDECAR, check_invariants, numbered_result, numbered_trace
from support.locations import Location

from .conftest import count

Proxied = Callable[[Location], tuple[Location, FaultyProxy]]
CONDITIONS = {
    "gcs": ("x-goog-if-generation-match", "0", "x-goog-meta-llemsaveid"),
    "azure": ("if-none-match", "*", "x-ms-meta-llemsaveid"),
}


def test_every_put_has_the_condition_and_the_id_of_its_save(remote: Location, proxied: Proxied) -> None:
    seen, proxy = proxied(remote)
    store = seen.store()
    for number in range(4):
        store.save(numbered_result(number), numbered_trace(number) if number % 2 else None)
    store.save_many(map(numbered_result, range(4, 10)))
    header, value, metadata = CONDITIONS.get(remote.name, ("if-none-match", "*", "x-amz-meta-llemsaveid"))
    ids: dict[str, set[str]] = {}
    for put in proxy.requests("PUT"):
        assert put["headers"].get(header) == value, put
        ids.setdefault(put["key"].rpartition("/")[0], set()).add(put["headers"][metadata])
    assert all(len(one) >= 1 for one in ids.values())


def test_save_alone_is_one_put_and_no_head(remote: Location, proxied: Proxied) -> None:
    seen, proxy = proxied(remote)
    store = seen.store()
    store.save(numbered_result(0))
    probes = proxy.counts()["PUT"] - 1
    assert probes == 1  # the first save of a process sends its PUT again, to be refused
    proxy.clear()
    for number in range(1, 21):
        store.save(numbered_result(number))
    assert proxy.counts() == {"PUT": 20}


def test_save_with_sidecar_alone_is_two_puts_and_no_head(remote: Location, proxied: Proxied) -> None:
    seen, proxy = proxied(remote)
    store = seen.store()
    store.save(numbered_result(0), numbered_trace(0))
    counts = proxy.counts()
    assert counts == {"PUT": 3, "LIST": 1}  # one probe, and one listing of the base name
    proxy.clear()
    for number in range(1, 11):
        store.save(numbered_result(number), numbered_trace(number))
    counts = proxy.counts()
    # A minute that ends gives a new base name, and another listing.
    assert counts.pop("LIST", 0) <= 1
    assert counts == {"PUT": 20}


def test_save_many_is_one_put_each(remote: Location, proxied: Proxied) -> None:
    seen, proxy = proxied(remote)
    store = seen.store()
    store.save_many(map(numbered_result, range(200)))
    assert set(proxy.counts()) == {"PUT"}
    assert proxy.counts()["PUT"] <= 201


def test_16_savers_of_one_name_need_at_most_three_puts_each(
    bucket: Location, proxied: Proxied, savers: Callable[..., Any]
) -> None:
    saves = count(bucket, 12, 100)
    seen, proxy = proxied(bucket)
    ended = savers(seen, processes=16, saves=saves)
    assert len(ended.saved) == 16 * saves
    check_invariants(bucket, ended)
    puts = proxy.counts()["PUT"]
    assert puts <= 3 * 16 * saves + 16
    print(f"{puts / 16 / saves:.2f} PUTs per save")  # noqa: T201


def test_partitions_list_once_and_get_each_record_once(remote: Location, proxied: Proxied) -> None:
    seen, proxy = proxied(remote)
    store = seen.store(cache=False)
    store.save_many(map(numbered_result, range(30)))
    proxy.clear()
    parts = store.scan(["path", "backend"]).partitions(4)
    assert store.scan().count() == 30
    assert proxy.counts() == {"LIST": 2}
    proxy.clear()
    assert sum(len(part.to_pydict()["path"]) for part in parts) == 30
    assert proxy.counts() == {"GET": 30}


def test_scan_sends_one_get_per_record_and_no_head(remote: Location, proxied: Proxied) -> None:
    remote.store().save_many(map(numbered_result, range(30)))
    seen, proxy = proxied(remote)
    table = seen.store().scan(["total_tokens"]).to_pydict()
    assert sorted(table["total_tokens"]) == list(range(30))
    counts = proxy.counts()
    assert counts.pop("LIST") <= 2
    assert counts.get("GET", 0) <= 30
    assert set(counts) <= {"GET"}


def test_scan_timeseries_reads_footers_by_ranges(remote: Location, proxied: Proxied) -> None:
    remote.store().save(numbered_result(1), numbered_trace(1))
    seen, proxy = proxied(remote)
    assert seen.store().scan_timeseries().to_pydict()["power_w"] == [1.0, 1.0]
    traces = proxy.requests("GET", SIDECAR)
    assert traces
    assert all("range" in one["headers"] or "x-ms-range" in one["headers"] for one in traces)
    assert len(proxy.requests("GET", RECORD)) <= 1


def test_store_alone_sends_nothing(remote: Location, proxied: Proxied) -> None:
    seen, proxy = proxied(remote)
    assert str(seen.store().root) == seen.root
    assert proxy.counts() == {}


@pytest.mark.parametrize("verb", ["load_all", "verify", "completed"])
def test_read_verbs_send_only_lists_and_gets(remote: Location, proxied: Proxied, verb: str) -> None:
    remote.store().save_many(map(numbered_result, range(5)))
    seen, proxy = proxied(remote)
    getattr(seen.store(), verb)()
    assert set(proxy.counts()) <= {"LIST", "GET"}
