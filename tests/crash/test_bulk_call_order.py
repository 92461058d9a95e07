"""The order of the system calls of bulk saves: no acknowledgement before the data is on the device."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.saver import Outcome
from support.tracing import Span, spans_of

Bulk = Callable[..., Outcome]

FLUSH_METHODS = ["fsync", "syncfs"]
FLUSHES = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range")
SLOW = ("fsync:delay_exit=30000", "syncfs:delay_exit=30000")
"""Flushes that take long enough for a batch to gather behind them, as on a laptop's disk."""
SLOWER = (
    SLOW,
    *(tuple(f"{call}:delay_exit={us}" for call in ("fsync", "syncfs")) for us in (120_000, 480_000)),
)
"""Ever slower flushes, for machines so busy that results come one by one."""


class Trace:
    """The calls of a bulk save, by the path that they concern."""

    def __init__(self, root: Path, spans: list[Span]) -> None:
        self.root = root
        self.spans = spans
        self.syncfs = [span for span in spans if span.name == "syncfs"]
        self.root_flushes = self.flushes(root)
        self.marks = [span for span in spans if span.name == "getppid"]

    def flushes(self, path: Path) -> list[Span]:
        return [span for span in self.spans if span.name == "fsync" and span.arguments.endswith(f"<{path}>")]

    def writes(self, path: Path) -> list[Span]:
        names = ("write", "copy_file_range", "ioctl", "pwrite64", "sendfile")
        return [span for span in self.spans if span.name in names and f"<{path}>" in span.arguments]

    def rename(self, path: Path) -> Span:
        (found,) = (
            span
            for span in self.spans
            if span.name == "renameat2"
            and f"<{path.parent}>" in span.arguments
            and f'"{path.name}"' in span.arguments
        )
        assert found.answer == "0"
        assert found.arguments.endswith("RENAME_NOREPLACE")
        return found

    def mark(self, kind: str, what: object) -> Span:
        (found,) = (span for span in self.spans if f'"/{kind}/{what}"' in span.arguments)
        return found

    def barrier(self, after: Span, before: int, *paths: Path) -> bool:
        """Return whether each path was flushed after a call and before a line, alone or with everything."""

        def within(flushes: list[Span]) -> bool:
            return any(
                after.ends < flush.begins and flush.ends < before and flush.answer == "0" for flush in flushes
            )

        return within(self.syncfs) or all(within(self.flushes(path)) for path in paths)

    def assert_safe(self, record: Path, by: int) -> None:
        """Check that a result was flushed before its rename, and its names between the rename and a line."""
        temp = record.with_name(".result.json.tmp")
        rename = self.rename(record)
        (*_, written) = self.writes(temp)
        assert self.barrier(written, rename.begins, temp), f"{record} was renamed before it was flushed"
        assert self.barrier(rename, by, record.parent, self.root), f"{record} was acknowledged too early"
        if record.with_name("timeseries.parquet").exists():
            temp = record.with_name(".timeseries.parquet.tmp")
            named = self.rename(record.with_name("timeseries.parquet"))
            (*_, written) = self.writes(temp)
            assert self.barrier(written, named.begins, temp)
            assert named.ends < rename.begins


@pytest.mark.parametrize("kinds", ["plain", "mixed"])
@pytest.mark.parametrize("flush_method", [*FLUSH_METHODS, None])
def test_submit_resolves_future_only_after_its_flushes(
    bulk: Bulk, tmp_path: Path, parquet: Path, flush_method: str | None, kinds: str
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    sources = [None, str(parquet), "arrow"] if kinds == "mixed" else []
    outcome = bulk(root, how="writer", flush_method=flush_method, count=60, sources=sources)
    assert outcome.kind == "saved", outcome
    trace = Trace(root, spans_of(outcome.trace))
    assert len(outcome.reply["saved"]) == 60
    for path in map(Path, outcome.reply["saved"].values()):
        trace.assert_safe(path, by=trace.mark("acknowledged", path.parent.name).begins)
    if flush_method == "syncfs" and trace.syncfs:
        assert not [span for span in trace.spans if span.name == "fsync"]


@pytest.mark.parametrize("flush_method", [*FLUSH_METHODS, None])
def test_save_many_progress_counts_only_flushed_results(
    bulk: Bulk, tmp_path: Path, flush_method: str | None
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    outcome = bulk(root, flush_method=flush_method, count=80, inject=SLOW)
    assert outcome.kind == "saved", outcome
    trace = Trace(root, spans_of(outcome.trace))
    records = [Path(path) for path in outcome.reply["saved"].values()]
    for record in records:
        trace.assert_safe(record, by=trace.marks[1].begins)

    def safe(record: Path, by: int) -> bool:
        return trace.barrier(trace.rename(record), by, record.parent, root)

    reported = re.findall(r'"/progress/(\d+)"', outcome.trace)
    assert reported[-1] == "80"
    for done in set(reported):
        by = trace.mark("progress", done).begins
        assert sum(safe(record, by) for record in records) >= int(done)


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_root_is_flushed_once_per_batch(
    bulk: Bulk, tmp_path: Path, how: str, flush_method: str
) -> None:
    counts = []
    for n, slow in enumerate(SLOWER):
        root = tmp_path / f"{n}"
        root.mkdir()
        counts.append(
            count_barriers(
                bulk(root, how=how, flush_method=flush_method, count=200, inject=slow), root, flush_method
            )
        )
        if counts[-1] <= 40:
            return
    pytest.fail(f"{counts} barriers for 200 results, however slow the flushes")


def count_barriers(outcome: Outcome, root: Path, flush_method: str) -> int:
    """Return the number of barriers of 200 saves, each with a new name since the one before."""
    assert outcome.kind == "saved", outcome
    trace = Trace(root, spans_of(outcome.trace))
    renames = sorted(trace.rename(Path(path)).ends for path in outcome.reply["saved"].values())
    assert len(renames) == 200
    barriers = trace.root_flushes or trace.syncfs
    assert barriers
    if flush_method == "fsync":  # a syncfs flushes files too, and needs no new name
        before = 0
        for flush in barriers:
            assert any(before < rename < flush.begins for rename in renames)
            before = flush.begins
    return len(barriers)


def test_save_many_by_fsync_flushes_each_file_and_directory_once(bulk: Bulk, tmp_path: Path) -> None:
    root = tmp_path / "out"
    root.mkdir()
    outcome = bulk(root, flush_method="fsync", count=60)
    trace = Trace(root, spans_of(outcome.trace))
    for record in map(Path, outcome.reply["saved"].values()):
        assert len(trace.flushes(record.with_name(".result.json.tmp"))) == 1
        assert len(trace.flushes(record.parent)) == 1


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_new_root_flushes_its_parents_once(bulk: Bulk, tmp_path: Path, flush_method: str) -> None:
    root = tmp_path / "a" / "b" / "out"
    outcome = bulk(root, flush_method=flush_method, count=60)
    assert outcome.kind == "saved"
    trace = Trace(root, spans_of(outcome.trace))
    first = min(
        (trace.rename(Path(path)) for path in outcome.reply["saved"].values()), key=lambda s: s.begins
    )
    parents = [root.parent, root.parent.parent, tmp_path]
    assert trace.barrier(first, trace.marks[1].begins, *parents)
    for parent in parents:
        assert len(trace.flushes(parent)) == (0 if trace.syncfs else 1)


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", [*FLUSH_METHODS, None])
def test_bulk_save_not_durable_flushes_nothing(
    bulk: Bulk, tmp_path: Path, parquet: Path, how: str, flush_method: str | None
) -> None:
    root = tmp_path / "a" / "out"
    sources = [None, str(parquet), "arrow"]
    outcome = bulk(root, how=how, flush_method=flush_method, count=30, durable=False, sources=sources)
    assert outcome.kind == "saved", outcome
    assert [span.name for span in spans_of(outcome.trace) if span.name in FLUSHES] == []
    assert len(list(root.glob("*/result.json"))) == 30
    assert len(list(root.glob("*/timeseries.parquet"))) == 20


STAMP = "2026-01-01T00-00"
NAME = f"org-model_pytorch_{STAMP}"


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("taken", [0, 500])
def test_bulk_save_taken_names_claims_without_probe_per_result(
    bulk: Bulk, tmp_path: Path, how: str, taken: int
) -> None:
    probes = {}
    for count in (20, 200):
        root = tmp_path / str(count)
        for n in range(taken):
            (root / (f"{NAME}_{n}" if n else NAME)).mkdir(parents=True)
        outcome = bulk(root, how=how, count=count, durable=False, stamp=STAMP)
        assert outcome.kind == "saved"
        numbers = sorted(
            int(Path(path).parent.name[len(NAME) + 1 :] or 0) for path in outcome.reply["saved"].values()
        )
        assert numbers == list(range(taken, taken + count))
        calls = spans_of(outcome.trace)
        stats = ("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2")
        probes[count] = sum(
            span.name in stats and f'"{NAME}' in span.arguments and f"<{root}>" in span.arguments
            for span in calls
        )
        made = sum(span.name == "mkdirat" and f'"{NAME}' in span.arguments for span in calls)
        # The first results of two threads may collide where the search of one ends.
        assert count <= made <= count + 30
    # Each of a few threads searches for its first suffix; a probe per result would be 180 more.
    assert probes[200] <= probes[20] + 60
    assert probes[200] <= 8 * math.log2(taken + 1) + 16
