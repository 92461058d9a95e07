"""Every system call of every way to save fails once, in every way, and the reply agrees with the disk.

The tests are a matrix of operations and faults. A cell has the calls in the trace of the undisturbed
operation: in the short form one call of each kind, in the long form every call.
"""

from __future__ import annotations

import errno as codes
import json
import signal
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.crash_report import Measurements
from support.operations import Operation, Run, Runs, Step
from support.results import record_text
from support.tracing import flushed_again, path_of

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES")
NO_ROOM = ("ENOSPC", "EDQUOT")
FAULTS = (*ERRORS, "EINTR", "short", "SIGKILL", "SIGINT")
IN_DETAIL = ("EIO", "SIGKILL")
"""In the short form, these hit a call once for each thing that it concerns; others, once for its name."""
IN_DETAIL_OF_ONE = (*IN_DETAIL, "EINTR", "SIGINT")
"""The same of single saves."""

RETRIED = (
    "open", "openat", "mkdirat", "read", "write", "copy_file_range", "sendfile", "fsync", "close"
)  # fmt: skip
HARD = ("mkdirat", "write", "fsync", "renameat2")
"""Calls without a fallback: some result must fail."""
LEFTOVERS = {".timeseries.parquet.tmp", "timeseries.parquet", ".result.json.tmp"}
"""The files that a directory without a record may hold."""


def assert_complete(result: ExperimentResult, record: Path, source: str | None, given: Path) -> bool:
    """Check a record to the byte; return whether it has its complete sidecar."""
    sidecar = record.with_name("timeseries.parquet")
    there = sidecar.exists()
    named = result.model_copy(update={"timeseries": sidecar.name}) if there else result
    assert record.read_text() == record_text(named)
    assert not there or source is not None
    if there and source != "arrow":
        assert sidecar.read_bytes() == given.read_bytes()
    return there


def number_of(record: Path) -> int:
    return int(json.loads(record.read_text())["experiment_id"])


def assert_reply(run: Run, runs: Runs) -> None:
    """Check that the reply covers every result and agrees with the disk, which holds nothing else."""
    assert run.reply["left"] is not None or not run.records, "the root is gone"
    left = run.reply["left"] or []
    there = {run.root / name for name in left if name.endswith("/result.json")}
    unreported = there - set(run.records.values())
    if run.outcome.kind == "KeyboardInterrupt":
        # The error lists no results. A writer finishes everything that was submitted.
        run.records |= {number_of(record): record for record in unreported}
        if "submitted" in run.reply:
            assert run.reply["submitted"] <= len(run.records) <= run.reply["submitted"] + 1
    else:
        assert not unreported
        assert run.outcome.kind == "SaveInterrupted" or len(run.saved) + len(run.failed) == len(run.sources)
    assert len(set(run.records.values())) == len(run.records)
    expected: set[str] = set()
    for number, record in run.records.items():
        has_sidecar = assert_complete(runs.results[number], record, run.sources[number], runs.source)
        error = run.failed.get(number, {"kind": None, "cause": None})
        without = run.sources[number] is None or "SidecarError" in (error["kind"], error["cause"])
        assert has_sidecar == (not without)
        name = record.parent.name
        expected |= {name, f"{name}/result.json"} | ({f"{name}/timeseries.parquet"} if has_sidecar else set())
    assert set(left) == expected
    if not run.records:
        assert run.reply["left"] is None, "the new root still exists"


def assert_errors(run: Run, step: Step, kind: str) -> None:
    """Check that every error has the right class, errno, step and path."""
    for error in run.failed.values():
        assert error["kind"] in ("PersistenceError", "SidecarError"), error
        assert error["committed"] == (error["result_path"] is not None), error
        assert error["step"], error
        assert error["filename"] in error["message"], error
        assert kind == "short" or error["errno"] == getattr(codes, kind), error
        if error["kind"] == "PersistenceError" and error["committed"]:
            assert step.name in ("fsync", "syncfs", "utimensat"), error
        if kind == "short" and step.name == "write":
            assert error["step"] == "write", error


def assert_flushed(run: Run, kind: str) -> None:
    """Check that every saved result and its names were flushed, and that no failed flush was repeated."""
    # EINTR is not a failure.
    assert kind == "EINTR" or flushed_again(run.spans, excuse_reopened=True) == []
    flushed = {path_of(span.arguments) for span in run.spans if span.name == "fsync" and span.answer == "0"}
    if any(span.name == "syncfs" and span.answer == "0" for span in run.spans):
        return
    for record in run.saved.values():
        names = [record.with_name(".result.json.tmp"), record.parent, run.root, run.root.parent]
        if record.with_name("timeseries.parquet").exists():
            names.append(record.with_name(".timeseries.parquet.tmp"))
        assert {str(name) for name in names} <= flushed


def assert_goes_on(run: Run) -> None:
    """Check that no descriptor leaks, and that the process saves as before."""
    before, after, last = run.reply["descriptors"]
    # strace skips a close that it makes fail.
    kept = sum(span.name == "close" and span.injected for span in run.spans)
    assert (after, last) == (before + kept, before + kept)
    then = run.reply["next"]
    assert then["kind"] == "saved", then
    assert list(then["saved"]) == [str(n) for n in range(len(run.sources))][:3]
    assert not set(then["saved"].values()) & {str(record) for record in run.records.values()}
    found = ResultStore(run.root).verify(deep=True)
    assert found.ok
    assert (found.complete, found.incomplete, found.foreign) == (
        len(run.records) + len(then["saved"]),
        [],
        [],
    )


def ends_of_one(step: Step, kind: str, source: str | None) -> set[str]:
    """Return the possible ends of a single save."""
    if kind == "SIGINT":
        return {"nothing"} if step.when == "before" else {"saved"}
    if step.about == "the system" or (kind == "EINTR" and step.name in RETRIED):
        return {"saved"}
    if step.about in ("the sidecar", "the source"):
        # A slower way to copy may replace it.
        sure = step.name in ("fsync", "renameat2", "openat", "write")
        return {"no sidecar"} if sure else {"no sidecar", "saved"}
    if step.when == "after":
        # A change of the times tests whether the file system still accepts writes; these errors deny it.
        refuses = step.name == "utimensat" and kind in ("EIO", "EROFS")
        return {"unconfirmed"} if step.name == "fsync" or refuses else {"saved"}
    if source is not None and step.about == "the record" and step.when == "before" and kind in NO_ROOM:
        # The save evicts the sidecar, and writes the record anew.
        return {"no sidecar"}
    return {"nothing"}


def end_of_one(run: Run) -> str:
    if run.outcome.kind in ("saved", "KeyboardInterrupt"):
        return "saved" if run.records else "nothing"
    if run.outcome.kind == "SidecarError":
        return "no sidecar"
    assert run.outcome.kind == "PersistenceError", run.outcome
    return "unconfirmed" if run.records else "nothing"


def assert_end(run: Run, operation: Operation, step: Step, kind: str) -> None:
    """Check that the operation had one of the possible ends of this fault."""
    if operation.is_single:
        assert (run.outcome.kind == "KeyboardInterrupt") == (kind == "SIGINT")
        assert end_of_one(run) in ends_of_one(step, kind, operation.sources[0])
    elif kind == "SIGINT":
        # The signal may arrive after the last result, or before the first.
        bare = operation.how == "writer" or not run.records
        interrupt = ("SaveInterrupted", "KeyboardInterrupt") if bare else ("SaveInterrupted",)
        assert run.outcome.kind in ("saved", *interrupt)
        assert not run.failed
    else:
        assert run.outcome.kind == ("BulkSaveError" if run.failed else "saved")
        if kind == "EINTR" and step.name in (*RETRIED, "syncfs"):
            assert not run.failed
        elif step.name in HARD and (kind in ERRORS or kind == "short"):
            assert run.failed or not run.was_hit(kind)


def assert_killed_clean(run: Run, step: Step, runs: Runs, *, is_single: bool) -> None:
    """Check that a killed process left complete results and harmless leftovers, which one clean removes."""
    assert run.outcome.killed_by == signal.SIGKILL
    complete: set[Path] = set()
    leftovers: set[Path] = set()
    folders = list(run.root.iterdir()) if run.root.exists() else []
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        if "result.json" in names:
            number = number_of(folder / "result.json")
            source = run.sources[number]
            has_sidecar = assert_complete(runs.results[number], folder / "result.json", source, runs.source)
            assert has_sidecar == (source is not None)
            assert names <= {"result.json", "timeseries.parquet"}
            complete.add(folder)
        else:
            assert names <= LEFTOVERS
            assert not {"timeseries.parquet", ".timeseries.parquet.tmp"} <= names
            leftovers.add(folder)
    if is_single:
        assert len(folders) <= 1
        # The signal arrives at the entry of the call: the commit itself may happen or not.
        assert step.when == "at" or len(complete) == (step.when == "after")
    store = ResultStore(run.root)
    if run.root.exists():
        found = store.verify(deep=True)
        assert (found.complete, found.damaged, found.missing_sidecars) == (len(complete), [], [])
        assert {finding.path for finding in found.incomplete} == leftovers
        assert not found.foreign
        cleaning = store.clean(older_than=timedelta(0), dry_run=False)
        assert {finding.path for finding in cleaning.removed} == leftovers
        assert set(run.root.iterdir()) == complete
    assert store.save(runs.results[0], durable=False).parent not in complete


def chosen(steps: Iterable[Step], kind: str, *, is_single: bool, every: bool) -> list[tuple[Step, str]]:
    """Return the calls that fail in a cell of the matrix, with their faults: one of each kind, or all."""
    found: dict[object, tuple[Step, str]] = {}
    for step in steps:
        fault = step.fault(kind)
        key: object = step.name
        if every:
            key = step
        elif kind in (IN_DETAIL_OF_ONE if is_single else IN_DETAIL):
            key = (step.name, step.about, is_single and step.when)
        if fault is not None:
            found.setdefault(key, (step, fault))
    return list(found.values())


@pytest.mark.parametrize("kind", FAULTS)
def test_fail_each_call_once_reports_exact_outcome(
    runs: Runs, measurements: Measurements, operation: Operation, kind: str, *, long_form: bool
) -> None:
    is_single = operation.is_single
    steps = runs.clean(operation).steps()
    cells = chosen(steps, kind, is_single=is_single, every=long_form)
    wrong = []
    for step, fault in cells:
        run = runs.run(operation, fault)
        try:
            assert run.outcome.stderr == ""
            hit = run.was_hit(kind)
            # The threads of the store share the calls of one name anew in each run.
            assert hit or (step.nth > 1 and not is_single), "the call was not made"
            if kind == "SIGKILL" and hit:
                assert_killed_clean(run, step, runs, is_single=is_single)
            else:
                assert_reply(run, runs)
                if kind != "SIGINT":
                    assert_errors(run, step, kind)
                assert_end(run, operation, step, kind)
                assert_flushed(run, kind)
                assert_goes_on(run)
            measurements.count("Every call fails once", str(operation), kind, int(hit))
        except AssertionError as error:
            wrong.append(f"{fault} ({step.about}, {step.when} the commit): {run.outcome.reply}\n{error}")
    assert not wrong, f"{len(wrong)} of {len(cells)}\n" + "\n".join(wrong)
    assert cells
