"""A scan of the results that were saved last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llenergymeasure import PersistenceError, ResultStore
from support.results import make_results

TIMES = [5, 9, 1, 7, 9, 3]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Return a store whose results were saved at `TIMES`, in two directories."""
    for n, (result, seconds) in enumerate(zip(make_results(len(TIMES)), TIMES, strict=True)):
        path = ResultStore(tmp_path / "ab"[n % 2]).save(result, durable=False)
        assert isinstance(path, Path)
        os.utime(path, (seconds, seconds))
    return ResultStore(tmp_path)


def times(table: dict[str, list[object]]) -> list[int]:
    """Return the column `saved_at` in seconds since 1970."""
    return [int(time.timestamp()) for time in table["saved_at"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("n", [0, 1, 3, 6, 100, 1 << 70])
def test_newest_returns_the_last_saves_in_reverse(store: ResultStore, n: int) -> None:
    table = store.scan(["saved_at", "path"]).newest(n).to_pydict()
    assert times(table) == sorted(TIMES, reverse=True)[:n]
    assert len(set(table["path"])) == min(n, len(TIMES))


def test_newest_reads_no_other_record(store: ResultStore) -> None:
    (oldest,) = (path for path in store.root.glob("*/*/result.json") if path.stat().st_mtime == 1)
    oldest.write_text("no JSON")
    os.utime(oldest, (1, 1))
    assert times(store.scan(["saved_at"]).newest(5).to_pydict()) == [9, 9, 7, 5, 3]


def test_newest_with_conditions_selects_among_them(store: ResultStore) -> None:
    (last,) = store.scan(["id"]).newest(1).to_pydict()["id"]
    scan = store.scan(["id"], where=[("id", "==", last)])
    assert scan.newest(1).to_pydict() == {"id": [last]}
    assert store.scan(["saved_at"]).newest(4).head(2).count() == 2


def test_newest_of_wrong_number_or_missing_store_raises(tmp_path: Path) -> None:
    scan = ResultStore(tmp_path / "absent").scan(["id"])
    with pytest.raises(ValueError, match="n expects at least 0, got -1"):
        scan.newest(-1)
    with pytest.raises(PersistenceError, match="absent"):
        scan.newest(1)
    with pytest.raises(TypeError, match="newest expects a scan of results"):
        ResultStore(tmp_path).scan_timeseries().newest(1)
