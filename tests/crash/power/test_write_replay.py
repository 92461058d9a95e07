"""Replays of every write to a disk that may lose any unflushed write, at any instant.

The disk logs its writes and flushes while results are saved. A replay makes the disk as a power cut after any
entry of the log would leave it, with the unflushed writes kept, dropped, or some of each.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.crash_report import Measurements
from support.power import Lab, Ledger

SaveIn = Callable[..., None]

WAYS = {
    "single": 6,
    "sidecar": 6,
    "save_many by fsync": 16,
    "save_many by syncfs": 16,
    "writer by fsync": 24,
    "writer by syncfs": 24,
}
LAYER = "Every write, every order"
ENTRY = 12
"""Bytes of an entry's header in the log of the disk: the offset, 8, and the length, 4."""
BLOCK = 4096
"""Bytes that a disk writes completely or not at all."""


@dataclass(frozen=True)
class Write:
    """An entry of a disk's log, and its end in the log; a flush has no data."""

    offset: int
    data: bytes
    end: int

    @property
    def is_flush(self) -> bool:
        return not self.data


@dataclass
class Recording:
    """The log of a disk during saves."""

    kind: str
    base: Path
    log: Path
    ledger: Ledger

    def position(self) -> int:
        """Return the length of the log, which holds everything that the disk acknowledged."""
        return self.log.stat().st_size

    def entries(self) -> list[Write]:
        content, at, found = self.log.read_bytes(), 0, []
        while at < len(content):
            offset, length = int.from_bytes(content[at : at + 8], "little"), content[at + 8 : at + ENTRY]
            end = at + ENTRY + int.from_bytes(length, "little")
            found.append(Write(offset, content[at + ENTRY : end], end))
            at = end
        return found


@dataclass(frozen=True)
class State:
    """A power cut after an entry of the log, and the probability that an unflushed block is kept."""

    after: int
    keep: float


class Replay:
    """The possible states of a disk after a power cut, made from its log.

    Args:
        lab: The place for the disks.
        recording: The log of the disk.
        flushes: Whether the disk honours a flush.
    """

    def __init__(self, lab: Lab, recording: Recording, *, flushes: bool = True) -> None:
        self._lab, self._recording, self._flushes = lab, recording, flushes
        self.entries = recording.entries()

    def states(self, count: int, chance: random.Random) -> list[State]:
        """Choose states: a third drops all unflushed writes, a third keeps all, the rest keeps some.

        Where the first two kinds have fewer states, the last has more.
        """
        writes = [n for n, entry in enumerate(self.entries) if not entry.is_flush]
        flushes = [n for n, entry in enumerate(self.entries) if entry.is_flush] if self._flushes else []
        # Between two flushes, the last moment has the most acknowledgements.
        ends = sorted({*(n - 1 for n in flushes if n), len(self.entries) - 1})
        dropped = chance.sample(ends, min(len(ends), count // 3))
        kept = chance.sample(writes, min(len(writes), count // 3))
        left = count - len(dropped) - len(kept)
        at_random = [State(chance.choice(writes), chance.uniform(0.05, 0.95)) for _ in range(left)]
        return [*(State(n, 0) for n in dropped), *(State(n, 1) for n in kept), *at_random]

    def violations(self, states: list[State], chance: random.Random) -> Iterator[tuple[State, list[str]]]:
        """Yield the violations of each state, in the order of the log."""
        flushed = self._lab.clone(self._recording.base)
        done = 0
        try:
            for state in sorted(states, key=lambda state: state.after):
                before = range(done, state.after + 1)
                last = max((n for n in before if self.entries[n].is_flush and self._flushes), default=done)
                apply(flushed, [(entry.offset, entry.data) for entry in self.entries[done:last]])
                done = last
                image = self._lab.clone(flushed)
                tail = [block for entry in self.entries[done : state.after + 1] for block in blocks(entry)]
                apply(image, [block for block in tail if chance.random() < state.keep])
                yield state, self._inspect(state, image)
        finally:
            flushed.unlink()

    def _inspect(self, state: State, image: Path) -> list[str]:
        end = self.entries[state.after].end
        ledger = self._recording.ledger
        acknowledged = sum(position <= end for *_, position in ledger.acknowledged)
        found: list[str] = self._lab.inspect(self._recording.kind, image, ledger, acknowledged)
        return found


def blocks(entry: Write) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of a write that may reach the disk independently."""
    for start in range(0, len(entry.data), BLOCK):
        yield entry.offset + start, entry.data[start : start + BLOCK]


def apply(image: Path, writes: list[tuple[int, bytes]]) -> None:
    """Write to a disk."""
    with image.open("r+b", buffering=0) as file:
        for offset, data in writes:
            os.pwrite(file.fileno(), data, offset)


@pytest.fixture
def chance() -> random.Random:
    """Return a seeded generator; the log itself differs from run to run."""
    return random.Random(int(os.environ.get("LLEM_CRASH_SEED", "1")))


@pytest.fixture
def recorded(lab: Lab, kind: str, ledger: Ledger, save_in: SaveIn) -> Callable[..., Recording]:
    """Save in every way, and record the writes and flushes of the disk."""

    def recorded(*, rounds: int = 1, durable: bool = True, options: str = "") -> Recording:
        image = lab.image(kind)
        recording = Recording(kind, lab.clone(image), lab.home / f"{image.name}.log", ledger)
        with (
            lab.logging(image, recording.log) as device,
            lab.mounted(kind, device, options=options) as disk,
        ):

            def acknowledge(result: ExperimentResult, path: Path) -> None:
                name, position = str(path.relative_to(disk.root)), recording.position()
                ledger.acknowledged.append((name, result.experiment_id, position))

            for n in range(rounds):
                for how, count in WAYS.items():
                    # Every other round saves below a new root.
                    root = disk.root / how.replace(" ", "-") / f"{n % 2}"
                    save_in(root, how, ledger, acknowledge, count=count, durable=durable)
        image.unlink()
        assert len(ledger.acknowledged) == rounds * sum(WAYS.values())
        return recording

    return recorded


def test_replay_any_loss_of_unflushed_writes_keeps_acknowledged_results(
    lab: Lab,
    recorded: Callable[..., Recording],
    measurements: Measurements,
    kind: str,
    chance: random.Random,
    tmp_path: Path,
    *,
    long_form: bool,
) -> None:
    recording = recorded(rounds=2 if long_form else 1)
    replayed = Replay(lab, recording)
    states = replayed.states(2000 if long_form else 60, chance)
    for state, violations in replayed.violations(states, chance):
        measurements.count(LAYER, kind, "states", 1)
        if violations:
            shutil.copy(recording.log, tmp_path / "log")
            shutil.copy(recording.base, tmp_path / "base")
        assert violations == [], f"{state} of {len(replayed.entries)} entries in {tmp_path}"
    measurements.note(LAYER, kind, "writes and flushes recorded", len(replayed.entries))


@pytest.mark.parametrize("defect", ["not durable", "a disk that ignores flushes", "nobarrier"])
def test_replay_without_flushes_is_detected(
    lab: Lab,
    recorded: Callable[..., Recording],
    measurements: Measurements,
    kind: str,
    chance: random.Random,
    defect: str,
) -> None:
    if defect == "nobarrier" and kind == "xfs":
        pytest.skip("xfs no longer has nobarrier")
    recording = recorded(
        durable=defect != "not durable", options="nobarrier" if defect == "nobarrier" else ""
    )
    replayed = Replay(lab, recording, flushes=defect != "a disk that ignores flushes")
    states = replayed.states(30, chance)
    bad = sum(bool(violations) for _, violations in replayed.violations(states, chance))
    measurements.note(
        "Mutants", defect, kind, f"caught: {bad} of {len(states)} states" if bad else "survives"
    )
    assert bad
