"""A power cut at the acknowledgement: what was acknowledged is there, whole; nothing is torn.

What the disk was told up to then is kept, flushed or not, and what never left the kernel's memory is lost.
`test_every_write.py` has the disk that loses what was not flushed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    Lab = Any
    Ledger = Any
    Figures = Any
    SaveIn = Callable[..., None]

WAYS = {
    # How many results, and after how many acknowledgements the power fails.
    "single": (3, 1),
    "sidecar": (3, 1),
    "save_many by fsync": (20, 20),
    "save_many by syncfs": (20, 20),
    "writer by fsync": (24, 8),
    "writer by syncfs": (24, 8),
}


@pytest.fixture
def cut(
    lab: Lab,
    kind: str,
    ledger: Ledger,
    save_in: SaveIn,
    foreign_flush: Callable[[str, Path], None],
    figures: Figures,
) -> Callable[..., list[str]]:
    """Save in one way, cut the power at acknowledgements, and say what is wrong then, in any state."""

    def cut(how: str, *, overlay: bool, durable: bool = True, rounds: int = 1) -> list[str]:
        count, every = WAYS[how]
        ledger.acknowledged.clear()
        image = lab.image(kind)
        states: list[tuple[Path, int]] = []
        with lab.mounted(kind, image, overlay=overlay) as disk:

            def acknowledge(result: ExperimentResult, path: Path) -> None:
                name = str(path.relative_to(disk.root))
                ledger.acknowledged.append((name, result.experiment_id, 0))
                told = len(ledger.acknowledged)
                if told % every == 0:
                    states.append((lab.clone(image), told))
                    foreign_flush(kind, disk.top)
                    states.append((lab.clone(image), told))

            for n in range(rounds):
                # The first of each round makes the directory, and its parent.
                save_in(
                    disk.root / f"sweep{n}" / "out", how, ledger, acknowledge, count=count, durable=durable
                )
        image.unlink()
        assert len(states) == 2 * rounds * (count // every)
        found = [lab.look(kind, state, ledger, told, overlay=overlay) for state, told in states]
        row = f"{kind}, overlay" if overlay else kind
        if durable:
            figures.count("Power cut at the acknowledgement", row, "states", len(found))
            figures.count("Power cut at the acknowledgement", row, "violations", sum(map(bool, found)))
        else:
            figures.count("Power cut at the acknowledgement", row, "states not durable", len(found))
            figures.count("Power cut at the acknowledgement", row, "of these lossy", sum(map(bool, found)))
        return [violation for state in found for violation in state]

    return cut


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("overlay", [False, True], ids=["plain", "overlay"])
def test_cut_power_at_acknowledgement_keeps_acknowledged_results(
    cut: Callable[..., list[str]], how: str, *, overlay: bool, long_form: bool
) -> None:
    assert cut(how, overlay=overlay, rounds=8 if long_form else 1) == []


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("overlay", [False, True], ids=["plain", "overlay"])
def test_cut_power_without_flushes_is_detected(
    cut: Callable[..., list[str]], how: str, *, overlay: bool
) -> None:
    kinds: set[str] = set()
    # Somebody else's flush puts the new names on the disk without what they stand for, unless the kernel
    # happened to write that before.
    for _ in range(10):
        found = cut(how, overlay=overlay, durable=False)
        kinds |= {violation.partition(":")[0] for violation in found}
        if kinds >= {"lost", "torn"}:
            break
    assert kinds >= {"lost", "torn"}
