"""Power cuts at the acknowledgement: acknowledged results are there and complete, and nothing is torn.

The disk keeps every write up to the cut, flushed or not, and loses only the kernel's memory.
`test_write_replay.py` has the disk that loses unflushed writes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.crash_report import Measurements
from support.power import Lab, Ledger, flush_foreign_file

SaveIn = Callable[..., None]

WAYS = {
    # The number of results, and of acknowledgements between power cuts.
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
    measurements: Measurements,
) -> Callable[..., list[str]]:
    """Save in one way, cut the power at acknowledgements, and return the violations of all states."""

    def cut(how: str, *, overlay: bool, durable: bool = True, rounds: int = 1) -> list[str]:
        count, every = WAYS[how]
        ledger.acknowledged.clear()
        image = lab.image(kind)
        states: list[tuple[Path, int]] = []
        with lab.mounted(kind, image, overlay=overlay) as disk:

            def acknowledge(result: ExperimentResult, path: Path) -> None:
                name = str(path.relative_to(disk.root))
                ledger.acknowledged.append((name, result.experiment_id, 0))
                count_so_far = len(ledger.acknowledged)
                if count_so_far % every == 0:
                    states.append((lab.clone(image), count_so_far))
                    flush_foreign_file(kind, disk.top)
                    states.append((lab.clone(image), count_so_far))

            for n in range(rounds):
                # The first save of each round makes the root and its parent.
                save_in(
                    disk.root / f"sweep{n}" / "out", how, ledger, acknowledge, count=count, durable=durable
                )
        image.unlink()
        assert len(states) == 2 * rounds * (count // every)
        found = [lab.inspect(kind, state, ledger, count, overlay=overlay) for state, count in states]
        row = f"{kind}, overlay" if overlay else kind
        if durable:
            measurements.count("Power cut at the acknowledgement", row, "states", len(found))
            measurements.count("Power cut at the acknowledgement", row, "violations", sum(map(bool, found)))
        else:
            measurements.count("Power cut at the acknowledgement", row, "states not durable", len(found))
            measurements.count(
                "Power cut at the acknowledgement", row, "of these lossy", sum(map(bool, found))
            )
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
    # The foreign flush puts new names on the disk without their files, unless the kernel has written these.
    for _ in range(10):
        found = cut(how, overlay=overlay, durable=False)
        kinds |= {violation.partition(":")[0] for violation in found}
        if kinds >= {"lost", "torn"}:
            break
    assert kinds >= {"lost", "torn"}
