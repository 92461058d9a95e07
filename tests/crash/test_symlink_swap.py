"""A directory that is swapped for a symlink in the middle of a save leads nothing out of the tree."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore

HANG = 300

Saver = Any
Outcome = Any
STEPS = (
    *("mkdir", "mkdirat", "openat", "write", "lseek", "ioctl", "copy_file_range", "utimensat", "fsync"),
    *("syncfs", "close", "renameat2", "linkat"),
)
NAMES = ("result.json", ".result.json.tmp", "timeseries.parquet", ".timeseries.parquet.tmp")


class Outside:
    """A directory out of the tree, and what was in it."""

    def __init__(self, path: Path, names: tuple[str, ...] = ()) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_text("keep")
        self.path = path
        self._before = self._state()

    def _state(self) -> tuple[int, dict[str, str]]:
        # Whatever is made and removed again changes the time.
        return self.path.stat().st_mtime_ns, {path.name: path.read_text() for path in self.path.iterdir()}

    @property
    def is_untouched(self) -> bool:
        return self._state() == self._before


class Swapper:
    """Moves claimed directories away, and puts symlinks to a directory outside in their places."""

    def __init__(self, root: Path, aside: Path, outside: Outside) -> None:
        self._root, self._outside = root, outside
        self.aside = aside
        aside.mkdir()

    def swap(self) -> None:
        """Swap what was claimed since the last time and has no record yet."""
        for place in self._root.iterdir() if self._root.exists() else ():
            if not place.is_symlink() and not (place / "result.json").exists():
                place.rename(self.aside / place.name)
                place.symlink_to(self._outside.path)

    @property
    def moved(self) -> list[Path]:
        return sorted(self.aside.iterdir())

    @property
    def records(self) -> list[Path]:
        """The records that are in the real directories, in the order of their names."""
        found = [*self.aside.glob("*/result.json")]
        found += [path for path in self._root.glob("*/result.json") if not path.parent.is_symlink()]
        return sorted(found, key=lambda path: path.parent.name)


def stopping(saver: Saver, save: Callable[[], Outcome], meanwhile: Callable[[], object]) -> Outcome:
    """Do something whenever a save stops, and let it go on."""
    log = saver._scratch / f"{saver._runs}.log"
    done: list[Outcome] = []
    thread = threading.Thread(target=lambda: done.append(save()))
    thread.start()
    seen = 0
    until = time.monotonic() + HANG
    while thread.is_alive():
        assert time.monotonic() < until, "the save does not go on"
        text = log.read_text() if log.exists() else ""
        if (stops := text.count("--- stopped by SIGSTOP ---")) > seen:
            seen = stops
            meanwhile()
            # The first thread that is traced is the process's own.
            os.kill(int(text.split()[0]), signal.SIGCONT)
        thread.join(0.005)
    assert done, "the process was lost"
    return done[0]


def steps(trace: str) -> list[tuple[str, int]]:
    """The calls at which a save can be stopped, as its tracer counts them: for each thread from 1."""
    most: Counter[str] = Counter()
    count: Counter[tuple[str, str]] = Counter()
    for task, name in re.findall(r"^(\d+) +(\w+)\(", trace, re.MULTILINE):
        count[task, name] += 1
        most[name] = max(most[name], count[task, name])
    return [(name, nth) for name in STEPS for nth in range(1, most[name] + 1)]


@pytest.fixture
def places(tmp_path: Path) -> Callable[..., tuple[Path, Swapper, Outside]]:
    """Make an output directory, whoever swaps what is in it, and a directory outside; new ones each time."""
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
def many(traced: Saver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saver]:
    """Saves many results in fresh processes."""
    saver = type(traced)(tmp_path_factory.mktemp("many"), "bulk_saver.py")
    yield saver
    saver.close()


@pytest.mark.parametrize("kind", ["alone", "copied", "arrow", "relaxed"])
def test_save_claim_swapped_for_symlink_writes_nothing_outside(
    traced: Saver, places: Any, result: ExperimentResult, parquet: Path, kind: str
) -> None:
    source = {"copied": parquet, "arrow": "arrow"}.get(kind)
    durable = kind != "relaxed"
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
        where = (name, nth, outcome.said)
        assert outside.is_untouched, where
        assert "panicked" not in outcome.stderr, where
        outcomes.append((outcome.kind, bool(swapper.moved)))
        if outcome.kind == "saved":
            (record,) = swapper.records
            loaded = ExperimentResult.from_json(record, missing_sidecar="error")
            assert loaded.timeseries == (None if source is None else "timeseries.parquet"), where
            assert ResultStore(record.parent).verify(deep=True).ok, where
            # It is in the directory that was claimed, wherever that is by now; the save told its name.
            assert record.parent.name == Path(outcome.said["path"]).parent.name, where
            assert [record.parent] == (swapper.moved or [record.parent]), where
        else:
            assert outcome.said["committed"] is False, where
            assert "nothing was saved" in outcome.said["message"], where
            assert swapper.records == [], where
            assert [file for place in swapper.moved for file in place.iterdir()] == [], where
    # Before the claim and after the commit there is nothing to swap. A directory that is swapped before it is
    # opened is not entered; one that is open is written to, whatever has its name.
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
        assert outside.is_untouched, (step, outcome.said)
        assert outcome.said.get("committed") is False, (step, outcome.said)
        swapped += bool(swapper.moved)
    assert swapped > 0


@pytest.mark.parametrize("how", ["save_many", "writer"])
@pytest.mark.parametrize("engine", ["fsync", "syncfs"])
def test_bulk_save_claims_swapped_for_symlinks_write_nothing_outside(
    many: Saver, places: Any, parquet: Path, how: str, engine: str
) -> None:
    job = {"how": how, "engine": engine, "count": 3, "sources": [None, str(parquet), "arrow"], "padding": 9}
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
        where = (name, nth, outcome.said)
        assert outside.is_untouched, where
        assert "panicked" not in outcome.stderr, where
        moved += len(swapper.moved)
        kinds.add(outcome.kind)
        saved = [Path(path) for path in outcome.said["saved"].values()]
        failed = outcome.said["failed"]
        assert len(saved) + len(failed) == 3, where
        assert not any(fact["committed"] for fact in failed.values()), where
        names = [path.parent.name for path in swapper.records]
        assert names == sorted(path.parent.name for path in saved), where
        for record in swapper.records:
            ExperimentResult.from_json(record, missing_sidecar="error")
            assert ResultStore(record.parent).verify(deep=True).ok, where
    assert moved > 0
    assert "BulkSaveError" in kinds, kinds
