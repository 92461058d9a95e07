"""Negative controls: the checks of this directory detect each flush that is left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from support.crash_report import Measurements
from support.power import Lab, Ledger, flush_foreign_file
from support.saver import Outcome, Saver
from support.tracing import INJECTED

Bulk = Callable[..., Outcome]

LAYER = "Mutants"
STAMP = "2026-01-01T00-00"
COUNT = 20
NAMES = [f"org-model_pytorch_{STAMP}" + (f"_{n}" if n else "") for n in range(COUNT)]
TEMPS = (".result.json.tmp", ".timeseries.parquet.tmp")

# The numbers of the flushes of a single save.
SIDECAR, RECORD, CLAIM, OUTPUT = 1, 2, 3, 4
SINGLE = {
    "the sidecar's": f"{SIDECAR}",
    "the record's": f"{RECORD}",
    "the claimed directory's": f"{CLAIM}",
    "output_dir's": f"{OUTPUT}",
    "both directories'": f"{CLAIM}..{OUTPUT}",
}
COVERED = {
    ("ext4", "the claimed directory's"): "that of output_dir commits the same journal",
    ("ext4", "output_dir's"): "that of the claimed directory commits the same journal",
    ("xfs", "output_dir's"): "that of the claimed directory writes the log up to its mkdir",
    ("btrfs", "the claimed directory's"): "that of output_dir includes new directories",
    ("btrfs", "output_dir's"): "that of a new directory includes its name",
}
"""Flushes that fsync(2) requires, and that this file system covers with another flush."""


@pytest.fixture
def after(lab: Lab, kind: str, ledger: Ledger) -> Callable[[Callable[[Path], Outcome]], list[str]]:
    """Save below an existing root, cut the power, and return the violations."""

    def after(save: Callable[[Path], Outcome]) -> list[str]:
        ledger.acknowledged.clear()
        image = lab.image(kind)
        with lab.mounted(kind, image) as disk:
            root = disk.root / "out"
            root.mkdir()
            flush_foreign_file(kind, disk.top)
            flush_foreign_file(kind, root)
            outcome = save(root)
            states = [lab.clone(image)]
            if not outcome.killed_by:
                note_reply(ledger, outcome, disk.root)
            flush_foreign_file(kind, disk.top)
            states.append(lab.clone(image))
        image.unlink()
        count = len(ledger.acknowledged)
        return [violation for state in states for violation in lab.inspect(kind, state, ledger, count)]

    return after


def note_reply(ledger: Ledger, outcome: Outcome, top: Path) -> None:
    """Note the results that a process reports as saved, correctly or not."""
    assert outcome.kind == "saved", outcome
    saved = outcome.reply.get("saved") or {"crash": outcome.reply["path"]}
    for number, path in saved.items():
        ledger.acknowledged.append((str(Path(path).relative_to(top)), number, 0))


def judge(measurements: Measurements, kind: str, mutant: str, found: list[str]) -> bool:
    """Note whether a mutant was detected, and return it."""
    reason = COVERED.get((kind, mutant.partition(": ")[2]))
    verdict = "survives" if reason is None else f"no loss on {kind}: {reason}"
    if found:
        verdict = "caught: " + ", ".join(sorted({violation.partition(":")[0] for violation in found}))
    measurements.note(LAYER, mutant, kind, verdict)
    return bool(found)


@pytest.fixture
def single(
    after: Callable[..., list[str]], traced: Saver, result: ExperimentResult, parquet: Path, ledger: Ledger
) -> Callable[[str | None], list[str]]:
    """Save one result and its sidecar without some of the flushes."""
    ledger.add(result)
    ledger.sidecars.add(parquet.read_bytes())

    def single(dropped: str | None) -> list[str]:
        inject = () if dropped is None else (f"fsync:retval=0:when={dropped}",)

        def save(root: Path) -> Outcome:
            outcome = traced.save(result, root, source=parquet, trace=True, inject=inject)
            flushes = [call for call in outcome.calls if call.name == "fsync"]
            paths = [call.arguments.rpartition("/")[2].rstrip(">") for call in flushes]
            claimed = Path(outcome.reply["path"]).parent.name
            assert paths == [".timeseries.parquet.tmp", ".result.json.tmp", claimed, "out"]
            return outcome

        return after(save)

    return single


def test_save_with_all_flushes_survives_power_cut(single: Callable[..., list[str]]) -> None:
    assert single(None) == []


@pytest.mark.parametrize("flush", SINGLE)
def test_save_without_one_flush_is_detected(
    single: Callable[..., list[str]], measurements: Measurements, kind: str, flush: str
) -> None:
    caught = judge(measurements, kind, f"one save without a flush: {flush}", single(SINGLE[flush]))
    assert caught == ((kind, flush) not in COVERED)


@pytest.fixture
def batch(bulk: Bulk, parquet: Path, ledger: Ledger, tmp_path: Path) -> Callable[..., Outcome]:
    """Save a batch in another process, and note the results that it may leave."""
    job: dict[str, Any] = {"count": COUNT, "stamp": STAMP, "sources": [None, None, str(parquet)]}
    reference = tmp_path / "reference"
    assert bulk(reference, durable=False, **job).kind == "saved"
    ledger.learn(reference)

    def batch(root: Path, **options: Any) -> Outcome:
        return bulk(root, **job, **options)

    return batch


@pytest.mark.parametrize("barrier", ["first", "second"])
def test_save_many_by_fsync_without_barrier_is_detected(
    batch: Callable[..., Outcome],
    after: Callable[..., list[str]],
    measurements: Measurements,
    kind: str,
    barrier: str,
) -> None:
    def save(root: Path) -> Outcome:
        files = [root / name / temp for name in NAMES for temp in TEMPS]
        directories = [root, *(root / name for name in NAMES)]
        only = tuple(files if barrier == "first" else directories)
        outcome = batch(root, flush_method="fsync", only=only, inject=("fsync:retval=0",))
        dropped = [line for line in outcome.trace.splitlines() if INJECTED in line]
        assert len(dropped) >= COUNT
        return outcome

    assert judge(measurements, kind, f"a batch by fsync: without the {barrier} barrier", after(save))


def test_save_many_by_syncfs_without_first_barrier_is_detected(
    batch: Callable[..., Outcome], after: Callable[..., list[str]], measurements: Measurements, kind: str
) -> None:
    # The process dies among the renames, which a foreign flush then puts on the disk.
    death = "renameat2:signal=SIGKILL:when=5"

    def save(root: Path, *inject: str) -> Outcome:
        outcome = batch(root, flush_method="syncfs", inject=(death, *inject))
        assert outcome.killed_by
        return injected(outcome) if inject else outcome

    assert after(save) == []
    found = in_some_try(lambda: after(lambda root: save(root, "syncfs:retval=0:when=1")))
    assert judge(measurements, kind, "a batch by syncfs: one barrier instead of two", found)


def test_save_many_by_syncfs_without_second_barrier_is_detected(
    batch: Callable[..., Outcome], after: Callable[..., list[str]], measurements: Measurements, kind: str
) -> None:
    def save(root: Path) -> Outcome:
        return injected(batch(root, flush_method="syncfs", inject=("syncfs:retval=0:when=2",)))

    found = in_some_try(lambda: after(save))
    assert judge(measurements, kind, "a batch by syncfs: without the second barrier", found)


class NotInjectedError(Exception):
    """A run without the fault: strace counts calls by thread, and any thread may make a barrier."""


def injected(outcome: Outcome) -> Outcome:
    """Return an outcome with the fault."""
    if INJECTED not in outcome.trace:
        raise NotInjectedError
    return outcome


def in_some_try(find: Callable[[], list[str]]) -> list[str]:
    """Return the violations of the first try that has any."""
    for _ in range(60):
        with contextlib.suppress(NotInjectedError):
            if found := find():
                return found
    return []


@pytest.mark.parametrize("flush_method", ["fsync", "syncfs"])
def test_save_many_with_both_barriers_survives_power_cut(
    batch: Callable[..., Outcome], after: Callable[..., list[str]], flush_method: str
) -> None:
    assert after(lambda root: batch(root, flush_method=flush_method)) == []
