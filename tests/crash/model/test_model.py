"""Whatever is done with a tree of results, in whatever order, it is what a dictionary says.

The rules are in `saving.py`, `by_hand.py` and `looking.py`, the dictionary in `shadow.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    Figures = Any


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes that die are forked")
def test_run_random_operations_matches_expected_tree(
    machine: type[Any], done: dict[tuple[str, str], int], figures: Figures, *, long_form: bool
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=500 if long_form else 100,
            stateful_step_count=50 if long_form else 30,
            derandomize=not long_form,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for (what, how), times in sorted(done.items()):
        figures.note("A model", f"{what}: {how}", "times", times)
    assert {what for what, _ in done} == {"save", "save_many", "write", "crash", "by hand", "clean", "look"}
    assert done["crash", "left half-made"]
    assert done["clean", "removed"]
