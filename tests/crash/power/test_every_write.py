"""Every write, in every order: a disk that may lose whatever was not flushed, at any instant."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    Figures = Any
    Record = Callable[..., contextlib.AbstractContextManager[tuple[Any, Path]]]
    Replay = Callable[..., Any]
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
def recorded(kind: str, record: Record, save_in: SaveIn) -> Callable[..., Any]:
    """Save in every way, and record what the disk is told."""

    def recorded(*, rounds: int = 1, durable: bool = True, options: str = "") -> Any:
        with record(kind, options=options) as (recording, top):

            def acknowledge(result: ExperimentResult, path: Path) -> None:
                name, position = str(path.relative_to(top)), recording.position()
                recording.ledger.acknowledged.append((name, result.experiment_id, position))

            for n in range(rounds):
                for how, count in WAYS.items():
                    # Half of them in a directory that they make.
                    root = top / how.replace(" ", "-") / f"{n % 2}"
                    save_in(root, how, recording.ledger, acknowledge, count=count, durable=durable)
        assert len(recording.ledger.acknowledged) == rounds * sum(WAYS.values())
        return recording

    return recorded


def test_whatever_a_disk_loses_that_was_not_flushed_nothing_is_lost_or_torn(
    recorded: Callable[..., Any],
    replay: Replay,
    figures: Figures,
    kind: str,
    chance: random.Random,
    tmp_path: Path,
    *,
    long_form: bool,
) -> None:
    recording = recorded(rounds=2 if long_form else 1)
    replayed = replay(recording)
    states = replayed.states(2000 if long_form else 60, chance)
    for state, violations in replayed.violations(states, chance):
        figures.count(LAYER, kind, "states", 1)
        if violations:
            shutil.copy(recording.log, tmp_path / "log")
            shutil.copy(recording.base, tmp_path / "base")
        assert violations == [], f"{state} of {len(replayed.entries)} entries in {tmp_path}"
    figures.note(LAYER, kind, "writes and flushes recorded", len(replayed.entries))


@pytest.mark.parametrize("defect", ["not durable", "a disk that ignores flushes", "nobarrier"])
def test_a_loss_is_noticed_where_flushes_are_missing(
    recorded: Callable[..., Any],
    replay: Replay,
    figures: Figures,
    kind: str,
    chance: random.Random,
    defect: str,
) -> None:
    if defect == "nobarrier" and kind == "xfs":
        pytest.skip("xfs has no nobarrier any more")
    recording = recorded(
        durable=defect != "not durable", options="nobarrier" if defect == "nobarrier" else ""
    )
    replayed = replay(recording, flushes=defect != "a disk that ignores flushes")
    states = replayed.states(30, chance)
    bad = sum(bool(violations) for _, violations in replayed.violations(states, chance))
    figures.note("Mutants", defect, kind, f"caught: {bad} of {len(states)} states" if bad else "survives")
    assert bad
