"""Failures do the same in a directory and in a bucket."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore, _store
from support.invariants import numbered_result, numbered_trace
from support.locations import Location

CONFIG: dict[str, Any] = {"model": "gpt2", "backend": "vllm", "batch_size": 8}


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Ignore the warning of a service that is not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def names_of(location: Location) -> list[str]:
    return sorted(location.files())


def test_save_failure_writes_one_object_of_its_own_name(location: Location) -> None:
    store = location.store()
    path = store.save_failure(CONFIG, MemoryError("no room"))
    assert str(path).startswith(f"{location.root}/gpt2_vllm_")
    [name] = names_of(location)
    assert name.endswith("_failed/failure.json")
    assert str(path) == f"{location.root}/{name}"
    [(found, run)] = store.failures()
    assert (found, run.error_type, run.effective_config) == (path, "MemoryError", CONFIG)


def test_results_and_failures_of_one_name_do_not_meet(location: Location) -> None:
    store = location.store()

    def save(number: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if number % 2:
                store.save_failure(CONFIG, ValueError(str(number)))
            else:
                store.save(numbered_result(number), numbered_trace(number) if number % 4 else None)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(run.message) for _, run in store.failures()) == list(range(1, 12, 2))
    assert sorted(result.total_tokens for result in store.load_all()) == list(range(0, 12, 2))
    assert store.scan().count() == 6
    found = store.verify()
    assert (found.ok, found.complete, found.failures, found.foreign, found.incomplete) == (True, 6, 6, [], [])
    assert _store.count(_handle(store), 3)[:2] == (6, 6)
    store.clean(older_than="0s", dry_run=False)
    assert len(list(store.failures())) == 6


def test_failures_that_meet_conditions_and_missing(location: Location) -> None:
    store = location.store()
    for size, error in ((1, ValueError("a")), (2, MemoryError("b")), (2, ValueError("c"))):
        store.save_failure(CONFIG | {"batch_size": size}, error)
    assert sorted(run.message for _, run in store.failures(where=[("error", "==", "ValueError")])) == [
        "a",
        "c",
    ]
    assert len(list(store.failures(newest=2))) == 2
    asked = [CONFIG | {"batch_size": size} for size in (1, 2, 3)]
    assert store.missing(asked) == asked[2:]
    assert [one["batch_size"] for one in store.missing(asked, 2)] == [3, 1, 3]
    assert store.missing(asked, retry_failed=True) == asked


def test_invalid_failure_is_damage(location: Location) -> None:
    store = location.store()
    store.save_failure(CONFIG, ValueError("a"))
    location.put("b_vllm_2026-02-18T14-30_failed/failure.json", b"{")
    found = store.verify()
    assert (found.ok, found.failures, len(found.damaged)) == (False, 1, 1)


def test_copies_in_both_directions_take_failures_along(location: Location, tmp_path: Path) -> None:
    source, target = ResultStore(tmp_path / "source"), location.store()
    for number in range(3):
        source.save_failure(CONFIG, ValueError(str(number)))
    source.save(numbered_result(1))
    assert len(target.copy_from(source).copied) == 4
    assert len(target.copy_from(source).skipped) == 4
    back = ResultStore(tmp_path / "back")
    assert len(back.copy_from(target).copied) == 4
    contents = [
        sorted(path.read_bytes() for path in store.root.glob("*/failure.json")) for store in (source, back)
    ]
    assert contents[0] == contents[1]


def _handle(store: ResultStore) -> Any:
    from llenergymeasure.results._paths import handle

    return handle(store.root)
