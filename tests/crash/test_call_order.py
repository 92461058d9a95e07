"""The order of a single save's system calls, which makes it durable, and their number, which is its cost."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.saver import Saver
from support.tracing import Call, path_of

FLUSHES = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range")
RENAMES = ("rename", "renameat", "renameat2")
PROBES = (
    "mkdir mkdirat stat lstat fstat newfstatat statx access faccessat faccessat2".split()  # noqa: SIM905
)
TAKEN = 10_000
NUMBERED = re.compile(r'\d+<[^>]*>|"(True|False)"|"[^"]*pytorch[^"]*"')
"""The parts of a call that differ between two saves: paths, descriptors and times."""


def flushed(calls: list[Call]) -> list[str]:
    """Return the flushed paths, in order."""
    paths = []
    for call in calls:
        if call.name in FLUSHES:
            assert call.name == "fsync"
            assert call.answer == "0"
            paths.append(path_of(call.arguments))
    return paths


def position(calls: list[Call], names: tuple[str, ...], text: str) -> int:
    """Return the position of the only call whose arguments contain a text."""
    (found,) = (n for n, call in enumerate(calls) if call.name in names and text in call.arguments)
    return found


@pytest.fixture
def source(request: pytest.FixtureRequest) -> str | Path | None:
    """Return no source, a Parquet file, or an Arrow stream."""
    kind: str = request.param
    if kind == "path":
        path: Path = request.getfixturevalue("parquet")
        return path
    return "arrow" if kind == "arrow" else None


with_every_source = pytest.mark.parametrize("source", ["plain", "path", "arrow"], indirect=True)
with_sidecars = pytest.mark.parametrize("source", ["path", "arrow"], indirect=True)


@with_every_source
def test_save_flushes_record_before_rename_and_directories_after(
    traced: Saver, result: ExperimentResult, tmp_path: Path, source: Path | str | None
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    calls = traced.save(result, root, source=source, trace=True).calls
    flush = position(calls, FLUSHES, "/.result.json.tmp>")
    commit = position(calls, RENAMES, '"result.json"')
    written = position(calls, ("write",), "/.result.json.tmp>")
    assert written < flush < commit
    assert calls[commit].arguments.endswith("RENAME_NOREPLACE")
    (claimed,) = root.iterdir()
    assert flushed(calls[commit:]) == [str(claimed), str(root)]


def test_save_failure_makes_the_calls_of_a_result_under_its_own_names(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    calls = traced.save(result, root, trace=True, failure=True).calls
    flush = position(calls, FLUSHES, "/.failure.json.tmp>")
    commit = position(calls, RENAMES, '"failure.json"')
    assert position(calls, ("write",), "/.failure.json.tmp>") < flush < commit
    assert calls[commit].arguments.endswith("RENAME_NOREPLACE")
    (claimed,) = root.iterdir()
    assert claimed.name.endswith("_failed")
    assert flushed(calls[commit:]) == [str(claimed), str(root)]


@pytest.mark.parametrize("call", ["write", "fsync", "renameat2"])
def test_save_failure_whose_call_fails_leaves_nothing(
    traced: Saver, result: ExperimentResult, tmp_path: Path, call: str
) -> None:
    root = tmp_path / "out"
    root.mkdir()
    outcome = traced.save(result, root, inject=(f"{call}:error=EIO:when=1",), failure=True)
    assert outcome.reply["kind"] == "PersistenceError"
    assert outcome.reply["committed"] is False
    assert list(root.iterdir()) == []


@with_sidecars
def test_save_flushes_complete_sidecar_before_record_exists(
    traced: Saver, result: ExperimentResult, tmp_path: Path, source: Path | str
) -> None:
    calls = traced.save(result, tmp_path / "out", source=source, trace=True).calls
    flush = position(calls, FLUSHES, "/.timeseries.parquet.tmp>")
    rename = position(calls, RENAMES, '"timeseries.parquet"')
    commit = position(calls, RENAMES, '"result.json"')
    assert flush < rename < commit
    last = max(n for n, call in enumerate(calls) if call.name in ("write", "copy_file_range", "utimensat")
               and "timeseries.parquet.tmp>" in call.arguments)  # fmt: skip
    assert last < flush


def test_save_new_ancestors_flushes_parents_innermost_first(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    root = tmp_path / "a" / "b" / "c"
    calls = traced.save(result, root, trace=True).calls
    commit = position(calls, RENAMES, '"result.json"')
    (claimed,) = root.iterdir()
    above = [root, *root.parents][:4]
    assert above[-1] == tmp_path
    assert flushed(calls[commit:]) == [str(path) for path in (claimed, *above)]


def test_save_returns_after_last_flush(traced: Saver, result: ExperimentResult, tmp_path: Path) -> None:
    trace = traced.save(result, tmp_path / "out", trace=True).trace.splitlines()
    last_flush = max(n for n, line in enumerate(trace) if "fsync(" in line)
    marks = [n for n, line in enumerate(trace) if "getppid(" in line]
    answer = next(n for n, line in enumerate(trace) if "write(1" in line)
    assert marks[0] < last_flush < marks[1] < answer


@with_every_source
def test_save_not_durable_flushes_nothing_and_renames_alike(
    traced: Saver, result: ExperimentResult, tmp_path: Path, source: Path | str | None
) -> None:
    durable, relaxed = (
        traced.save(result, tmp_path / str(flush) / "out", source=source, durable=flush, trace=True).calls
        for flush in (True, False)
    )
    assert flushed(durable)
    assert not flushed(relaxed)

    def names(calls: list[Call]) -> list[str]:
        kept = [call for call in calls if call.name in (*RENAMES, "mkdirat", "write", "copy_file_range")]
        return [f"{call.name} {NUMBERED.sub('', call.arguments)}" for call in kept]

    assert names(durable) == names(relaxed)


@pytest.fixture(scope="module")
def taken_names(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a root in which a name and its first suffixes are taken."""
    root = tmp_path_factory.mktemp("taken_names")

    def take(stamp: str) -> Path:
        base = root / f"org-model_pytorch_{stamp}"
        if not base.exists():
            base.mkdir()
            for n in range(1, TAKEN):
                base.with_name(f"{base.name}_{n}").mkdir()
        return root

    return take


def probes(calls: list[Call]) -> list[str]:
    """Return the calls that make or probe a path, without the C library's look at the time zone."""
    return [
        f"{call.name}({call.arguments})"
        for call in calls
        if call.name in PROBES and "/etc/localtime" not in call.arguments
    ]


def test_save_in_fresh_process_claims_next_of_10000_names_in_logarithmic_calls(
    traced: Saver, result: ExperimentResult, taken_names: Callable[[str], Path]
) -> None:
    stamp = "2026-01-01T00-00"
    outcome = traced.save(result, taken_names(stamp), stamp=stamp, trace=True)
    assert Path(outcome.reply["path"]).parent.name == f"org-model_pytorch_{stamp}_{TAKEN}"
    assert 2 <= len(probes(outcome.calls)) <= 2 * math.log2(TAKEN) + 4


def test_save_in_warm_process_claims_name_in_two_calls(
    traced: Saver, result: ExperimentResult, taken_names: Callable[[str], Path]
) -> None:
    stamp = "2026-01-01T00-00"
    outcome = traced.save(result, taken_names(stamp), stamp=stamp, warm=3, trace=True)
    assert 1 <= len(probes(outcome.calls)) <= 2, probes(outcome.calls)


def test_save_first_of_its_name_claims_it_in_one_call(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    days = [time.strftime("%Y-%m-%d")]
    outcome = traced.save(result, tmp_path, trace=True)
    days.append(time.strftime("%Y-%m-%d"))  # midnight may have passed
    assert len(probes(outcome.calls)) == 1
    assert any(day in outcome.reply["path"] for day in days)
