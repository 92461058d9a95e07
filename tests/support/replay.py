"""Replays of the log of a disk: every state that a power cut may leave, and the checks of each.

A replay makes the disk as a power cut after any entry of the log would leave it, with the unflushed writes
kept, dropped, or some of each.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .crash_report import Measurements
from .power import Lab, Ledger, violations

Check = Callable[[Path, int], list[str]]

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
    """The log of a disk during saves and cleans."""

    kind: str
    base: Path
    log: Path
    ledger: Ledger
    since: int = 0
    """The length of the log before the first entry that a power cut may follow."""

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
        check: Returns the violations below a mount, for a number of acknowledgements before the cut.
    """

    def __init__(
        self, lab: Lab, recording: Recording, *, flushes: bool = True, check: Check | None = None
    ) -> None:
        self._lab, self._recording, self._flushes = lab, recording, flushes
        self._check = check or (lambda root, count: violations(root, recording.ledger, count))
        self.entries = recording.entries()

    def states(self, count: int, chance: random.Random) -> list[State]:
        """Choose states: a third drops all unflushed writes, a third keeps all, the rest keeps some.

        Where the first two kinds have fewer states, the last has more.
        """
        late = [(n, entry) for n, entry in enumerate(self.entries) if entry.end > self._recording.since]
        writes = [n for n, entry in late if not entry.is_flush]
        flushes = [n for n, entry in late if entry.is_flush] if self._flushes else []
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

    def assert_nothing_lost(
        self, count: int, chance: random.Random, measurements: Measurements, layer: str, kept: Path
    ) -> None:
        """Check a number of states; the log and the disk of a violation are copied to `kept`."""
        recording = self._recording
        for state, found in self.violations(self.states(count, chance), chance):
            measurements.count(layer, recording.kind, "states", 1)
            if found:
                shutil.copy(recording.log, kept / "log")
                shutil.copy(recording.base, kept / "base")
            assert found == [], f"{state} of {len(self.entries)} entries in {kept}"
        measurements.note(layer, recording.kind, "writes and flushes recorded", len(self.entries))

    def _inspect(self, state: State, image: Path) -> list[str]:
        end = self.entries[state.after].end
        ledger = self._recording.ledger
        acknowledged = sum(position <= end for *_, position in ledger.acknowledged)
        return self._lab.examine(self._recording.kind, image, lambda root: self._check(root, acknowledged))


def blocks(entry: Write) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of a write that may reach the disk independently."""
    for start in range(0, len(entry.data), BLOCK):
        yield entry.offset + start, entry.data[start : start + BLOCK]


def apply(image: Path, writes: list[tuple[int, bytes]]) -> None:
    """Write to a disk."""
    with image.open("r+b", buffering=0) as file:
        for offset, data in writes:
            os.pwrite(file.fileno(), data, offset)
