"""Errors and stores: what they report, and what survives a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from llenergymeasure import (
    LLEMError,
    PersistenceError,
    ResultStore,
    SidecarError,
)


def test_pickle_store_keeps_its_root_and_equality(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301 - our own bytes
    assert {store, ResultStore(str(tmp_path)), ResultStore(f"{tmp_path}/./")} == {store}
    assert store != ResultStore(tmp_path / "other")
    assert store.root == tmp_path
    assert repr(store) == f"<ResultStore '{tmp_path}': no results yet>"


@pytest.mark.parametrize("cls", [PersistenceError, SidecarError])
def test_pickle_persistence_error_keeps_its_contents(cls: type[PersistenceError]) -> None:
    error = cls(13, "Permission denied", Path("/x/y"), "write", "/x/result.json")
    assert isinstance(error, (LLEMError, PermissionError))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    for name in ("errno", "strerror", "filename", "step", "committed", "result_path"):
        assert getattr(copy, name) == getattr(error, name)
    assert type(error).__name__ == cls.__name__


def test_format_persistence_error_gives_step_path_and_state() -> None:
    uncommitted = PersistenceError(28, "No space left on device", "/r/a/.result.json.tmp", "write")
    assert str(uncommitted) == (
        "cannot write '/r/a/.result.json.tmp': No space left on device [ENOSPC]; "
        "nothing was saved, and saving again is safe"
    )
    committed = PersistenceError(5, "Input/output error", "/r", "flush_directory", "/r/a/result.json")
    assert "the result is complete at /r/a/result.json" in str(committed)
    assert committed.committed
    assert not uncommitted.committed
