"""Calls of many saves fail in a row: every result is accounted for, and the disk agrees with what is said."""

from __future__ import annotations

import errno as codes
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    Bulk = Callable[..., Any]
    Outcome = Any
    Span = Any
    Spans = Callable[[str], list[Any]]

COUNT = 12
CALLS = ("mkdirat", "openat", "write", "lseek", "fsync", "syncfs", "renameat2", "close")
FLUSHES = ("fsync", "syncfs")
ALWAYS = ("fsync", "syncfs", "renameat2", "mkdirat")
"""Calls that nobody but the store makes, so that all of them may fail."""


def flushed_twice(spans: list[Span]) -> list[str]:
    """Files and directories whose flush failed, and that were flushed again.

    It is told by their paths; a file that is made anew under the same path has been created in between.
    """
    failed: set[str] = set()
    again = []
    for span in spans:
        if span.name == "openat" and "O_EXCL" in span.arguments and span.answer[:1].isdigit():
            failed.discard(span.answer.partition("<")[2].rstrip(">"))
        if span.name == "fsync":
            path = span.arguments.partition("<")[2].rstrip(">")
            if path in failed:
                again.append(path)
            if span.answer != "0":
                failed.add(path)
    return again


def check(
    root: Path, outcome: Outcome, spans: list[Span], *, sidecars: bool = True
) -> tuple[set[int], set[int], set[int]]:
    """Check that what is said is there; return what is saved, unconfirmed and without its sidecar."""
    assert not outcome.stderr, outcome.stderr
    assert outcome.kind in ("saved", "BulkSaveError"), outcome
    saved = {int(n): Path(path) for n, path in outcome.said["saved"].items()}
    failed = {int(n): error for n, error in outcome.said["failed"].items()}
    assert sorted([*saved, *failed]) == list(range(COUNT))
    committed = {n: Path(error["result_path"]) for n, error in failed.items() if error["committed"]}
    for n, error in failed.items():
        assert error["kind"] in ("PersistenceError", "SidecarError"), error
        assert error["errno"], error
        assert error["committed"] == (error["result_path"] is not None), (n, error)
    records = saved | committed
    assert len(set(records.values())) == len(records)
    expected = []
    for n, record in records.items():
        result = ExperimentResult.from_json(record, missing_sidecar="error")
        assert result.experiment_id == str(n)
        expected += [record.parent, record]
        if result.timeseries is not None:
            sidecar = record.with_name("timeseries.parquet")
            content = sidecar.read_bytes()
            assert content[:4] == content[-4:] == b"PAR1"
            expected.append(sidecar)
        has_sidecar = sidecars and n % 3 != 0 and failed.get(n, {}).get("kind") != "SidecarError"
        if n not in failed:
            assert (result.timeseries is not None) == has_sidecar, n
    there = sorted(root.rglob("*")) if root.exists() else []
    assert there == sorted(expected)
    assert flushed_twice(spans) == []
    without = {n for n, error in failed.items() if error["kind"] == "SidecarError"}
    return set(saved), set(committed) - without, without


@pytest.fixture
def sources(parquet: Path) -> list[str | None]:
    """What the results have beside them, in turn."""
    return [None, str(parquet), "arrow"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *((name, "EIO") for name in CALLS),
        *((name, "ENOSPC") for name in ("mkdirat", "openat", "write", "renameat2")),
    ],
)
@pytest.mark.parametrize("engine", ["fsync", "syncfs"])
def test_save_many_repeated_call_failures_report_exact_outcome(
    bulk: Bulk,
    spans: Spans,
    tmp_path: Path,
    sources: list[str | None],
    engine: str,
    name: str,
    error: str,
) -> None:
    for when in ("1..4", *(["1+"] if name in ALWAYS else [])):
        root = tmp_path / when
        root.mkdir()
        inject = (f"{name}:error={error}:when={when}",)
        outcome = bulk(root, engine=engine, count=COUNT, sources=sources, inject=inject)
        calls = spans(outcome.trace)
        saved, unconfirmed, _ = check(root, outcome, calls)
        hit = [span for span in calls if span.name == name and span.injected]
        for trouble in outcome.said["failed"].values():
            assert trouble["errno"] == getattr(codes, error), (inject, trouble)
        if not hit:
            assert len(saved) == COUNT
        if name not in FLUSHES:
            assert not unconfirmed, inject


@pytest.mark.parametrize("how", ["save_many", "writer"])
def test_bulk_save_failing_first_barrier_rewrites_files(
    bulk: Bulk, spans: Spans, tmp_path: Path, sources: list[str | None], how: str
) -> None:
    outcome = bulk(
        tmp_path, how=how, engine="syncfs", count=COUNT, sources=sources, inject=("syncfs:error=EIO:when=1",)
    )
    calls = spans(outcome.trace)
    if not any(span.name == "syncfs" for span in calls):
        pytest.skip("this file system is never flushed as a whole")
    saved, unconfirmed, without = check(tmp_path, outcome, calls)
    assert not unconfirmed
    # A stream is read once: its result is saved without it.
    assert saved >= {n for n in range(COUNT) if n % 3 != 2}
    assert without <= {n for n in range(COUNT) if n % 3 == 2}
    (failed, *others) = [span for span in calls if span.name == "syncfs"]
    assert not others, "whose error it was, a syncfs does not say: it is not asked again"
    first_made: dict[int, int] = {}
    made_again: set[int] = set()
    for n in saved:
        record = Path(outcome.said["saved"][str(n)])
        (rename,) = (
            span
            for span in calls
            if span.name == "renameat2" and f'<{record.parent}>, "result.json"' in span.arguments
        )
        temp = record.with_name(".result.json.tmp")
        made = [s for s in calls if s.name == "openat" and s.answer.endswith(f"<{temp}>")]
        (flush,) = (span for span in calls if span.name == "fsync" and f"<{temp}>" in span.arguments)
        assert made[-1].ends < flush.begins <= flush.ends < rename.begins
        assert flush.begins > failed.ends
        first_made[n] = made[0].begins
        if len(made) > 1:
            made_again.add(n)
            assert len(made) == 2
            assert made[0].ends < failed.begins <= failed.ends < made[1].begins
    # One that was being written when the batch was taken is no part of it.
    assert min(first_made, key=first_made.__getitem__) in made_again


def test_submit_failing_second_barrier_reports_unconfirmed(
    bulk: Bulk, spans: Spans, tmp_path: Path
) -> None:
    inject = ("syncfs:error=EIO:when=2+",)
    outcome = bulk(tmp_path, how="writer", engine="syncfs", count=1, inject=inject)
    calls = spans(outcome.trace)
    if not any(span.name == "syncfs" for span in calls):
        pytest.skip("this file system is never flushed as a whole")
    (error,) = outcome.said["failed"].values()
    assert error["committed"]
    assert error["errno"] == codes.EIO
    record = Path(error["result_path"])
    assert ExperimentResult.from_json(record).experiment_id == "0"
    assert sorted(tmp_path.rglob("*")) == [record.parent, record]


@pytest.mark.parametrize("engine", ["fsync", "syncfs"])
def test_submit_failing_flush_reports_like_single_save(
    bulk: Bulk, spans: Spans, tmp_path: Path, engine: str
) -> None:
    for n in range(1, 5):
        root = tmp_path / f"{n}"
        root.mkdir()
        # Of one thread, or of several: the counts are each thread's own.
        inject = (f"fsync:error=EIO:when={n}+", f"syncfs:error=EIO:when={n}+")
        outcome = bulk(root, how="writer", engine=engine, count=1, inject=inject)
        calls = spans(outcome.trace)
        renamed = any(span.name == "renameat2" for span in calls)
        for error in outcome.said["failed"].values():
            assert (error["errno"], error["committed"]) == (codes.EIO, renamed)
        assert bool(outcome.said["failed"]) == any(span.injected for span in calls if renamed) or not renamed
        assert len(list(root.glob("*/result.json"))) == renamed
        assert flushed_twice(calls) == []


def test_submit_after_failed_root_flush_reopens_root(
    bulk: Bulk, spans: Spans, tmp_path: Path
) -> None:
    met = False
    for when in range(1, 8):
        root = tmp_path / f"{when}"
        root.mkdir()
        inject = (f"fsync:error=EIO:when={when}",)
        outcome = bulk(root, how="writer", engine="fsync", one_by_one=True, count=COUNT, inject=inject)
        calls = spans(outcome.trace)
        check(root, outcome, [], sidecars=False)
        flushes = [span for span in calls if span.name == "fsync" and span.arguments.endswith(f"<{root}>")]
        opened = [
            span for span in calls if span.name in ("open", "openat") and span.answer.endswith(f"<{root}>")
        ]
        for failed, after in itertools.pairwise(flushes):
            if failed.injected:
                met = True
                assert any(failed.ends < span.begins < after.begins for span in opened), inject
    assert met


def test_submit_below_unflushed_parent_acknowledges_nothing(
    bulk: Bulk, spans: Spans, tmp_path: Path
) -> None:
    failures = 0
    for when in range(1, 8):
        top = tmp_path / f"{when}"
        top.mkdir()
        root = top / "a" / "b"
        inject = (f"fsync:error=EIO:when={when}",)
        outcome = bulk(root, how="writer", engine="fsync", one_by_one=True, count=COUNT, inject=inject)
        flushed = {
            span.arguments.partition("<")[2].rstrip(">")
            for span in spans(outcome.trace)
            if span.name == "fsync" and not span.injected
        }
        failures += bool(outcome.said["failed"])
        if outcome.said["saved"]:
            assert {str(top), str(top / "a"), str(root)} <= flushed, inject
    assert failures


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS"])
def test_save_many_without_rename_noreplace_publishes_by_link(
    bulk: Bulk, tmp_path: Path, sources: list[str | None], error: str
) -> None:
    outcome = bulk(tmp_path, count=COUNT, sources=sources, inject=(f"renameat2:error={error}",))
    saved, *_ = check(tmp_path, outcome, [])
    assert len(saved) == COUNT


@pytest.mark.parametrize("answer", [0, 1])
def test_save_many_lost_write_fails_before_commit(
    bulk: Bulk, tmp_path: Path, sources: list[str | None], answer: int
) -> None:
    for when in ("1", "2", "3..9"):
        root = tmp_path / when
        root.mkdir()
        outcome = bulk(root, count=COUNT, sources=sources, inject=(f"write:retval={answer}:when={when}",))
        if outcome.kind == "saved":
            pytest.fail(f"nobody noticed that write {when} wrote nothing")
        assert {error["step"] for error in outcome.said["failed"].values()} == {"write"}
        _, unconfirmed, _ = check(root, outcome, [])
        assert not unconfirmed


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("how", ["save_many", "writer"])
def test_bulk_save_no_space_at_flush_keeps_record_without_sidecar(
    bulk: Bulk, spans: Spans, parquet: Path, tmp_path: Path, how: str, error: str
) -> None:
    inject = (f"fsync:error={error}:when=2",)
    outcome = bulk(tmp_path, how=how, engine="fsync", count=1, sources=[str(parquet)], inject=inject)
    (failed,) = outcome.said["failed"].values()
    assert (failed["kind"], failed["errno"]) == ("SidecarError", getattr(codes, error))
    record = Path(failed["result_path"])
    assert ExperimentResult.from_json(record).timeseries is None
    assert sorted(tmp_path.rglob("*")) == [record.parent, record]
    assert flushed_twice(spans(outcome.trace)) == []
