"""The contents of a store, and checks of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from llenergymeasure import ExperimentResult

from .results import record_text


def list_tree(root: Path) -> list[str]:
    """Return the sorted relative paths of everything below a directory; `["absent"]` without one."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*")) if root.exists() else ["absent"]


def load_saved_ids(root: Path) -> list[str]:
    """Return the sorted ids of the results below a root that holds complete results and nothing else."""
    records = sorted(root.glob("*/result.json"))
    assert sorted(root.rglob("*")) == sorted(file for path in records for file in (path.parent, path))
    return sorted(ExperimentResult.from_json(path).experiment_id for path in records)


def load_by_id(root: Path) -> dict[str, ExperimentResult]:
    """Return all results directly below a root by their ids."""
    loaded = [ExperimentResult.from_json(path) for path in root.glob("*/result.json")]
    return {result.experiment_id: result for result in loaded}


def assert_holds_exactly(root: Path, paths: Sequence[Path], results: list[ExperimentResult]) -> None:
    """Check that each result is complete at its path, in its own directory, next to nothing else."""
    assert len(paths) == len(results)
    assert len({path.parent for path in paths}) == len(paths)
    for path, result in zip(paths, results, strict=True):
        assert path.parent.parent == root
        assert path.read_text() == record_text(result)
    expected = sorted(file for path in paths for file in (path.parent, path))
    assert sorted(root.rglob("*")) == expected


def assert_holds_saved(saved: list[tuple[Path, int]], results: list[ExperimentResult], root: Path) -> None:
    """Check acknowledged pairs of a path and an index into `results`; nothing else may be below the root."""
    texts = [record_text(result) for result in results]
    assert sorted(path for path, _ in saved) == sorted(root.glob("*/result.json"))
    assert len({path for path, _ in saved}) == len(saved) == len(list(root.iterdir()))
    for path, which in saved:
        assert path.read_text() == texts[which]
        assert os.listdir(path.parent) == ["result.json"]  # noqa: PTH208 - hidden files count
