"""Saves among directories whose names another program chose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore, save_result
from llenergymeasure.results.persistence import _find_collision_free_dir
from llenergymeasure.results.timeseries import Timeseries

NAME = "gpt2_pytorch_2026-02-18T14-30"
LARGEST = 2**64 - 1


def suffixes(limit: int) -> list[int]:
    """Return every suffix at which a search with strides of 4^k looks, up to a limit."""
    found, stride = [1], 4
    while found[-1] < limit:
        found.append(min(found[-1] + stride, limit))
        stride *= 4
    return found


@pytest.fixture(params=[2**32 - 1, 2**63 - 1, LARGEST, 2**70])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root in which a search meets taken names up to the largest number."""
    monkeypatch.setattr("time.strftime", lambda *_: NAME[-16:])
    for name in (NAME, *(f"{NAME}_{suffix}" for suffix in suffixes(request.param))):
        (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path


def save_many(result: ExperimentResult, root: Path) -> Path:
    return ResultStore(root).save_many([result])[0].parent


def save_in_writer(result: ExperimentResult, root: Path) -> Path:
    with ResultStore(root).writer() as writer:
        future = writer.submit(result)
    return future.result().parent


SAVES: dict[str, Callable[[ExperimentResult, Path], Path]] = {
    "save": lambda result, root: save_result(result, root).parent,
    "save_many": save_many,
    "writer": save_in_writer,
    "claim": lambda _, root: _find_collision_free_dir(root / NAME),
}


@pytest.mark.parametrize("how", SAVES)
def test_save_with_taken_names_up_to_the_largest_number_uses_a_free_one(
    result: ExperimentResult, root: Path, how: str
) -> None:
    taken = {path.name for path in root.iterdir()}
    names = [SAVES[how](result, root).name for _ in range(4)]
    assert len({*names, *taken}) == 4 + len(taken)
    # The numbers stay short enough for the longest name.
    assert all(int(name.removeprefix(f"{NAME}_")) < 2**32 for name in names)


def test_save_many_source_of_any_reported_size_saves_it(result: ExperimentResult, tmp_path: Path) -> None:
    class Huge:
        nbytes = LARGEST

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[1.0]).__arrow_c_stream__()

    paths = ResultStore(tmp_path).save_many([result] * 2, timeseries_sources=[Huge(), Huge()])
    assert [path.with_name("timeseries.parquet").is_file() for path in paths] == [True, True]


def test_verify_and_clean_names_with_the_largest_numbers_reads_them_as_labels(
    result: ExperimentResult, root: Path
) -> None:
    saved = save_result(result, root)
    saved.parent.rename(root / f"{NAME}_{2**64}0")
    store = ResultStore(root)
    assert (store.verify().complete, store.verify().ok) == (1, True)
    assert len(store.load_all()) == 1


@pytest.mark.parametrize("number", [2**63, LARGEST, 2**64])
def test_scan_and_writer_with_large_numbers_take_them(
    result: ExperimentResult, tmp_path: Path, number: int
) -> None:
    store = ResultStore(tmp_path, max_record_bytes=number)
    with store.writer(max_pending=number) as writer:
        writer.submit(result)
    assert len(list(store.scan(["experiment_id"], batch_size=number))) == 1
