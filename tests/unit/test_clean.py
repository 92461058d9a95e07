"""Cleaning removes the leftovers of interrupted saves, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.clean import to_age
from llenergymeasure.results.timeseries import Timeseries

GIVEN = "gpt2_pytorch_2026-02-18T14-30"
LEFT = ("empty", "trace", "record", "both")
TWO_DAYS_AGO = time.time() - 2 * 86400


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    root = tmp_path / "results"
    root.mkdir()
    return ResultStore(root)


def leave(directory: Path, kind: str, when: float | None = TWO_DAYS_AGO) -> Path:
    """Leave the leftovers of an interrupted save."""
    directory.mkdir(parents=True)
    if kind in ("trace", "both"):
        (directory / "timeseries.parquet").write_bytes(b"PAR1")
    if kind in ("record", "both"):
        (directory / ".result.json.tmp").write_bytes(b"{")
    if kind == "copy":
        (directory / ".timeseries.parquet.tmp").write_bytes(b"PA")
    age(directory, when)
    return directory


def age(directory: Path, when: float | None = TWO_DAYS_AGO) -> None:
    if when is not None:
        for path in (*directory.rglob("*"), directory):
            os.utime(path, (when, when))


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def paths(findings: list[tuple[Path, str]]) -> list[Path]:
    return [path for path, _ in findings]


def test_clean_by_default_changes_nothing(store: ResultStore, result: ExperimentResult) -> None:
    store.save(result)
    left = [leave(store.root / f"{GIVEN}_{n}", kind) for n, kind in enumerate(LEFT)]
    before = tree(store.root)
    cleaning = store.clean()
    assert tree(store.root) == before
    assert cleaning.dry_run
    assert paths(list(cleaning.removed)) == left
    assert repr(cleaning) == f"<Cleaning of {str(store.root)!r}: would remove 4>"
    done = store.clean(dry_run=False)
    assert done.removed == cleaning.removed
    assert [path.name for path in store.root.glob("*/*")] == ["result.json"]
    assert str(store.clean(dry_run=False)) == "nothing to clean"


def test_clean_keeps_leftovers_younger_than_a_day(store: ResultStore) -> None:
    young = leave(store.root / GIVEN, "both", None)
    cleaning = store.clean(dry_run=False)
    assert paths(list(cleaning.young)) == [young]
    assert tree(young) == [".result.json.tmp", "timeseries.parquet"]
    os.utime(young, (TWO_DAYS_AGO, TWO_DAYS_AGO))
    assert store.clean(dry_run=False).removed == [], "a file in it was written just now"
    age(young)
    assert paths(list(store.clean(dry_run=False).removed)) == [young]


def test_clean_never_removes_a_directory_with_a_record(store: ResultStore, result: ExperimentResult) -> None:
    record = store.save(result)
    for name, content in (("a", b""), ("b", bytes(9)), ("c", b"[")):
        leave(store.root / name, "record")
        (store.root / name / "result.json").write_bytes(content)
    (store.root / "d" / "result.json").mkdir(parents=True)
    age(store.root)
    before = tree(store.root)
    cleaning = store.clean(older_than=timedelta(0), dry_run=False)
    assert str(cleaning) == "nothing to clean"
    assert tree(store.root) == before
    assert record.exists()


def test_clean_keeps_and_reports_foreign_files(store: ResultStore) -> None:
    left = leave(store.root / GIVEN, "record")
    (left / "notes.txt").touch()
    leave(store.root / "mine", "empty")
    leave(store.root / "traces", "trace")
    age(store.root)
    before = tree(store.root)
    cleaning = store.clean(dry_run=False)
    assert tree(store.root) == before
    assert cleaning.removed == []
    ((path, why),) = cleaning.kept
    assert path == left
    assert "notes.txt is not a file of the store" in why


def test_clean_never_follows_symlinks(store: ResultStore, tmp_path: Path) -> None:
    outside = leave(tmp_path / "outside" / GIVEN, "record")
    (store.root / "link").symlink_to(outside.parent)
    (store.root / f"{GIVEN}_1").symlink_to(outside)
    leave(store.root / f"{GIVEN}_2", "empty")
    (store.root / f"{GIVEN}_2" / "timeseries.parquet").symlink_to(outside / ".result.json.tmp")
    age(store.root / f"{GIVEN}_2")
    cleaning = store.clean(older_than=timedelta(0), dry_run=False)
    assert cleaning.removed == []
    assert tree(outside) == [".result.json.tmp"]


def test_clean_finishes_the_old_trash_of_a_stopped_cleaner(
    store: ResultStore, result: ExperimentResult
) -> None:
    trace = Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[1.0])
    record = store.save(result, trace)
    trash = store.root / ".trash-0123456789abcdef"
    trash.mkdir()
    record.parent.rename(trash / record.parent.name)
    (trash / record.parent.name / "timeseries.parquet").rename(trash / "timeseries.parquet")
    leave(store.root / ".trash-1" / GIVEN, "both")
    age(store.root)
    (store.root / ".trash-2").mkdir()
    assert paths(list(store.clean().restored)) == [trash]
    cleaning = store.clean(dry_run=False)
    assert paths(list(cleaning.restored)) == [trash]
    assert paths(list(cleaning.removed)) == [store.root / ".trash-1"]
    assert paths(list(cleaning.young)) == [store.root / ".trash-2"]
    assert ExperimentResult.from_json(record, missing_sidecar="error").timeseries == "timeseries.parquet"
    assert store.verify(deep=True).complete == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("12h", 43200), ("1d", 86400), ("2w", 1209600), ("0s", 0)],
)
def test_parse_age_returns_its_duration(text: str, seconds: int) -> None:
    assert to_age(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "d", "1 d", "-1d", "1y", "1d2h", "\u0661d", "9" * 20 + "w"])
def test_clean_rejects_invalid_age(store: ResultStore, text: str) -> None:
    with pytest.raises(ValueError, match="age"):
        store.clean(older_than=text)


def test_clean_rejects_negative_age(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        store.clean(older_than=timedelta(seconds=-1))


NAMES = st.sampled_from(
    [
        "result.json",
        "timeseries.parquet",
        ".result.json.tmp",
        ".timeseries.parquet.tmp",
        "notes.txt",
        ".hidden",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([GIVEN, f"{GIVEN}_1", "mine", "a/b", ".trash-7"]), st.sets(NAMES)))
def test_clean_any_tree_loses_no_record_and_no_foreign_file(
    store: ResultStore, tmp_path_factory: pytest.TempPathFactory, shape: dict[str, set[str]]
) -> None:
    assert store
    root = tmp_path_factory.mktemp("shape")
    for place, names in shape.items():
        (root / place).mkdir(parents=True)
        for name in names:
            (root / place / name).write_text(place)
    kept = {path for path in root.rglob("*") if path.name in ("result.json", "notes.txt", ".hidden")}
    ResultStore(root).clean(older_than=timedelta(0), dry_run=False)
    assert all(path.read_text() == str(path.parent.relative_to(root)) for path in kept)
    for path in kept:
        if path.name == "result.json" and "timeseries.parquet" in shape[str(path.parent.relative_to(root))]:
            assert path.with_name("timeseries.parquet").exists()
    assert ResultStore(root).clean(older_than=timedelta(0)).removed == []


def test_clean_twice_removes_nothing_more(
    store: ResultStore, make_result: Callable[..., ExperimentResult]
) -> None:
    for n in range(3):
        leave(store.root / "study" / f"{GIVEN}_{n}", "copy")
    make_result().save(store.root / "study")
    assert len(store.clean(dry_run=False).removed) == 3
    assert store.clean(dry_run=False).removed == []
    assert store.verify().complete == 1
