"""The text of a store at the prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import (
    ExperimentResult,
    ResultStore,
)
from llenergymeasure.results import _overview
from support.stores import save_each

Make = Callable[..., ExperimentResult]


def test_repr_store_summarises_its_results(make_result: Make, store: ResultStore, tmp_path: Path) -> None:
    assert repr(store) == f"<ResultStore {str(store.root)!r}: no directory yet>"
    tmp_path.joinpath("out").mkdir()
    assert repr(store).endswith(": no results yet>")
    config = {"model": "<b>gpt2</b>"}
    save_each(store, make_result(effective_config=config, total_energy_j=1500.0))
    assert repr(store).endswith(": 1 result, 1 model, pytorch, 1.5 kJ, 2026-02-18>")
    save_each(store, make_result(backend="vllm", total_energy_j=math.nan), make_result(total_energy_j=2e6))
    (tmp_path / "out" / "torn").mkdir()
    (tmp_path / "out" / "torn" / "result.json").touch()
    assert repr(store).endswith(": 3 results, 2 models, pytorch, vllm, 2 MJ, 2026-02-18, 1 unreadable>")
    page = store._repr_html_()
    assert "2 MJ" in page
    assert "<b>" not in page


def test_repr_store_without_a_known_energy_says_so(make_result: Make, store: ResultStore) -> None:
    save_each(store, make_result(total_energy_j=math.nan), make_result(total_energy_j=math.inf))
    assert repr(store).endswith(": 2 results, 1 model, pytorch, unknown energy, 2026-02-18>")


def test_repr_store_that_cannot_be_read_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in repr(ResultStore(tmp_path / "file"))
    assert "Not a directory" in ResultStore(tmp_path / "file")._repr_html_()


@pytest.mark.parametrize("seconds", [-1.0, 0.0])
def test_repr_store_that_takes_long_says_at_least(
    make_result: Make, store: ResultStore, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(_overview, "_MAX_SECONDS", seconds)
    save_each(store, *(make_result() for _ in range(300)))
    text = repr(store)
    count = re.search(r": at least (\d+) result", text)
    assert count is not None, text
    assert 1 <= int(count[1]) <= 300
    assert "no results" not in text
    assert "at least" in store._repr_html_()
    for record in store.root.rglob("result.json"):
        record.write_text("{")
    assert re.search(r": at least \d+ result files", repr(store))
