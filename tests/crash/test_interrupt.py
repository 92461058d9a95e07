"""An exception from a signal handler stops a save before the commit, or is raised after it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from support.results import record_text
from support.saver import Saver, assert_parquet
from support.trees import list_tree

SKIPPED = ("getppid", "stat", "fstat", "newfstatat")
KINDS = ["plain", "path", "arrow"]


def source_of(kind: str, parquet: Path) -> str | Path | None:
    return {"plain": None, "path": parquet, "arrow": "arrow"}[kind]


def steps(traced: Saver, result: ExperimentResult, root: Path, source: str | Path | None) -> list[Any]:
    """Return the calls of an undisturbed save, each with whether it precedes the commit."""
    root.parent.mkdir(exist_ok=True)
    calls = traced.save(result, root, source=source, trace=True).calls
    commit = next(n for n, call in enumerate(calls) if '"result.json"' in call.arguments)
    return [(call, n < commit) for n, call in enumerate(calls) if call.name not in SKIPPED]


def count_complete(result: ExperimentResult, root: Path, parquet: Path, kind: str) -> int:
    """Check every record and sidecar, and return the number of records."""
    records = list(root.glob("*/result.json"))
    for record in records:
        loaded = ExperimentResult.from_json(record, missing_sidecar="error")
        named = result if kind == "plain" else result.model_copy(update={"timeseries": "timeseries.parquet"})
        assert loaded == named
        assert record.read_text() == record_text(named)
    for sidecar in root.glob("*/timeseries.parquet"):
        content = sidecar.read_bytes()
        assert_parquet(content)
        assert kind != "path" or content == parquet.read_bytes()
    return len(records)


@pytest.mark.parametrize("kind", KINDS)
def test_interrupt_save_at_any_step_leaves_nothing_or_complete_result(
    traced: Saver,
    result: ExperimentResult,
    parquet: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    source = source_of(kind, parquet)
    for n, (call, before) in enumerate(steps(traced, result, tmp_path / "clean" / "x", source)):
        top = tmp_path / str(n)
        top.mkdir()
        injection = f"{call.name}:signal=SIGALRM:when={call.nth}"
        outcome = traced.save(result, top / "x", source=source, alarm=True, inject=(injection,))
        assert outcome.kind == "TimeoutError", (injection, outcome)
        assert not outcome.stderr, injection
        if before:
            assert list_tree(top) == [], injection
        else:
            assert count_complete(result, top / "x", parquet, kind) == 1, injection
            assert not list(top.rglob(".*")), injection


INTERRUPT_EACH_FUNCTION = """
import itertools, json, sys
from llenergymeasure import _store

outcomes = []
for nth in range(1, 20):
    entered = itertools.count(1)

    def interrupt(frame, event, argument):
        if event == "call" and next(entered) == nth:
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        _store.save(sys.argv[1], "name", b"{}", durable=True)
    except BaseException as error:
        sys.setprofile(None)
        outcomes.append(type(error).__name__)
    if outcomes[-1] == "PersistenceError":
        break
print(json.dumps(outcomes))
"""


def test_interrupt_while_error_is_built_raises_interrupt(tmp_path: Path) -> None:
    # The construction of the error runs Python functions, and a handler may run before each.
    file = tmp_path / "file"
    file.write_text("no directory")
    command = [sys.executable, "-c", INTERRUPT_EACH_FUNCTION, str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    *interrupted, last = json.loads(run.stdout)
    assert last == "PersistenceError"
    assert set(interrupted) == {"KeyboardInterrupt"}
