"""Random operations on a store, compared with an expected tree after each.

The rules are in `save_rules.py`, `manual_rules.py` and `read_rules.py`, the tree in `expected_tree.py`.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from support.crash_report import Measurements


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the crashing processes are forked")
def test_run_random_operations_matches_expected_tree(
    machine: type[Any], done: dict[tuple[str, str], int], measurements: Measurements, *, long_form: bool
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
        measurements.note("Model", f"{what}: {how}", "times", times)
    assert {what for what, _ in done} == {"save", "save_many", "write", "crash", "by hand", "clean", "look"}
    assert done["crash", "left leftovers"]
    assert done["clean", "removed"]
