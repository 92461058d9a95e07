"""The calls that the tests make fail are exactly the calls of a save."""

from __future__ import annotations

import re
from pathlib import Path

from support.operations import Operation, Runs

DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "reliability.md"
UNNAMED = {
    "ioctl": "a reflink; Python's test for a terminal",
    "sendfile": "a slower way to copy",
    "statx": "the source, before and after the copy",
    "fstat": "whether the root is still where its path leads",
    "newfstatat": "the same; whether a source exists",
    "fstatfs": "the kind of file system: step 8, and the choice of a flush method",
    "uname": "the version of the kernel: the choice of a flush method",
    "prlimit64": "the number of descriptors that a batch may hold",
}
"""Calls that the document does not name, and their purposes."""
CORE = {"open", "mkdirat", "openat", "write", "lseek", "close", "renameat2"}


def test_trace_operation_makes_only_documented_calls(runs: Runs, operation: Operation) -> None:
    named = set(re.findall(r"\w+", DOCUMENT.read_text()))
    derived = {step.name for step in runs.clean(operation).steps()}
    assert derived <= named | set(UNNAMED)


def test_trace_operation_makes_every_core_call(runs: Runs, operation: Operation) -> None:
    flushes = {"syncfs"} if operation.flush_method == "syncfs" else {"fsync", "utimensat"}
    from_files = any(source not in (None, "arrow") for source in operation.sources)
    core = CORE | flushes | ({"copy_file_range"} if from_files else set())
    assert core <= set(re.findall(r"\w+", DOCUMENT.read_text()))
    assert core <= {step.name for step in runs.clean(operation).steps()}


def test_trace_operation_excluded_calls_touch_no_file(runs: Runs, operation: Operation) -> None:
    run = runs.clean(operation)
    failing = {step.name for step in run.steps()}
    assert len(failing) >= len(CORE)
    others = [span for span in run.inside() if span.name not in failing]
    assert [span for span in others if re.search(r"\d<[^>]", span.arguments) or '"/' in span.arguments] == []
