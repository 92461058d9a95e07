"""Bulk saves whose calls fail in a row: the outcome covers every result, and agrees with the disk."""

from __future__ import annotations

import errno as codes
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.saver import Outcome, assert_parquet
from support.tracing import INJECTED, Span, flushed_again, path_of, spans_of

Bulk = Callable[..., Outcome]

COUNT = 12
CALLS = ("mkdirat", "openat", "write", "lseek", "fsync", "syncfs", "renameat2", "close")
FLUSHES = ("fsync", "syncfs")
ALWAYS = ("fsync", "syncfs", "renameat2", "mkdirat")
"""Calls that only the store makes, so that all of them may fail."""


def check(
    root: Path, outcome: Outcome, spans: list[Span], *, sidecars: bool = True
) -> tuple[set[int], set[int], set[int]]:
    """Check an outcome against the disk; return the saved, the unconfirmed and those without sidecar."""
    assert not outcome.stderr, outcome.stderr
    assert outcome.kind in ("saved", "BulkSaveError"), outcome
    saved = {int(n): Path(path) for n, path in outcome.reply["saved"].items()}
    failed = {int(n): error for n, error in outcome.reply["failed"].items()}
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
            assert_parquet(sidecar.read_bytes())
            expected.append(sidecar)
        has_sidecar = sidecars and n % 3 != 0 and failed.get(n, {}).get("kind") != "SidecarError"
        if n not in failed:
            assert (result.timeseries is not None) == has_sidecar, n
    there = sorted(root.rglob("*")) if root.exists() else []
    assert there == sorted(expected)
    assert flushed_again(spans) == []
    without = {n for n, error in failed.items() if error["kind"] == "SidecarError"}
    return set(saved), set(committed) - without, without


@pytest.fixture
def sources(parquet: Path) -> list[str | None]:
    """Return the sources of the results, in turn."""
    return [None, str(parquet), "arrow"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *((name, "EIO") for name in CALLS),
        *((name, "ENOSPC") for name in ("mkdirat", "openat", "write", "renameat2")),
    ],
)
@pytest.mark.parametrize("flush_method", ["fsync", "syncfs"])
def test_save_many_repeated_call_failures_report_exact_outcome(
    bulk: Bulk,
    tmp_path: Path,
    sources: list[str | None],
    flush_method: str,
    name: str,
    error: str,
) -> None:
    for when in ("1..4", *(["1+"] if name in ALWAYS else [])):
        root = tmp_path / when
        root.mkdir()
        inject = (f"{name}:error={error}:when={when}",)
        outcome = bulk(root, flush_method=flush_method, count=COUNT, sources=sources, inject=inject)
        calls = spans_of(outcome.trace)
        saved, unconfirmed, _ = check(root, outcome, calls)
        hit = [span for span in calls if span.name == name and span.injected]
        for failure in outcome.reply["failed"].values():
            assert failure["errno"] == getattr(codes, error), (inject, failure)
        if not hit:
            assert len(saved) == COUNT
        if name not in FLUSHES:
            assert not unconfirmed, inject


@pytest.mark.parametrize("how", ["save_many", "writer"])
def test_bulk_save_failing_first_barrier_rewrites_files(
    bulk: Bulk, tmp_path: Path, sources: list[str | None], how: str
) -> None:
    outcome = bulk(
        tmp_path,
        how=how,
        flush_method="syncfs",
        count=COUNT,
        sources=sources,
        inject=("syncfs:error=EIO:when=1",),
    )
    calls = spans_of(outcome.trace)
    if not any(span.name == "syncfs" for span in calls):
        pytest.skip("this file system is never flushed as a whole")
    saved, unconfirmed, without = check(tmp_path, outcome, calls)
    assert not unconfirmed
    # A stream can be read only once: its result loses the sidecar.
    assert saved >= {n for n in range(COUNT) if n % 3 != 2}
    assert without <= {n for n in range(COUNT) if n % 3 == 2}
    (failed, *others) = [span for span in calls if span.name == "syncfs"]
    assert not others, "a failed syncfs does not name the file, so it must not be repeated"
    first_made: dict[int, int] = {}
    made_again: set[int] = set()
    for n in saved:
        record = Path(outcome.reply["saved"][str(n)])
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
    # A result that was still being written is not part of the batch.
    assert min(first_made, key=first_made.__getitem__) in made_again


def test_submit_failing_second_barrier_reports_unconfirmed(bulk: Bulk, tmp_path: Path) -> None:
    inject = ("syncfs:error=EIO:when=2+",)
    outcome = bulk(tmp_path, how="writer", flush_method="syncfs", count=1, inject=inject)
    calls = spans_of(outcome.trace)
    if not any(span.name == "syncfs" for span in calls):
        pytest.skip("this file system is never flushed as a whole")
    (error,) = outcome.reply["failed"].values()
    assert error["committed"]
    assert error["errno"] == codes.EIO
    record = Path(error["result_path"])
    assert ExperimentResult.from_json(record).experiment_id == "0"
    assert sorted(tmp_path.rglob("*")) == [record.parent, record]


@pytest.mark.parametrize("flush_method", ["fsync", "syncfs"])
def test_submit_failing_flush_reports_like_single_save(bulk: Bulk, tmp_path: Path, flush_method: str) -> None:
    for n in range(1, 5):
        root = tmp_path / f"{n}"
        root.mkdir()
        # strace counts the calls of each thread separately.
        inject = (f"fsync:error=EIO:when={n}+", f"syncfs:error=EIO:when={n}+")
        outcome = bulk(root, how="writer", flush_method=flush_method, count=1, inject=inject)
        calls = spans_of(outcome.trace)
        renamed = any(span.name == "renameat2" for span in calls)
        for error in outcome.reply["failed"].values():
            assert (error["errno"], error["committed"]) == (codes.EIO, renamed)
        assert bool(outcome.reply["failed"]) == any(span.injected for span in calls if renamed) or not renamed
        assert len(list(root.glob("*/result.json"))) == renamed
        assert flushed_again(calls) == []


def test_submit_after_failed_root_flush_reopens_root(bulk: Bulk, tmp_path: Path) -> None:
    met = False
    for when in range(1, 8):
        root = tmp_path / f"{when}"
        root.mkdir()
        inject = (f"fsync:error=EIO:when={when}",)
        outcome = bulk(root, how="writer", flush_method="fsync", one_by_one=True, count=COUNT, inject=inject)
        calls = spans_of(outcome.trace)
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


def test_submit_below_unflushed_parent_acknowledges_nothing(bulk: Bulk, tmp_path: Path) -> None:
    failures = 0
    for when in range(1, 8):
        top = tmp_path / f"{when}"
        top.mkdir()
        root = top / "a" / "b"
        inject = (f"fsync:error=EIO:when={when}",)
        outcome = bulk(root, how="writer", flush_method="fsync", one_by_one=True, count=COUNT, inject=inject)
        flushed = {
            path_of(span.arguments)
            for span in spans_of(outcome.trace)
            if span.name == "fsync" and not span.injected
        }
        failures += bool(outcome.reply["failed"])
        if outcome.reply["saved"]:
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
        # strace counts by thread: with many threads, none may come to a third write.
        if when == "3..9" and INJECTED not in outcome.trace:
            continue
        assert outcome.kind != "saved", f"write {when} wrote nothing, and no error was reported"
        assert {error["step"] for error in outcome.reply["failed"].values()} == {"write"}
        _, unconfirmed, _ = check(root, outcome, [])
        assert not unconfirmed


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT"])
@pytest.mark.parametrize("how", ["save_many", "writer"])
def test_bulk_save_no_space_at_flush_keeps_record_without_sidecar(
    bulk: Bulk, parquet: Path, tmp_path: Path, how: str, error: str
) -> None:
    inject = (f"fsync:error={error}:when=2",)
    outcome = bulk(tmp_path, how=how, flush_method="fsync", count=1, sources=[str(parquet)], inject=inject)
    (failed,) = outcome.reply["failed"].values()
    assert (failed["kind"], failed["errno"]) == ("SidecarError", getattr(codes, error))
    record = Path(failed["result_path"])
    assert ExperimentResult.from_json(record).timeseries is None
    assert sorted(tmp_path.rglob("*")) == [record.parent, record]
    assert flushed_again(spans_of(outcome.trace)) == []
