"""Every system call of every way to save fails once, in every way: what is said is what is there.

One matrix, of operations and faults. In each cell are the calls that a trace of the operation left alone
shows: in the short form each kind of them once, in the long form every one.
"""

from __future__ import annotations

import errno as codes
import json
import signal
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore

if TYPE_CHECKING:
    Figures = Any
    Operation = Any
    Run = Any
    Runs = Any
    Span = Any
    Step = Any

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES")
NO_ROOM = ("ENOSPC", "EDQUOT")
FAULTS = (*ERRORS, "EINTR", "short", "SIGKILL", "SIGINT")
IN_DETAIL = ("EIO", "SIGKILL")
"""In the short form, these befall a call once for each thing that it is about; others, once for its name."""
IN_DETAIL_OF_ONE = (*IN_DETAIL, "EINTR", "SIGINT")
"""The same of single saves."""

RETRIED = (
    "open", "openat", "mkdirat", "read", "write", "copy_file_range", "sendfile", "fsync", "close"
)  # fmt: skip
HARD = ("mkdirat", "write", "fsync", "renameat2")
"""Calls that nothing can make up for: some result must fail."""
LEFT = {".timeseries.parquet.tmp", "timeseries.parquet", ".result.json.tmp"}
"""What a directory without a record may hold."""


def assert_whole(result: ExperimentResult, record: Path, source: str | None, given: Path) -> bool:
    """A record is there to the byte; return whether it has its sidecar, whole."""
    sidecar = record.with_name("timeseries.parquet")
    there = sidecar.exists()
    named = result.model_copy(update={"timeseries": sidecar.name}) if there else result
    assert record.read_text() == named.model_dump_json(indent=2)
    assert not there or source is not None
    if there and source != "arrow":
        assert sidecar.read_bytes() == given.read_bytes()
    return there


def number_of(record: Path) -> int:
    return int(json.loads(record.read_text())["experiment_id"])


def assert_told(run: Run, runs: Runs) -> None:
    """What is said of every result is what is there, and nothing else is there."""
    assert run.said["left"] is not None or not run.records, "the output directory is gone"
    left = run.said["left"] or []
    there = {run.root / name for name in left if name.endswith("/result.json")}
    untold = there - set(run.records.values())
    if run.outcome.kind == "KeyboardInterrupt":
        # It cannot say what was saved. A writer goes on with what was handed over, and no less.
        run.records |= {number_of(record): record for record in untold}
        if "submitted" in run.said:
            assert run.said["submitted"] <= len(run.records) <= run.said["submitted"] + 1
    else:
        assert not untold
        assert run.outcome.kind == "SaveInterrupted" or len(run.saved) + len(run.failed) == len(run.sources)
    assert len(set(run.records.values())) == len(run.records)
    expected: set[str] = set()
    for number, record in run.records.items():
        has_sidecar = assert_whole(runs.results[number], record, run.sources[number], runs.source)
        error = run.failed.get(number, {"kind": None, "cause": None})
        without = run.sources[number] is None or "SidecarError" in (error["kind"], error["cause"])
        assert has_sidecar == (not without)
        name = record.parent.name
        expected |= {name, f"{name}/result.json"} | ({f"{name}/timeseries.parquet"} if has_sidecar else set())
    assert set(left) == expected
    if not run.records:
        assert run.said["left"] is None, "the output directory that was made is still there"


def assert_errors(run: Run, step: Step, kind: str) -> None:
    """Every error is of the right kind, and says which call of the system it was, and where."""
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


def flushed_again(spans: list[Span]) -> list[str]:
    """Files and directories whose flush failed, and that were flushed again.

    A file that was made anew is another one, and so is the descriptor of a directory that was opened anew.
    """
    failed: set[str] = set()
    again = []
    for span in spans:
        if span.name in ("open", "openat") and span.answer[:1].isdigit():
            failed.discard(span.answer)
            if "O_EXCL" in span.arguments:
                failed.discard(path_of(span.answer))
        if span.name in ("fsync", "fdatasync", "syncfs"):
            name = path_of(span.arguments) if span.arguments.endswith(".tmp>") else span.arguments
            if name in failed:
                again.append(name)
            if span.answer != "0":
                failed.add(name)
    return again


def path_of(descriptor: str) -> str:
    return descriptor.partition("<")[2].rstrip(">")


def assert_flushed(run: Run, kind: str) -> None:
    """What is called saved was flushed, and every name of it; no flush that failed is made again."""
    # One that was interrupted did not fail.
    assert kind == "EINTR" or flushed_again(run.spans) == []
    flushed = {path_of(span.arguments) for span in run.spans if span.name == "fsync" and span.answer == "0"}
    if any(span.name == "syncfs" and span.answer == "0" for span in run.spans):
        return
    for record in run.saved.values():
        names = [record.with_name(".result.json.tmp"), record.parent, run.root, run.root.parent]
        if record.with_name("timeseries.parquet").exists():
            names.append(record.with_name(".timeseries.parquet.tmp"))
        assert {str(name) for name in names} <= flushed


def assert_goes_on(run: Run) -> None:
    """No descriptor leaks, and the process saves as if nothing had been."""
    before, after, last = run.said["descriptors"]
    # A close that was made to fail was not made at all.
    kept = sum(span.name == "close" and span.injected for span in run.spans)
    assert (after, last) == (before + kept, before + kept)
    then = run.said["next"]
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
    """What may become of a single save."""
    if kind == "SIGINT":
        return {"nothing"} if step.when == "before" else {"saved"}
    if step.about == "the system" or (kind == "EINTR" and step.name in RETRIED):
        return {"saved"}
    if step.about in ("the sidecar", "the source"):
        # A slower way to copy may have made up for it.
        sure = step.name in ("fsync", "renameat2", "openat", "write")
        return {"no sidecar"} if sure else {"no sidecar", "saved"}
    if step.when == "after":
        # The file system is asked by a change whether it still takes any, and these are how it says no.
        refuses = step.name == "utimensat" and kind in ("EIO", "EROFS")
        return {"unconfirmed"} if step.name == "fsync" or refuses else {"saved"}
    if source is not None and step.about == "the record" and step.when == "before" and kind in NO_ROOM:
        # What the sidecar has taken is given back, and the record written anew.
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
    """It ended in one of the ways in which this fault of this call may end."""
    if operation.is_single:
        assert (run.outcome.kind == "KeyboardInterrupt") == (kind == "SIGINT")
        assert end_of_one(run) in ends_of_one(step, kind, operation.sources[0])
    elif kind == "SIGINT":
        # It may come when there is nothing left to interrupt, or nothing to tell of yet.
        told = operation.how == "writer" or not run.records
        interrupt = ("SaveInterrupted", "KeyboardInterrupt") if told else ("SaveInterrupted",)
        assert run.outcome.kind in ("saved", *interrupt)
        assert not run.failed
    else:
        assert run.outcome.kind == ("BulkSaveError" if run.failed else "saved")
        if kind == "EINTR" and step.name in (*RETRIED, "syncfs"):
            assert not run.failed
        elif step.name in HARD and (kind in ERRORS or kind == "short"):
            assert run.failed or not run.was_hit(kind)


def assert_killed_clean(run: Run, step: Step, runs: Runs, *, alone: bool) -> None:
    """What a killed process left is reachable and harmless, and one clean removes what is half made."""
    assert run.outcome.killed_by == signal.SIGKILL
    whole: set[Path] = set()
    halves: set[Path] = set()
    folders = list(run.root.iterdir()) if run.root.exists() else []
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        if "result.json" in names:
            number = number_of(folder / "result.json")
            source = run.sources[number]
            has_sidecar = assert_whole(runs.results[number], folder / "result.json", source, runs.source)
            assert has_sidecar == (source is not None)
            assert names <= {"result.json", "timeseries.parquet"}
            whole.add(folder)
        else:
            assert names <= LEFT
            assert not {"timeseries.parquet", ".timeseries.parquet.tmp"} <= names
            halves.add(folder)
    if alone:
        assert len(folders) <= 1
        # The signal arrives at the call's door: the commit itself is made or not.
        assert step.when == "at" or len(whole) == (step.when == "after")
    store = ResultStore(run.root)
    if run.root.exists():
        found = store.verify(deep=True)
        assert (found.complete, found.damaged, found.missing_sidecars) == (len(whole), [], [])
        assert {finding.path for finding in found.incomplete} == halves
        assert not found.foreign
        cleaning = store.clean(older_than=timedelta(0), dry_run=False)
        assert {finding.path for finding in cleaning.removed} == halves
        assert set(run.root.iterdir()) == whole
    assert store.save(runs.results[0], durable=False).parent not in whole


def chosen(steps: Iterable[Step], kind: str, *, alone: bool, every: bool) -> list[tuple[Step, str]]:
    """The calls that fail in a cell of the matrix, and how: each of its kind once, or every one."""
    found: dict[object, tuple[Step, str]] = {}
    for step in steps:
        fault = step.fault(kind)
        key: object = step.name
        if every:
            key = step
        elif kind in (IN_DETAIL_OF_ONE if alone else IN_DETAIL):
            key = (step.name, step.about, alone and step.when)
        if fault is not None:
            found.setdefault(key, (step, fault))
    return list(found.values())


@pytest.mark.parametrize("kind", FAULTS)
def test_fail_each_call_once_reports_exact_outcome(
    runs: Runs, figures: Figures, operation: Operation, kind: str, *, long_form: bool
) -> None:
    alone = operation.is_single
    steps = runs.clean(operation).steps()
    cells = chosen(steps, kind, alone=alone, every=long_form)
    wrong = []
    for step, fault in cells:
        run = runs.run(operation, fault)
        try:
            assert run.outcome.stderr == ""
            hit = run.was_hit(kind)
            # Of many calls of one name, the threads of an engine share out anew who makes them.
            assert hit or (step.nth > 1 and not alone), "the call was not made"
            if kind == "SIGKILL" and hit:
                assert_killed_clean(run, step, runs, alone=alone)
            else:
                assert_told(run, runs)
                if kind != "SIGINT":
                    assert_errors(run, step, kind)
                assert_end(run, operation, step, kind)
                assert_flushed(run, kind)
                assert_goes_on(run)
            figures.count("Every call fails once", str(operation), kind, int(hit))
        except AssertionError as error:
            wrong.append(f"{fault} ({step.about}, {step.when} the commit): {run.outcome.said}\n{error}")
    assert not wrong, f"{len(wrong)} of {len(cells)}\n" + "\n".join(wrong)
    assert cells
