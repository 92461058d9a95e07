"""Power cuts during a clean: the next clean finishes it, and no acknowledged result or power trace is lost.

The disk logs its writes while other programs flush and a cleaner works, slowed at each of its changes. A
replay has any state that a power cut may leave, as in `test_write_replay.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.crash_report import Measurements
from support.disks import LIBC, run_tool
from support.power import Lab, Ledger, violations
from support.processes import HANG
from support.replay import Recording, Replay
from support.results import make_power_trace
from support.saver import Saver
from support.stopped import StoppedCleaner, clean_now, clean_traced, save_stopped
from support.tracing import Call

LAYER = "Power cut during a clean"
SLOW = "mkdirat,renameat2,unlinkat,fsync:delay_exit=8000"
"""The changes of a cleaner, and the microseconds after each in which other programs flush."""
NAME = "gpt2_pytorch_2026-02-18T14-30"
LEFTOVERS: dict[str, tuple[str, ...]] = {
    NAME: (),
    f"{NAME}_1": ("timeseries.parquet",),
    f"{NAME}_2": ("timeseries.parquet", ".result.json.tmp"),
    f"{NAME}_3": (".timeseries.parquet.tmp",),
    f".trash-1/{NAME}_4": (".result.json.tmp",),
    ".trash-2/.trace-1": (NAME,),
}
"""Directories that a clean removes, and the files in them."""


@dataclass(frozen=True)
class Meeting:
    """A save during a clean."""

    saver_at: str
    """The file that the save has renamed, or is writing, when the clean begins."""
    cleaner_at: tuple[str, int]
    """The call, and its number, at which the cleaner waits for the end of the save."""
    killed: bool
    """True if the cleaner is killed at that call, after another cleaner has found its trash."""


ASIDE = ("renameat2", 2)
"""The call that puts a power trace aside; the one before takes the directory."""
SHORT = [Meeting("timeseries.parquet", ASIDE, killed) for killed in (False, True)]
LONG = [
    Meeting(*each)
    for each in itertools.product(
        ("timeseries.parquet", ".result.json.tmp"), (ASIDE, ("renameat2", 1), ("unlinkat", 2)), (False, True)
    )
]


@dataclass
class Cleaned:
    """A recording of cleans, and the power trace of each result."""

    recording: Recording
    traces: dict[str, bytes] = field(default_factory=dict)

    def violations(self, top: Path, acknowledged: int) -> list[str]:
        """Check the stores before and after another clean; see `support.power.violations` for the form."""
        found = self._unlinked(top)
        stores = [ResultStore(root) for root in sorted(top.glob("store*"))]
        for store in stores:
            kept = store.clean(older_than=timedelta(0), dry_run=False).kept
            found += [f"unfinished: {store.root.name}: {each}" for each in kept]
        found += violations(top, self.recording.ledger, 0)
        found += self._lost(top, acknowledged)
        for store in stores:
            report = store.verify(deep=True)
            left = [*report.damaged, *report.missing_sidecars, *report.incomplete, *report.foreign]
            left += store.clean(older_than=timedelta(0)).removed
            found += [f"left: {store.root.name}: {each}" for each in left]
        return found

    def _unlinked(self, top: Path) -> list[str]:
        """Look for the power trace of each record that lacks it, in the trash."""
        files = {path.read_bytes() for path in top.rglob("*") if ".trash-" in str(path) and path.is_file()}
        found = []
        for record in top.rglob("result.json"):
            number = self.recording.ledger.records.get(record.read_bytes())
            if number is None or record.with_name("timeseries.parquet").exists():
                continue
            if json.loads(record.read_bytes())["timeseries"] and self.traces[number] not in files:
                found.append(f"unlinked: the power trace of {record.relative_to(top)}")
        return found

    def _lost(self, top: Path, acknowledged: int) -> list[str]:
        """Look for each acknowledged result, under any name, and its own power trace."""
        records, found = self.recording.ledger.records, []
        there = {records.get(record.read_bytes()): record for record in top.glob("store*/*/result.json")}
        for name, number, _ in self.recording.ledger.acknowledged[:acknowledged]:
            trace = there[number].with_name("timeseries.parquet") if number in there else None
            if trace is None or not trace.exists():
                found.append(f"lost: {name}, or its power trace")
            elif trace.read_bytes() != self.traces[number]:
                found.append(f"changed: {name} has the power trace of another result")
        return found


Clean = Callable[[Path], None]


class Recorder:
    """Saves and cleans on one disk that logs its writes."""

    def __init__(self, cleaned: Cleaned, saver: Saver, result: ExperimentResult, scratch: Path) -> None:
        self._cleaned, self._saver, self._result, self._scratch = cleaned, saver, result, scratch
        self._logs = itertools.count()

    def clean(self, root: Path) -> None:
        """Clean slowly in another process, among flushes."""
        with flushes(root):
            assert clean_traced(root, self._next_log(), (SLOW,)).wait(HANG) == 0

    def save(self, root: Path) -> Path:
        """Save a result with a power trace of its own, and return its directory."""
        number, source = self._next_result()
        path = ResultStore(root).save(self._cleaned.recording.ledger.results[number], source)
        self._acknowledge(path, number)
        return path.parent

    def meet(self, root: Path, meeting: Meeting, calls: list[Call]) -> str:
        """Save while a cleaner is stopped, let it end or another one finish; return the save's outcome."""
        number, source = self._next_result()
        (at,) = (call for call in calls if call.name == "renameat2" and meeting.saver_at in call.arguments)
        if meeting.saver_at.endswith(".tmp"):
            at = next(call for call in calls if call.name == "write" and meeting.saver_at in call.arguments)
        cleaners = []

        def meanwhile(root: Path) -> None:
            with flushes(root):
                cleaners.append(StoppedCleaner(root, self._next_log(), *meeting.cleaner_at, (SLOW,)))

        result = self._cleaned.recording.ledger.results[number]
        outcome = save_stopped(self._saver, result, root, source, at, meanwhile)
        if outcome.kind == "saved":
            self._acknowledge(Path(outcome.reply["path"]), number)
        (cleaner,) = cleaners
        if meeting.killed:
            clean_now(root)  # next to the living cleaner
        if cleaner.is_stopped:
            with flushes(root):
                (cleaner.kill if meeting.killed else cleaner.finish)()
        if meeting.killed:
            self.clean(root)
        return outcome.kind

    def _next_log(self) -> Path:
        return self._scratch / f"{next(self._logs)}.log"

    def _next_result(self) -> tuple[str, Path]:
        ledger, number = self._cleaned.recording.ledger, f"{len(self._cleaned.traces)}"
        trace = make_power_trace(*[100.0 + int(number)] * 50)
        saved = self._result.save(self._scratch / f"source{number}", trace, durable=False)
        source = saved.with_name("timeseries.parquet")
        self._cleaned.traces[number] = source.read_bytes()
        ledger.sidecars.add(source.read_bytes())
        ledger.add(self._result.model_copy(update={"experiment_id": number}))
        return number, source

    def _acknowledge(self, path: Path, number: str) -> None:
        recording = self._cleaned.recording
        recording.ledger.acknowledged.append((f"{path}", number, recording.position()))


@contextlib.contextmanager
def flushes(root: Path) -> Iterator[None]:
    """Flush as other programs do after each change of a tree: its root, a foreign file, the file system."""
    ended = threading.Event()

    def flush() -> None:
        foreign, opened = (
            os.open(root.parent / "foreign", os.O_WRONLY | os.O_CREAT),
            os.open(root, os.O_RDONLY),
        )
        seen = None
        while not ended.wait(0.001):
            # A clean changes the tree meanwhile; `os.walk` skips a directory that is gone.
            there = sorted((where, *sorted(names)) for where, _, names in os.walk(root))
            if there != seen:
                seen = there
                os.fsync(opened)
                os.pwrite(foreign, b"foreign", 0)
                os.fsync(foreign)
                assert LIBC.syncfs(foreign) == 0
        os.close(foreign)
        os.close(opened)

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(HANG)


def make_leftovers(root: Path, save: Callable[[Path], Path], content: bytes) -> None:
    """Make a result, leftovers of killed saves, and the trash of dead cleaners with three results."""
    save(root)
    for directory, names in LEFTOVERS.items():
        (root / directory).mkdir(parents=True)
        for name in names:
            (root / directory / name).write_bytes(content)
    for number, has_directory in ((3, False), (4, True)):
        saved = save(root)
        trash = root / f".trash-{number}"
        aside = trash / f".trace-{saved.stat().st_ino:x}"
        aside.mkdir(parents=True)
        (saved / "timeseries.parquet").rename(aside / saved.name)
        if has_directory:
            saved.rename(trash / saved.name)
    saved = save(root)
    (root / ".trash-5").mkdir()
    saved.rename(root / ".trash-5" / saved.name)


@pytest.fixture
def recorded(
    lab: Lab,
    kind: str,
    ledger: Ledger,
    traced: Saver,
    result: ExperimentResult,
    parquet: Path,
    tmp_path: Path,
) -> Callable[..., Cleaned]:
    """Clean leftovers, and next to saves that commit, and record the writes and flushes of the disk."""

    def recorded(meetings: list[Meeting], clean: Clean | None = None) -> Cleaned:
        calls = traced.save(result, tmp_path / "calls", source=parquet, trace=True).calls
        image = lab.image(kind)
        cleaned = Cleaned(Recording(kind, lab.clone(image), lab.home / f"{image.name}.log", ledger))
        ledger.sidecars.add(parquet.read_bytes())
        recorder = Recorder(cleaned, traced, result, tmp_path)
        with lab.logging(image, cleaned.recording.log) as device, lab.mounted(kind, device) as disk:
            root = disk.root / "store"
            make_leftovers(root, recorder.save, parquet.read_bytes())
            for n in range(len(meetings)):
                (disk.root / f"store{n}").mkdir()
            run_tool("sync", "--file-system", disk.top)
            cleaned.recording.since = cleaned.recording.position()
            (clean or recorder.clean)(root)
            outcomes = [
                recorder.meet(disk.root / f"store{n}", meeting, calls) for n, meeting in enumerate(meetings)
            ]
            assert "saved" in outcomes or not meetings
        image.unlink()
        return cleaned

    return recorded


def test_cut_power_during_clean_loses_nothing_and_next_clean_finishes(
    lab: Lab,
    recorded: Callable[..., Cleaned],
    measurements: Measurements,
    chance: random.Random,
    tmp_path: Path,
    *,
    long_form: bool,
) -> None:
    cleaned = recorded(LONG if long_form else SHORT)
    replayed = Replay(lab, cleaned.recording, check=cleaned.violations)
    replayed.assert_nothing_lost(1000 if long_form else 32, chance, measurements, LAYER, tmp_path)


def test_cut_power_during_clean_that_unlinks_a_trace_too_early_is_detected(
    lab: Lab, recorded: Callable[..., Cleaned], measurements: Measurements, kind: str, chance: random.Random
) -> None:
    def clean(root: Path) -> None:
        with flushes(root):
            for aside in root.glob(".trash-3/.trace-*/*"):
                content = aside.read_bytes()
                aside.unlink()
                time.sleep(0.05)
                (root / aside.name / "timeseries.parquet").write_bytes(content)
        clean_now(root)

    cleaned = recorded([], clean)
    replayed = Replay(lab, cleaned.recording, check=cleaned.violations)
    states = list(replayed.violations(replayed.states(9, chance), chance))
    bad = sum(any(each.startswith("unlinked") for each in found) for _, found in states)
    measurements.note(
        "Mutants",
        "a clean that unlinks a trace too early",
        kind,
        f"caught: {bad} of {len(states)} states" if bad else "survives",
    )
    assert bad
