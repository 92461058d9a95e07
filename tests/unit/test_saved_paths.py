"""The paths that a save of many results returns."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results._saved_paths import SavedPaths
from support.results import make_results

ROOT = "/results"


def paths_of(count: int) -> tuple[SavedPaths, list[Path]]:
    """Return some paths, and the list that they equal."""
    texts = [f"{ROOT}/name_{n}/result.json" for n in range(count)]
    paths = SavedPaths(ROOT)
    for text in texts:
        paths.add(text)
    return paths, list(map(Path, texts))


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 3000])
def test_saved_paths_of_any_number_equal_a_list(count: int) -> None:
    paths, expected = paths_of(count)
    assert paths == expected
    assert expected == paths
    assert (len(paths), list(paths), repr(paths)) == (count, expected, repr(expected))
    assert pickle.loads(pickle.dumps(paths)) == paths  # noqa: S301 - our own bytes
    assert paths + expected == expected * 2
    assert expected + paths == expected * 2
    assert paths[5:2000:7] == expected[5:2000:7]
    assert [paths[n] for n in range(-count, count, 97)] == [expected[n] for n in range(-count, count, 97)]
    with pytest.raises(IndexError):
        paths[count]


def test_saved_paths_differ_from_others() -> None:
    paths, expected = paths_of(2)
    assert paths != [*expected, expected[0]]
    assert paths != expected[::-1]
    assert paths != "paths"


def test_saved_paths_take_little_memory() -> None:
    tracemalloc.start()
    try:
        paths, _ = paths_of(0)
        for n in range(50_000):
            paths.add(f"{ROOT}/meta-llama-llama-3.1-8b_vllm_2026-02-18T14-30_{n}/result.json")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 90 * len(paths)


def test_save_many_returns_paths_that_equal_a_list(tmp_path: Path) -> None:
    paths = ResultStore(tmp_path).save_many(make_results(3), durable=False)
    assert paths == list(paths)
    assert sorted(paths) == sorted(tmp_path.glob("*/result.json"))
