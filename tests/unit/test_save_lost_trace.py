"""A loaded result that is saved elsewhere without the power trace that it names: a warning at that save."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore, save_result
from llenergymeasure.results.persistence import save_results
from llenergymeasure.results.types import TimeseriesSource
from support.results import make_trace

Save = Callable[[ExperimentResult, Path, "TimeseriesSource | None"], object]


def by_writer(result: ExperimentResult, root: Path, source: TimeseriesSource | None) -> object:
    with ResultStore(root).writer(durable=False) as writer:
        return writer.submit(result, source)


SAVES: dict[str, Save] = {
    "save": lambda result, root, source: result.save(root, source, durable=False),
    "save_result": lambda result, root, source: save_result(result, root, source, durable=False),
    "store": lambda result, root, source: ResultStore(root).save(result, source, durable=False),
    "save_many": lambda result, root, source: ResultStore(root).save_many(
        [result], timeseries_sources=[source], durable=False
    ),
    "save_results": lambda result, root, source: save_results(
        [result], root, timeseries_sources=[source], durable=False
    ),
    "writer": by_writer,
}


@pytest.fixture(params=SAVES)
def save(request: pytest.FixtureRequest) -> Save:
    return SAVES[request.param]


@pytest.fixture
def loaded(result: ExperimentResult, tmp_path: Path) -> ExperimentResult:
    return ExperimentResult.from_json(result.save(tmp_path / "source", make_trace(), durable=False))


def test_save_loaded_result_without_its_trace_warns(
    save: Save, loaded: ExperimentResult, tmp_path: Path
) -> None:
    for same in (loaded, loaded.model_copy(update={"experiment_id": "other"})):
        with pytest.warns(UserWarning, match="power trace .*copy_from or llem save DIR") as caught:
            save(same, tmp_path / "target", None)
        assert len(caught) == 1
        assert caught[0].filename == __file__
    assert len(ResultStore(tmp_path / "target").load_all(missing_sidecar="ignore")) == 2


def test_save_loaded_result_with_a_trace_is_silent(
    save: Save, loaded: ExperimentResult, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(loaded, tmp_path / "target", make_trace())
        save(loaded.model_copy(update={"timeseries": None}), tmp_path / "target", None)


def test_save_made_result_that_names_a_trace_is_silent(
    save: Save, loaded: ExperimentResult, tmp_path: Path
) -> None:
    made = ExperimentResult(**loaded.model_dump())
    assert made == loaded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(made, tmp_path / "target", None)


def test_save_loaded_result_whose_trace_was_missing_is_silent(
    save: Save, loaded: ExperimentResult, tmp_path: Path
) -> None:
    (sidecar,) = tmp_path.glob("source/*/timeseries.parquet")
    sidecar.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(loaded, tmp_path / "target", None)
    # The whole source is gone: its trace may be anywhere.
    (tmp_path / "source").rename(tmp_path / "moved")
    with pytest.warns(UserWarning, match="power trace"):
        save(loaded, tmp_path / "target", None)


def test_save_many_loaded_results_without_their_traces_names_them(
    result: ExperimentResult, loaded: ExperimentResult, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"2 of 3 results name a power trace .*: 0, 2; give") as caught:
        ResultStore(tmp_path / "target").save_many([loaded, result, loaded], durable=False)
    assert len(caught) == 1
