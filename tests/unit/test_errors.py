"""Errors and stores: what they report, and what survives a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from llenergymeasure import (
    BulkSaveError,
    LLEMError,
    PersistenceError,
    ResultStore,
    SaveInterrupted,
    SidecarError,
    StorePath,
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


def remote_error(result_path: str | None = None, save_id: str | None = None) -> PersistenceError:
    """Return the error of a request to an object store."""
    url, reason = "s3://bucket/runs/a/result.json", "the service is overloaded; save fewer results at once"
    return PersistenceError(5, reason, url, "commit", result_path, 503, "4442587FB7D0A2F9", save_id)


def test_persistence_error_of_a_request_names_url_status_and_request() -> None:
    error = remote_error()
    assert str(error) == (
        "cannot save the record 's3://bucket/runs/a/result.json': the service is overloaded; save fewer "
        "results at once [HTTP 503, request 4442587FB7D0A2F9]; nothing was saved, and saving again is safe"
    )
    assert error.url == error.filename == "s3://bucket/runs/a/result.json"
    assert (error.committed, error.status, error.request_id) == (False, 503, "4442587FB7D0A2F9")
    without_answer = PersistenceError(111, "Connection refused", error.url, "claim")
    assert isinstance(without_answer, ConnectionRefusedError)
    assert "cannot save the power trace 's3:" in str(without_answer)
    assert "Connection refused [ECONNREFUSED]" in str(without_answer)


def test_persistence_error_of_unknown_outcome_is_neither_committed_nor_not() -> None:
    error = remote_error(save_id="1f9a")
    assert error.committed is None
    assert "it is unknown whether the result was saved" in str(error)
    assert "ResultStore.resolve(error)" in str(error)
    assert remote_error("s3://bucket/runs/a/result.json").committed is True
    several = BulkSaveError({}, {0: error, 1: remote_error()})
    assert "2 of 2 results failed (1 of them may be saved: see ResultStore.resolve)" in str(several)


@pytest.mark.parametrize("cls", [PersistenceError, SidecarError])
def test_pickle_error_of_a_request_keeps_its_contents(cls: type[PersistenceError]) -> None:
    error = cls(5, "no answer", "s3://bucket/a/result.json", "commit", None, 500, "REQ", "1f9a")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert str(copy) == str(error)
    for name in ("errno", "url", "step", "committed", "result_path", "status", "request_id", "save_id"):
        assert getattr(copy, name) == getattr(error, name)


def test_format_save_interrupted_in_an_object_store_names_results_without_an_answer() -> None:
    path = StorePath("s3://bucket/runs/a/result.json")
    assert str(SaveInterrupted({0: path}, {}, {1: path / "x"})) == (
        "interrupted: 1 results are safe, 1 more may be in place: no answer came; the others were not saved"
    )
    assert "1 more are in place with an unconfirmed flush" in str(SaveInterrupted({}, {}, {1: Path("x")}))


def test_persistence_error_on_a_file_system_has_no_url() -> None:
    error = PersistenceError(5, "Input/output error", "/r/a", "flush")
    assert (error.url, error.status, error.request_id, error.save_id) == (None, None, None, None)


def test_resolve_of_a_local_save_gives_the_state_on_disk(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    record = str(tmp_path / "a/result.json")
    assert store.resolve(PersistenceError(5, "Input/output error", record, "flush", record)) == Path(record)
    assert store.resolve(PersistenceError(5, "Input/output error", record, "write")) is None


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
