"""Replays of every write to a disk that may lose any unflushed write, at any instant.

The disk logs its writes and flushes while results are saved. A replay makes the disk as a power cut after any
entry of the log would leave it, with the unflushed writes kept, dropped, or some of each.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.crash_report import Measurements
from support.power import Lab, Ledger
from support.replay import Recording, Replay

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
    chance: random.Random,
    tmp_path: Path,
    *,
    long_form: bool,
) -> None:
    recording = recorded(rounds=2 if long_form else 1)
    replayed = Replay(lab, recording)
    replayed.assert_nothing_lost(2000 if long_form else 60, chance, measurements, LAYER, tmp_path)


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
