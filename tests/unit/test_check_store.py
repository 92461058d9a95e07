"""`ResultStore.check`: its sentences, and the buckets that are known; see tests/remote for servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore, StorePath
from llenergymeasure.results import _durability
from llenergymeasure.results.check import StoreCheck
from support.fake_storage import FakeStorage, install
from support.results import make_result

ROOT = "s3://bucket/runs"
MINIO = "http://127.0.0.1:9000"
GOOD: dict[str, Any] = {
    "overwrites": False,
    "savers": 16,
    "races": 8,
    "winners": 1,
    "keeps_metadata": True,
    "lists_at_once": True,
}


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeStorage]:
    """Replace the object stores of the extension by a directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(_durability.QUIET, raising=False)
    monkeypatch.setattr(_durability, "_checked", set())
    monkeypatch.setattr(_durability, "_warned", set())
    return install(monkeypatch, tmp_path / "cloud")


def make_check(**changes: Any) -> StoreCheck:
    """Return the outcome of a check of a store that is good but for the changes."""
    return StoreCheck(StorePath(ROOT), **{**GOOD, **changes})


@pytest.mark.parametrize(
    ("changes", "is_ok", "part"),
    [
        (
            {},
            True,
            "can hold results: nothing is overwritten, and of 16 concurrent saves of one name one won",
        ),
        ({"overwrites": True, "races": 0, "winners": 0}, False, "cannot hold results: the store overwrites"),
        ({"winners": 5}, False, "cannot hold the results of concurrent saves: 5 of 16 won one name"),
        ({"races": 0, "winners": 0}, False, "promises nothing that could be seen"),
        ({"keeps_metadata": False}, False, "; the store drops the metadata of objects"),
        ({"lists_at_once": False}, True, "; a listing shows a new object only after some time"),
        ({"lacks": {"HEAD": "no"}}, False, "; the role lacks HEAD, so that a save whose name is taken"),
        (
            {"lacks": {"LIST": "no"}},
            True,
            "; the role lacks LIST, so that it neither reads a store nor saves",
        ),
        ({"lacks": {"DELETE": "no"}}, True, "; the role lacks DELETE, so that llem clean removes nothing"),
        ({"left": [f"{ROOT}/.llem-check-0/0"]}, True, "; 1 object of the check is left below"),
    ],
)
def test_check_states_in_one_sentence_what_a_store_can_promise(
    changes: dict[str, Any], is_ok: object, part: str
) -> None:
    check = make_check(**changes)
    assert check.ok == is_ok
    assert part in str(check)
    assert ". " not in str(check)
    assert "\n" not in str(check)


@pytest.mark.parametrize("endpoint", [None, MINIO])
def test_durability_is_full_for_services_that_are_known(endpoint: str | None) -> None:
    store = ResultStore(ROOT, options={"endpoint": endpoint} if endpoint else None)
    assert store.durability == ("unknown" if endpoint else "full")
    if endpoint:
        assert store.durability.reason.endswith(f"to check it, run: llem check {ROOT}")


def test_save_to_unknown_service_warns_once_until_its_bucket_has_passed(
    fake: type[FakeStorage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = [GOOD | {"winners": 2}, GOOD, GOOD | {"overwrites": True}]
    monkeypatch.setattr(fake, "check", lambda _: answers.pop(0), raising=False)
    store = ResultStore(ROOT, options={"endpoint": MINIO})
    with pytest.warns(UserWarning, match="llem check s3://bucket/runs"):
        store.save(make_result())
    store.save(make_result())
    ResultStore(store.root / "below").save(make_result())
    assert not store.check().ok
    assert store.durability == "unknown"
    assert store.check().ok
    assert store.durability == ResultStore("s3://bucket", options={"endpoint": MINIO}).durability == "full"
    assert ResultStore("s3://other", options={"endpoint": MINIO}).durability == "unknown"
    assert ResultStore(ROOT, options={"endpoint": f"{MINIO}1"}).durability == "unknown"
    (note,) = (tmp_path / "state").rglob("*.json")
    assert json.loads(note.read_text())["bucket"] == "s3://bucket"
    assert not store.check().ok
    assert store.durability == "unknown"


def test_check_that_cannot_be_remembered_warns(
    fake: type[FakeStorage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("not a directory")
    monkeypatch.setattr(fake, "check", lambda _: dict(GOOD), raising=False)
    store = ResultStore(ROOT, options={"endpoint": MINIO})
    with pytest.warns(UserWarning, match="this cannot be remembered"):
        assert store.check().ok
    assert store.durability == "unknown"


def test_check_rejects_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="check expects a store in an object store, got the directory"):
        ResultStore(tmp_path).check()
