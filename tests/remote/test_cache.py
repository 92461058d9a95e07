"""The cache of records: what is fetched again, and what is never read from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from llenergymeasure import ResultStore
from support.faulty_proxy import FaultyProxy
from support.invariants import RECORD, numbered_result
from support.locations import Location

Proxied = Callable[[Location], tuple[Location, FaultyProxy]]
SAVES = 12


def numbers(store: ResultStore) -> list[int]:
    """Return the numbers of all results, by a scan."""
    return sorted(store.scan(["tokens"]).to_pydict()["tokens"])


@pytest.fixture
def kept(remote: Location, proxied: Proxied, tmp_path: Path) -> tuple[ResultStore, Location, FaultyProxy]:
    """Return a store of some results with a cache of its own, its location, and the proxy before it."""
    seen, proxy = proxied(remote)
    seen.store(cache=False).save_many(map(numbered_result, range(SAVES)))
    return seen.store(cache_dir=tmp_path / "cache"), remote, proxy


def test_second_reading_costs_the_listing_alone(kept: tuple[ResultStore, Location, FaultyProxy]) -> None:
    store, _, proxy = kept
    proxy.clear()
    assert numbers(store) == list(range(SAVES))
    assert proxy.counts() == {"LIST": 1, "GET": SAVES}
    for read in (lambda: numbers(store), store.completed, store.load_all, store.verify):
        proxy.clear()
        read()
        assert proxy.counts() == {"LIST": 1}
    store.save(numbered_result(SAVES))
    proxy.clear()
    assert numbers(store) == list(range(SAVES + 1))
    assert proxy.counts() == {"LIST": 1, "GET": 1}


def test_store_without_a_cache_fetches_again(kept: tuple[ResultStore, Location, FaultyProxy]) -> None:
    store, location, proxy = kept
    numbers(store)
    without = location.through(proxy).store(cache=False)
    proxy.clear()
    assert numbers(without) == list(range(SAVES))
    assert proxy.counts()["GET"] == SAVES


def test_changed_and_removed_objects_are_not_read_from_the_cache(
    kept: tuple[ResultStore, Location, FaultyProxy],
) -> None:
    store, location, _ = kept
    numbers(store)
    names = [name for name in location.files() if name.endswith(RECORD)]
    changed = location.files()[names[0]].replace(b'"total_tokens": ', b'"total_tokens": 1000')
    location.put(names[0], changed)
    location.remove(names[1])
    expected = numbers(location.store(cache=False))
    assert len(expected) == SAVES - 1
    assert expected[-1] >= 1000
    assert numbers(store) == expected


def test_damaged_and_removed_caches_cost_requests_only(
    kept: tuple[ResultStore, Location, FaultyProxy], tmp_path: Path
) -> None:
    store, _, proxy = kept
    numbers(store)
    (pack,) = (tmp_path / "cache").glob("*/*.pack")
    whole = pack.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", whole[:200] + bytes(len(whole) - 400) + whole[-200:]):
        pack.write_bytes(damaged)
        assert numbers(store) == list(range(SAVES))
        for other in (tmp_path / "cache").glob("*/*.pack"):
            if other != pack:
                other.unlink()
    pack.unlink()
    proxy.clear()
    assert numbers(store) == list(range(SAVES))
    assert proxy.counts()["GET"] == SAVES


def test_concurrent_readings_share_a_cache(
    kept: tuple[ResultStore, Location, FaultyProxy], tmp_path: Path
) -> None:
    _, location, _ = kept
    outcomes: list[list[int]] = []

    def read() -> None:
        outcomes.extend(numbers(location.store(cache_dir=tmp_path / "cache")) for _ in range(3))

    readers = [Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert outcomes == [list(range(SAVES))] * 12
    assert not list((tmp_path / "cache").glob("*/*.tmp"))
