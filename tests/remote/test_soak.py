"""A reader next to savers, for as long as LLEM_SOAK says, or for a moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results.timeseries import read_timeseries
from support.invariants import SIDECAR, Ended, check_invariants, numbered_result
from support.locations import Location

from .conftest import SOAK


class Reader:
    """A reader of a store that grows: it fails where a result is torn, mixed, doubled or gone."""

    def __init__(self, location: Location, cache: Path) -> None:
        self._stores = [location.store(cache_dir=cache), location.store(cache=False)]
        self._verbs = [self.scan, self.load, self.verify, self.complete, self.look_at_one]
        self._seen: set[int] = set()
        self._configurations: set[str] = set()
        self._complete = 0
        self.rounds = 0

    def read(self) -> None:
        """Read by each verb once with a cache, and by one in turn without: that fetches every record."""
        for verb in self._verbs:
            verb(self._stores[0])
        self._verbs[self.rounds % len(self._verbs)](self._stores[1])
        self.rounds += 1

    def see(self, numbers: list[int]) -> None:
        """Note the numbers of results: none occurs twice, and all that were there are there."""
        found = set(numbers)
        assert len(found) == len(numbers), "doubled"
        assert found >= self._seen, f"gone: {sorted(self._seen - found)[:9]}"
        self._seen = found

    def scan(self, store: ResultStore) -> None:
        table = store.scan(["path", "experiment_id", "total_tokens"]).to_pydict()
        self.see(table["total_tokens"])
        assert table["experiment_id"] == [f"run-{number}" for number in table["total_tokens"]]
        assert len(set(table["path"])) == len(table["path"])

    def load(self, store: ResultStore) -> None:
        numbers = []
        for result in store.iter_results():
            expected = numbered_result(result.total_tokens)
            assert result == expected.model_copy(update={"timeseries": result.timeseries}), "torn or mixed"
            numbers.append(result.total_tokens)
        self.see(numbers)

    def verify(self, store: ResultStore) -> None:
        found = store.verify()
        assert found.damaged == []
        assert found.complete >= self._complete
        self._complete = found.complete

    def complete(self, store: ResultStore) -> None:
        found = store.completed()
        assert found >= self._configurations
        self._configurations = found

    def look_at_one(self, store: ResultStore) -> None:
        stored = list(store)
        if stored:
            one = random.choice(stored)
            result = one.load()
            assert result.experiment_id == f"run-{result.total_tokens}"
            if result.timeseries == SIDECAR:
                assert read_timeseries(one.path).power_w[0] == result.total_tokens


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_reader_next_to_savers_sees_whole_results_and_never_fewer(
    server: Location, savers: Callable[..., Ended], pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    seconds = SOAK or 2.0
    job = {"processes": 4, "saves": 1_000_000, "traces": 3, "stamp": "", "seconds": seconds}
    saving: Future[Ended] = pool.submit(savers, server, pause=1.0 if SOAK else 0.2, **job)
    reader = Reader(server, tmp_path / "cache")
    while not saving.done():
        reader.read()
    reader.read()
    ended = saving.result()
    assert (ended.failed, ended.unknown) == ([], {})
    assert reader.rounds >= 2
    assert len(check_invariants(server, ended)) == len(ended.saved) > 0
    print(f"{server.name}: {len(ended.saved)} saves, {reader.rounds} rounds of reads in {seconds:.0f} s")  # noqa: T201
