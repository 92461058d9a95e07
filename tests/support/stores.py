"""Stores of tests, and the work that they have under way."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, ResultStore

FLUSH_METHODS = [None, "fsync", "syncfs"]
"""The default, and every flush method of saves that share flushes."""


def open_store(root: Path, flush_method: str | None = None) -> ResultStore:
    """Return a store whose saves of many results use the given flush method."""
    store = ResultStore(root)
    store._flush_method = flush_method
    return store


def save_each(store: ResultStore, *results: ExperimentResult) -> list[Path]:
    """Save results one by one, without flushes, and return the paths of their records."""
    return [store.save(result, durable=False) for result in results]


def count_unfinished(futures: list[Future[Path]]) -> int:
    """Return how many futures are not done."""
    return sum(not future.done() for future in futures)


def scan_paths(root: ResultStore | Path, **options: Any) -> list[str]:
    """Return the paths of the rows that a scan of a store gives."""
    store = root if isinstance(root, ResultStore) else ResultStore(root)
    paths: list[str] = store.scan(["path"], **options).to_pydict()["path"]
    return paths
