"""A process that is killed or interrupted at any step leaves no torn result."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    Saver = Any
    Outcome = Any
    Listing = Callable[[Path], list[str]]

SKIPPED = ("getppid", "stat", "fstat", "newfstatat")
KINDS = ["plain", "path", "arrow"]


def source_of(kind: str, parquet: Path) -> str | Path | None:
    return {"plain": None, "path": parquet, "arrow": "arrow"}[kind]


def steps(traced: Saver, result: ExperimentResult, root: Path, source: str | Path | None) -> list[Any]:
    """The calls of a save that is left alone, and whether each comes before the commit."""
    root.parent.mkdir(exist_ok=True)
    calls = traced.save(result, root, source=source, trace=True).calls
    commit = next(n for n, call in enumerate(calls) if '"result.json"' in call.arguments)
    return [(call, n < commit, n > commit) for n, call in enumerate(calls) if call.name not in SKIPPED]


def whole(result: ExperimentResult, root: Path, parquet: Path, kind: str) -> int:
    """Load every record that is listed; return how many there are."""
    records = list(root.glob("*/result.json"))
    for record in records:
        loaded = ExperimentResult.from_json(record, missing_sidecar="error")
        named = result if kind == "plain" else result.model_copy(update={"timeseries": "timeseries.parquet"})
        assert loaded == named
        assert record.read_text() == named.model_dump_json(indent=2)
    for sidecar in root.glob("*/timeseries.parquet"):
        content = sidecar.read_bytes()
        assert content[:4] == content[-4:] == b"PAR1"
        assert kind != "path" or content == parquet.read_bytes()
    return len(records)


@pytest.mark.parametrize("kind", KINDS)
def test_a_save_that_is_killed_at_any_step_leaves_a_whole_result_or_none(
    traced: Saver, result: ExperimentResult, parquet: Path, tmp_path: Path, kind: str
) -> None:
    source = source_of(kind, parquet)
    for n, (call, _, after) in enumerate(steps(traced, result, tmp_path / "clean" / "x", source)):
        root = tmp_path / str(n) / "x"
        root.parent.mkdir()
        injection = f"{call.name}:signal=SIGKILL:when={call.nth}"
        outcome = traced.save(result, root, source=source, inject=(injection,))
        assert outcome.killed_by == signal.SIGKILL, injection
        # The signal arrives at the call's door: the commit itself may be made or not.
        there = whole(result, root, parquet, kind)
        assert there == 1 if after else there in (0, 1), injection
        # What is left is in nobody's way.
        assert traced.save(result, root, source=source).kind == "saved"
        assert whole(result, root, parquet, kind) == there + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "raised"), [("SIGINT", "KeyboardInterrupt"), ("SIGALRM", "TimeoutError")])
def test_a_save_that_is_interrupted_before_the_commit_leaves_nothing_and_after_it_the_whole(
    traced: Saver,
    result: ExperimentResult,
    parquet: Path,
    listing: Listing,
    tmp_path: Path,
    kind: str,
    name: str,
    raised: str,
) -> None:
    source = source_of(kind, parquet)
    for n, (call, before, _) in enumerate(steps(traced, result, tmp_path / "clean" / "x", source)):
        top = tmp_path / str(n)
        top.mkdir()
        injection = f"{call.name}:signal={name}:when={call.nth}"
        outcome = traced.save(result, top / "x", source=source, alarm=name == "SIGALRM", inject=(injection,))
        assert outcome.kind == raised, (injection, outcome)
        assert not outcome.stderr, injection
        if before:
            assert listing(top) == [], injection
        else:
            assert whole(result, top / "x", parquet, kind) == 1, injection
            assert not list(top.rglob(".*")), injection
