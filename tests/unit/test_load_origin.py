"""The mark of a loaded result: the path of its record, outside its value."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.domain._origin import record_of


@pytest.fixture
def saved(result: ExperimentResult, tmp_path: Path) -> Path:
    return result.save(tmp_path / "results", durable=False)


def test_load_marks_the_result_with_the_path_of_its_record(
    saved: Path, result: ExperimentResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent.parent)
    store = ResultStore(saved.parent.parent)
    for loaded in (
        ExperimentResult.from_json(saved),
        ExperimentResult.from_json(Path(saved.parent.name)),
        store.load(saved.parent.name),
        *store.load_all(),
        *(stored.load() for stored in store),
    ):
        assert record_of(loaded) == str(saved)
    assert record_of(result) is None


def test_load_mark_is_no_part_of_the_value(saved: Path, result: ExperimentResult) -> None:
    loaded = ExperimentResult.from_json(saved)
    assert loaded == result
    assert result == loaded
    assert repr(loaded) == repr(result)
    assert dict(loaded) == dict(result)
    assert loaded.model_dump() == result.model_dump()
    assert loaded.model_dump_json() == result.model_dump_json()
    assert loaded != result.model_copy(update={"backend": "other"})


def test_load_mark_stays_in_copies_and_pickles(saved: Path) -> None:
    loaded = ExperimentResult.from_json(saved)
    for same in (
        loaded.model_copy(update={"backend": "other"}),
        loaded.model_copy(deep=True),
        copy.copy(loaded),
        copy.deepcopy(loaded),
        pickle.loads(pickle.dumps(loaded)),  # noqa: S301 - our own bytes
    ):
        assert record_of(same) == str(saved)
    assert record_of(ExperimentResult.model_validate_json(loaded.model_dump_json())) is None
