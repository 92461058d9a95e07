"""Cleaners next to savers that are stopped, killed or fast remove no acknowledged result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.processes import HANG
from support.saver import Outcome, Saver
from support.stopped import StoppedCleaner, clean_now, clean_traced, save_stopped

STOPPED = ("mkdirat", "openat", "write", "fsync", "close", "renameat2", "lseek", "utimensat", "ioctl")

SAVERS = """
import json, sys
from llenergymeasure import ExperimentResult, PersistenceError
from llenergymeasure.results.timeseries import Timeseries
root, source, text, count = sys.argv[1], sys.argv[2], sys.stdin.read(), int(sys.argv[3])
result = ExperimentResult.model_validate_json(text)
for n in range(count):
    try:
        path = result.save(root, source if n % 2 else None, durable=n % 4 == 0)
        reply = {"path": str(path), "sidecar": bool(n % 2)}
    except PersistenceError as error:
        reply = {"path": error.result_path, "sidecar": False, "error": str(error)}
    print(json.dumps(reply), flush=True)
"""
CLEANERS = """
import json, sys
from datetime import timedelta
from llenergymeasure import ResultStore
store = ResultStore(sys.argv[1])
removed = 0
print("ready", flush=True)
while not sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
    cleaning = store.clean(older_than=timedelta(0), dry_run=False)
    removed += len(cleaning.removed)
print(json.dumps(removed), flush=True)
"""


@pytest.fixture
def stopped(traced: Saver) -> Callable[..., Outcome]:
    """Save in a process that stops at a call; see `save_stopped`."""
    return partial(save_stopped, traced)


@pytest.mark.parametrize("kind", ["plain", "path"])
def test_clean_during_stopped_save_keeps_result_or_fails_save(
    traced: Saver,
    stopped: Callable[..., Any],
    result: ExperimentResult,
    parquet: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    source = parquet if kind == "path" else None
    (tmp_path / "clean").mkdir()
    calls = traced.save(result, tmp_path / "clean", source=source, trace=True).calls
    outcomes = []
    for n, call in enumerate(calls):
        if call.name not in STOPPED:
            continue
        root = tmp_path / str(n)
        root.mkdir()
        outcome = stopped(result, root, source, call, clean_now)
        found = ResultStore(root).verify(deep=True)
        records = list(root.glob("*/result.json"))
        assert found.ok, (call, outcome.reply, found.damaged, found.missing_sidecars)
        assert not list(root.glob(".trash-*")), call
        assert "panicked" not in outcome.stderr
        outcomes.append(outcome.kind)
        if outcome.kind == "saved":
            assert records == [Path(outcome.reply["path"])], call
            loaded = ExperimentResult.from_json(records[0], missing_sidecar="error")
            assert loaded.timeseries == (None if source is None else "timeseries.parquet"), call
        elif outcome.kind == "SidecarError":
            assert records == [Path(outcome.reply["result_path"])], call
        else:
            assert outcome.reply["committed"] is False, (call, outcome.reply)
            assert records == [], call
            assert list(root.iterdir()) == [], call
    # A save that stops before its claim succeeds; inside the claim it fails.
    assert {"saved", "PersistenceError"} <= set(outcomes), outcomes


def test_clean_commit_at_any_step_keeps_record_and_sidecar(
    traced: Saver, stopped: Callable[..., Any], result: ExperimentResult, parquet: Path, tmp_path: Path
) -> None:
    (tmp_path / "clean").mkdir()
    calls = traced.save(result, tmp_path / "clean", source=parquet, trace=True).calls
    aside = next(n for n, call in enumerate(calls) if '"timeseries.parquet"' in call.arguments)
    commit = next(n for n, call in enumerate(calls) if '"result.json"' in call.arguments)
    # The save stops at the sidecar's rename, the record's write and the commit.
    at = [calls[aside], next(call for call in calls[aside:] if call.name == "write"), calls[commit]]
    outcomes = []
    for n, call in enumerate(at):
        for step, nth in (("renameat2", 1), ("renameat2", 2), ("unlinkat", 2), ("unlinkat", 3)):
            root = tmp_path / f"{n}-{step}-{nth}"
            root.mkdir()
            log = tmp_path / f"{root.name}.log"
            cleaners: list[StoppedCleaner] = []
            outcome = stopped(
                result,
                root,
                parquet,
                call,
                lambda root, log=log, step=step, nth=nth, cleaners=cleaners: cleaners.append(
                    StoppedCleaner(root, log, step, nth)
                ),
            )
            (cleaner,) = cleaners
            outcomes.append((outcome.kind, cleaner.is_stopped))
            if cleaner.is_stopped:
                cleaner.finish()
            found = ResultStore(root).verify(deep=True)
            where = (call.name, step, nth, outcome.reply)
            assert found.ok, where
            assert not list(root.glob(".trash-*")), where
            if outcome.kind == "saved":
                loaded = ExperimentResult.from_json(outcome.reply["path"], missing_sidecar="error")
                assert loaded.timeseries == "timeseries.parquet", where
                assert found.complete == 1, where
            else:
                assert outcome.reply["committed"] is False, where
                assert list(root.iterdir()) == [], where
    assert ("saved", True) in outcomes, outcomes


def start(script: str, *args: str | Path, text: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    if text:
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
    return process


@pytest.mark.parametrize("cleaners", [1, 2])
def test_clean_with_eight_savers_loses_no_acknowledged_result(
    result: ExperimentResult, parquet: Path, tmp_path: Path, cleaners: int
) -> None:
    root = tmp_path / "results"
    root.mkdir()
    cleaning = [start(CLEANERS, root) for _ in range(cleaners)]
    for process in cleaning:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    saving = [start(SAVERS, root, parquet, "30", text=result.model_dump_json()) for _ in range(8)]
    reply = [
        json.loads(line) for process in saving for line in process.communicate(timeout=HANG)[0].splitlines()
    ]
    for process in cleaning:
        assert process.communicate("enough\n", timeout=HANG)[0].strip().isdigit()
    assert all(process.returncode == 0 for process in (*saving, *cleaning))
    assert len(reply) == 8 * 30
    # With an age of zero, a cleaner may restore a result under another name: only the count is certain.
    clean_now(root)
    acknowledged = [entry for entry in reply if entry["path"] is not None]
    found = ResultStore(root).verify(deep=True)
    assert found.ok, (found.damaged[:3], found.missing_sidecars[:3])
    assert found.complete == len(acknowledged)
    assert found.incomplete == []
    sidecars = sum(entry["sidecar"] for entry in acknowledged)
    assert len(list(root.glob("*/timeseries.parquet"))) == sidecars
    refused = [entry["error"] for entry in reply if entry["path"] is None]
    assert all("nothing was saved, and saving again is safe" in error for error in refused), refused


def test_clean_killed_at_any_step_is_finished_by_next_clean(result: ExperimentResult, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[1.0])
    steps = [
        ("mkdirat", 1),
        ("renameat2", 1),
        ("unlinkat", 1),
        ("renameat2", 2),
        ("unlinkat", 2),
        ("unlinkat", 3),
    ]
    killed = 0
    for n, (call, nth) in enumerate([*steps, ("unlinkat", 4), ("unlinkat", 5)]):
        root = tmp_path / str(n)
        result.save(root, trace)
        left = root / "gpt2_pytorch_2026-02-18T14-30"
        left.mkdir()
        for name in (".result.json.tmp", "timeseries.parquet"):
            (left / name).touch()
        cleaner = clean_traced(root, Path(os.devnull), (f"{call}:signal=SIGKILL:when={nth}",))
        killed += cleaner.wait(HANG) != 0
        clean_now(root)
        assert not left.exists()
        assert not list(root.glob(".trash-*")), (call, nth, list(root.rglob("*")))
        found = ResultStore(root).verify(deep=True)
        assert (found.complete, found.ok, found.incomplete) == (1, True, [])
    if killed == 0:
        pytest.skip("strace does not inject signals here")
    assert killed == len(steps) + 2


def test_clean_directory_swapped_for_symlink_removes_nothing_outside(tmp_path: Path) -> None:
    """Another process swaps a directory and a symlink as fast as possible."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    names = ("timeseries.parquet", ".result.json.tmp")
    for name in names:
        (outside / name).write_text("keep")
    swap = (
        "import os, sys\nroot, outside = sys.argv[1:]\nos.chdir(root)\nprint(flush=True)\n"
        "while True:\n"
        "    try:\n"
        "        os.symlink(outside, 'link'); os.rename('link', 'a_b_2026-02-18T14-30')\n"
        "        os.unlink('a_b_2026-02-18T14-30'); os.mkdir('a_b_2026-02-18T14-30')\n"
        "        open('a_b_2026-02-18T14-30/.result.json.tmp', 'w').close()\n"
        "    except OSError:\n"
        "        for undo in (lambda: os.unlink('link'), lambda: os.unlink('a_b_2026-02-18T14-30'),\n"
        "                     lambda: os.unlink('a_b_2026-02-18T14-30/.result.json.tmp'),\n"
        "                     lambda: os.rmdir('a_b_2026-02-18T14-30')):\n"
        "            try: undo()\n"
        "            except OSError: pass\n"
    )
    swapper = subprocess.Popen([sys.executable, "-c", swap, str(root), str(outside)], stdout=subprocess.PIPE)
    assert swapper.stdout is not None
    swapper.stdout.readline()
    try:
        for _ in range(300):
            clean_now(root)
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close()
    assert {path.name: path.read_text() for path in outside.iterdir()} == dict.fromkeys(names, "keep")
