"""Writers and saves of many results next to other savers in one directory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.processes import HANG
from support.trees import assert_holds_saved

if TYPE_CHECKING:
    Race = Callable[..., Any]
    Suffixes = Callable[[Path], dict[str, list[int]]]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
STAMPED = "org-model_pytorch_2026-02-18T14-30"


@pytest.mark.parametrize("durable", [True, False])
def test_write_from_16_threads_of_4_processes_keeps_every_result(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path, *, durable: bool
) -> None:
    root = tmp_path / "out"
    ran = race(["writer"] * 4, results, root, saves=40, durable=durable)
    assert ran.failed == []
    assert len(ran.saved) == 640
    assert_holds_saved(ran.saved, results, root)
    assert suffixes(root) == {STAMPED: list(range(640))}


@pytest.mark.parametrize("durable", [True, False])
def test_save_in_every_way_into_one_directory_keeps_every_result(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path, *, durable: bool
) -> None:
    root = tmp_path / "out"
    ran = race(
        ["writer", "writer", "save", "many", "many", "threads"], results, root, saves=40, durable=durable
    )
    assert ran.failed == []
    assert len(ran.saved) == 2 * 160 + 40 + 2 * 40 + 160
    assert_holds_saved(ran.saved, results, root)
    assert suffixes(root) == {STAMPED: list(range(len(ran.saved)))}


@pytest.mark.parametrize("with_sidecar", [False, True])
def test_read_at_full_speed_during_bulk_saves_sees_no_torn_record(
    race: Race, results: list[ExperimentResult], parquet: Path, tmp_path: Path, *, with_sidecar: bool
) -> None:
    root = tmp_path / "out"
    source = str(parquet) if with_sidecar else None
    ran = race(["many", "writer", "read", "read"], results, root, saves=40, expected=200, source=source)
    assert ran.failed == []
    assert len(ran.saved) == 200
    assert ran.seen > 200


def test_save_many_next_to_failing_savers_creates_a_fresh_tree_once(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    rounds = 20
    roles = ["many", "fail", "writer", "interrupt", "fail", "save"]
    root = str(tmp_path / "{round}" / "a" / "b")
    ran = race(roles, results[:1], root, rounds=rounds, durable=False)
    assert ran.failed == []
    assert len(ran.saved) == 6 * rounds
    assert all(path.exists() for path, _ in ran.saved)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_save_many_recreates_an_output_directory_removed_while_empty(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    rounds = 30
    root = str(tmp_path / "{round}" / "out")
    ran = race(["remove", "fail", "fail", "many"], results[:1], root, rounds=rounds, saves=3, durable=False)
    assert ran.failed == []
    assert len(ran.saved) == 3 * rounds
    assert all(path.exists() for path, _ in ran.saved)


def test_write_through_two_writers_and_save_keeps_every_result(
    results: list[ExperimentResult], tmp_path: Path
) -> None:
    store = ResultStore(tmp_path)
    saved: list[tuple[Path, int]] = []
    with store.writer() as first, store.writer() as second:

        def write(which: int) -> None:
            futures = [(first, second)[which].submit(results[which]) for _ in range(100)]
            saved.extend((future.result(timeout=HANG), which) for future in futures)

        def save() -> None:
            for _ in range(30):
                saved.append((store.save(results[0]), 0))  # noqa: PERF401 - each as it comes

        crew = [threading.Thread(target=write, args=(n,)) for n in range(2)] + [threading.Thread(target=save)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join(HANG)
    assert len(saved) == 230
    assert_holds_saved(saved, results, tmp_path)
