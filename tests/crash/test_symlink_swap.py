"""A claim that is swapped for a symlink during a save leads no write out of the tree."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.processes import HANG
from support.saver import Outcome, Saver

STEPS = (
    *("mkdir", "mkdirat", "openat", "write", "lseek", "ioctl", "copy_file_range", "utimensat", "fsync"),
    *("syncfs", "close", "renameat2", "linkat"),
)
NAMES = ("result.json", ".result.json.tmp", "timeseries.parquet", ".timeseries.parquet.tmp")


class Outside:
    """A directory outside the tree, and its content before the save."""

    def __init__(self, path: Path, names: tuple[str, ...] = ()) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_text("keep")
        self.path = path
        self._before = self._state()

    def _state(self) -> tuple[int, dict[str, str]]:
        # A file that is made and removed changes the time.
        return self.path.stat().st_mtime_ns, {path.name: path.read_text() for path in self.path.iterdir()}

    @property
    def is_untouched(self) -> bool:
        return self._state() == self._before


class Swapper:
    """Another user who moves claims away and puts symlinks to an outside directory in their places."""

    def __init__(self, root: Path, aside: Path, outside: Outside) -> None:
        self._root, self._outside = root, outside
        self.aside = aside
        aside.mkdir()

    def swap(self) -> None:
        """Swap every claim that has no record yet."""
        for place in self._root.iterdir() if self._root.exists() else ():
            if not place.is_symlink() and not (place / "result.json").exists():
                place.rename(self.aside / place.name)
                place.symlink_to(self._outside.path)

    @property
    def moved(self) -> list[Path]:
        return sorted(self.aside.iterdir())

    @property
    def records(self) -> list[Path]:
        """The records in the real directories, in the order of their names."""
        found = [*self.aside.glob("*/result.json")]
        found += [path for path in self._root.glob("*/result.json") if not path.parent.is_symlink()]
        return sorted(found, key=lambda path: path.parent.name)


def stopping(saver: Saver, save: Callable[[], Outcome], meanwhile: Callable[[], object]) -> Outcome:
    """Do something whenever a save stops, and continue it."""
    log = saver.next_log
    done: list[Outcome] = []
    thread = threading.Thread(target=lambda: done.append(save()))
    thread.start()
    seen = 0
    until = time.monotonic() + 3 * HANG
    while thread.is_alive():
        assert time.monotonic() < until, "the save does not go on"
        text = log.read_text() if log.exists() else ""
        if (stops := text.count("--- stopped by SIGSTOP ---")) > seen:
            seen = stops
            meanwhile()
            # The first traced thread is the main thread.
            os.kill(int(text.split()[0]), signal.SIGCONT)
        thread.join(0.005)
    assert done, "the process was lost"
    return done[0]


def steps(trace: str) -> list[tuple[str, int]]:
    """Return the calls at which a save can stop, as strace counts them: for each thread from 1."""
    most: Counter[str] = Counter()
    count: Counter[tuple[str, str]] = Counter()
    for task, name in re.findall(r"^(\d+) +(\w+)\(", trace, re.MULTILINE):
        count[task, name] += 1
        most[name] = max(most[name], count[task, name])
    return [(name, nth) for name in STEPS for nth in range(1, most[name] + 1)]


@pytest.fixture
def places(tmp_path: Path) -> Callable[..., tuple[Path, Swapper, Outside]]:
    """Make a new root, a swapper of its claims, and an outside directory."""
    count = iter(range(1000))

    def make(names: tuple[str, ...] = ()) -> tuple[Path, Swapper, Outside]:
        here = tmp_path / str(next(count))
        here.mkdir()
        outside = Outside(here / "outside", names)
        root = here / "root"
        root.mkdir()
        return root, Swapper(root, here / "aside", outside), outside

    return make


@pytest.fixture(scope="module")
def many(traced: Saver, saver_of: Callable[[str], Saver]) -> Saver:
    """Return a saver of many results."""
    assert traced
    return saver_of("bulk_worker.py")


@pytest.mark.parametrize("kind", ["without sidecar", "copied", "arrow", "not durable"])
def test_save_claim_swapped_for_symlink_writes_nothing_outside(
    traced: Saver, places: Any, result: ExperimentResult, parquet: Path, kind: str
) -> None:
    sources: dict[str, Path | str] = {"copied": parquet, "arrow": "arrow"}
    source = sources.get(kind)
    durable = kind != "not durable"
    clean = traced.save(result, places()[0], source=source, trace=True, durable=durable)
    outcomes = []
    for name, nth in steps(clean.trace):
        root, swapper, outside = places()
        inject = (f"{name}:signal=SIGSTOP:when={nth}",)
        outcome = stopping(
            traced,
            partial(traced.save, result, root, source=source, inject=inject, durable=durable),
            swapper.swap,
        )
        where = (name, nth, outcome.reply)
        assert outside.is_untouched, where
        assert "panicked" not in outcome.stderr, where
        outcomes.append((outcome.kind, bool(swapper.moved)))
        if outcome.kind == "saved":
            (record,) = swapper.records
            loaded = ExperimentResult.from_json(record, missing_sidecar="error")
            assert loaded.timeseries == (None if source is None else "timeseries.parquet"), where
            assert ResultStore(record.parent).verify(deep=True).ok, where
            # The record is in the claimed directory, wherever that is now.
            assert record.parent.name == Path(outcome.reply["path"]).parent.name, where
            assert [record.parent] == (swapper.moved or [record.parent]), where
        else:
            assert outcome.reply["committed"] is False, where
            assert "nothing was saved" in outcome.reply["message"], where
            assert swapper.records == [], where
            assert [file for place in swapper.moved for file in place.iterdir()] == [], where
    # Before the claim and after the commit there is nothing to swap. A save refuses a claim that was swapped
    # before it is opened, and writes to one that is already open.
    assert set(outcomes) == {("saved", False), ("saved", True), ("PersistenceError", True)}, outcomes


@pytest.mark.parametrize("failing", ["renameat2:error=EIO", "fsync:error=EIO"])
def test_save_failing_after_swap_removes_nothing_outside(
    traced: Saver, places: Any, result: ExperimentResult, failing: str
) -> None:
    swapped = 0
    for step in ("mkdirat:signal=SIGSTOP:when=1", "openat:signal=SIGSTOP:when=3"):
        root, swapper, outside = places(NAMES)
        outcome = stopping(
            traced,
            partial(traced.save, result, root, source="arrow", inject=(step, failing)),
            swapper.swap,
        )
        assert outside.is_untouched, (step, outcome.reply)
        assert outcome.reply.get("committed") is False, (step, outcome.reply)
        swapped += bool(swapper.moved)
    assert swapped > 0


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("flush_method", ["fsync", "syncfs"])
def test_bulk_save_claims_swapped_for_symlinks_write_nothing_outside(
    many: Saver, places: Any, parquet: Path, how: str, flush_method: str
) -> None:
    job = {
        "how": how,
        "flush_method": flush_method,
        "count": 3,
        "sources": [None, str(parquet), "arrow"],
        "padding": 9,
    }
    clean = many.run({**job, "root": str(places()[0])}, trace=True)
    all_steps = steps(clean.trace)
    assert {name for name, _ in all_steps} >= {"mkdirat", "openat", "write", "close", "renameat2"}
    moved, kinds = 0, set()
    for name, nth in all_steps:
        root, swapper, outside = places()
        inject = (f"{name}:signal=SIGSTOP:when={nth}",)
        outcome = stopping(
            many,
            partial(many.run, {**job, "root": str(root)}, inject=inject),
            swapper.swap,
        )
        where = (name, nth, outcome.reply)
        assert outside.is_untouched, where
        assert "panicked" not in outcome.stderr, where
        moved += len(swapper.moved)
        kinds.add(outcome.kind)
        saved = [Path(path) for path in outcome.reply["saved"].values()]
        failed = outcome.reply["failed"]
        assert len(saved) + len(failed) == 3, where
        assert not any(fact["committed"] for fact in failed.values()), where
        names = [path.parent.name for path in swapper.records]
        assert names == sorted(path.parent.name for path in saved), where
        for record in swapper.records:
            ExperimentResult.from_json(record, missing_sidecar="error")
            assert ResultStore(record.parent).verify(deep=True).ok, where
    assert moved > 0
    assert "BulkSaveError" in kinds, kinds
