"""Processes and threads that save at once lose nothing, overwrite nothing and tear nothing."""

from __future__ import annotations

import errno as codes
import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult, PersistenceError, SidecarError, save_result
from support.processes import HANG
from support.trees import assert_holds_saved

if TYPE_CHECKING:
    Race = Callable[..., Any]
    Suffixes = Callable[[Path], dict[str, list[int]]]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")


@pytest.mark.parametrize("durable", [True, False])
def test_save_60_times_in_each_of_16_processes_keeps_960_results(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path, *, durable: bool
) -> None:
    root = tmp_path / "out"
    ran = race(["save"] * 16, results[:1], root, saves=60, durable=durable)
    assert ran.failed == []
    assert len(ran.saved) == 960
    assert_holds_saved(ran.saved, results, root)
    assert suffixes(root) == {"org-model_pytorch_2026-02-18T14-30": list(range(960))}


def test_save_in_16_threads_of_4_processes_keeps_every_result(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    ran = race(["threads"] * 4, results, root, saves=40)
    assert ran.failed == []
    assert len(ran.saved) == 640
    assert_holds_saved(ran.saved, results, root)
    assert suffixes(root) == {"org-model_pytorch_2026-02-18T14-30": list(range(640))}


def test_save_different_results_of_one_name_keeps_both(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    ran = race(["save"] * 8, results, root, saves=20, stamp=None)
    assert ran.failed == []
    assert sum(which == 0 for _, which in ran.saved) == sum(which == 1 for _, which in ran.saved) == 80
    assert_holds_saved(ran.saved, results, root)
    for numbers in suffixes(root).values():
        assert numbers == list(range(len(numbers)))


def test_save_next_to_failing_savers_creates_a_fresh_tree_once(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    rounds = 40
    roles = ["save", "fail", "save", "interrupt", "fail", "save", "interrupt", "fail"]
    ran = race(roles, results[:1], str(tmp_path / "{round}" / "a" / "b" / "c"), rounds=rounds, durable=False)
    assert ran.failed == []
    assert len(ran.saved) == 3 * rounds
    text = results[0].model_dump_json(indent=2)
    for n in range(rounds):
        root = tmp_path / f"{n}" / "a" / "b" / "c"
        records = {path for path, _ in ran.saved if path.is_relative_to(root)}
        assert len(records) == 3
        # An interrupt after the commit leaves a complete result without an acknowledgement.
        there = set(root.glob("*/result.json"))
        assert records <= there
        assert {path.parent for path in there} == set(root.iterdir())
        assert {path.read_text() for path in there} == {text}
        assert not list(root.rglob(".*"))


def test_save_next_to_failed_and_interrupted_saves_keeps_every_result(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    root = tmp_path / "out"
    ran = race(["save", "fail", "interrupt", "save"] * 2, results[:1], root, saves=60)
    assert ran.failed == []
    assert len(ran.saved) == 240
    there = set(root.glob("*/result.json"))
    assert {path for path, _ in ran.saved} <= there
    assert {path.parent for path in there} == set(root.iterdir())
    assert {path.read_text() for path in there} == {results[0].model_dump_json(indent=2)}


def test_save_recreates_an_output_directory_removed_while_empty(
    race: Race, results: list[ExperimentResult], tmp_path: Path
) -> None:
    rounds = 60
    roles = ["remove", "fail", "fail", "save"]
    ran = race(roles, results[:1], str(tmp_path / "{round}" / "out"), rounds=rounds, durable=False)
    assert ran.failed == []
    assert len(ran.saved) == rounds
    assert all(path.exists() for path, _ in ran.saved)


@pytest.mark.parametrize("with_sidecar", [False, True])
@pytest.mark.parametrize("durable", [True, False])
def test_read_at_full_speed_during_saves_sees_no_torn_record(
    race: Race,
    results: list[ExperimentResult],
    parquet: Path,
    tmp_path: Path,
    *,
    durable: bool,
    with_sidecar: bool,
) -> None:
    root = tmp_path / "out"
    source = str(parquet) if with_sidecar else None
    ran = race(
        ["save"] * 4 + ["read"] * 2, results, root, saves=50, expected=200, durable=durable, source=source
    )
    assert ran.failed == []
    assert len(ran.saved) == 200
    assert ran.seen > 200


def test_save_in_process_forked_during_other_saves_succeeds(
    race: Race, results: list[ExperimentResult], suffixes: Suffixes, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    ran = race(["fork"], results, root, saves=30)
    assert ran.failed == []
    assert len(ran.saved) > 90
    assert_holds_saved(ran.saved, results, root)
    ((_, numbers),) = suffixes(root).items()
    assert numbers == list(range(len(numbers)))


def facts(error: PersistenceError) -> dict[str, object]:
    names = ("errno", "strerror", "filename", "step", "committed", "result_path")
    return {
        "type": type(error).__name__,
        "text": str(error),
        **{name: getattr(error, name) for name in names},
    }


def test_return_error_from_spawned_process_keeps_its_contents(
    results: list[ExperimentResult], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    bad = tmp_path / "bad.parquet"
    bad.write_text("this is no parquet file")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        not_a_directory = pool.submit(results[0].save, file).exception(timeout=HANG)
        no_sidecar = pool.submit(save_result, results[0], tmp_path / "out", bad).exception(timeout=HANG)
        path = pool.submit(save_result, results[1], tmp_path / "out").result(timeout=HANG)
    assert isinstance(not_a_directory, PersistenceError)
    assert isinstance(not_a_directory, NotADirectoryError)
    assert not isinstance(not_a_directory, SidecarError)
    with pytest.raises(PersistenceError) as here:
        results[0].save(file)
    assert facts(not_a_directory) == facts(here.value)
    assert (not_a_directory.errno, not_a_directory.filename) == (codes.ENOTDIR, str(file))
    assert (not_a_directory.step, not_a_directory.committed) == ("open_output_dir", False)

    assert isinstance(no_sidecar, SidecarError)
    assert (no_sidecar.step, no_sidecar.committed, no_sidecar.filename) == ("read_source", True, str(bad))
    assert no_sidecar.result_path is not None
    assert ExperimentResult.from_json(no_sidecar.result_path) == results[0]
    assert ExperimentResult.from_json(path) == results[1]


@pytest.mark.parametrize("kind", [PersistenceError, SidecarError])
@pytest.mark.parametrize(
    "code", [None, codes.ENOSPC, codes.EACCES, codes.ENOENT, codes.EEXIST, codes.ENOTDIR]
)
def test_pickle_error_with_every_protocol_keeps_its_contents(
    kind: type[PersistenceError], code: int | None
) -> None:
    reason = None if code is None else os.strerror(code)
    error = kind(code, reason, "/out/x", "write", "/out/x/result.json")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
        assert type(back) is type(error)
        assert facts(back) == facts(error)
