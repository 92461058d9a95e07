"""Single saves whose calls fail in special ways, and their fallbacks; in `calls`, each call fails once."""

from __future__ import annotations

import errno as codes
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.saver import Saver, check_outcome
from support.tracing import Call


def of_sidecar(call: Call, source: Path | None) -> bool:
    """Return whether a call concerns the sidecar or its source."""
    return "timeseries.parquet" in call.arguments or (source is not None and str(source) in call.arguments)


@pytest.fixture(scope="module")
def clean(
    traced: Saver, result: ExperimentResult, parquet: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Call]]:
    """Return the calls of a successful save, by kind of source."""
    known: dict[str, list[Call]] = {}

    def clean(kind: str) -> list[Call]:
        if kind not in known:
            root = tmp_path_factory.mktemp("clean")
            known[kind] = traced.save(result, root, source=source_of(kind, parquet), trace=True).calls
        return known[kind]

    return clean


def source_of(kind: str, parquet: Path) -> str | Path | None:
    return {"plain": None, "path": parquet, "arrow": "arrow"}[kind]


def describe_fault(call: Call, error: str) -> str:
    return f"{call.name}({call.arguments[:160]}) number {call.nth} failing with {error}"


@pytest.mark.parametrize("error", ["EIO", "EACCES"])
@pytest.mark.parametrize("name", ["open", "read", "lseek", "statx"])
def test_save_unreadable_source_keeps_record_and_reports_errno(
    traced: Saver,
    result: ExperimentResult,
    parquet: Path,
    tmp_path: Path,
    name: str,
    error: str,
) -> None:
    for nth in range(1, 30):
        root = tmp_path / str(nth)
        injection = f"{name}:error={error}:when={nth}"
        outcome = traced.save(result, root, source=parquet, only=(parquet,), inject=(injection,))
        end = check_outcome(result, root, outcome)
        if end == "saved":
            break
        assert end == "no sidecar"
        assert outcome.reply["errno"] == getattr(codes, error), (injection, outcome.reply["message"])
    else:
        pytest.fail(f"the source was never copied, however late {name} failed")


@pytest.mark.parametrize("kind", ["plain", "path", "arrow"])
def test_save_write_of_zero_bytes_fails_before_commit(
    traced: Saver,
    clean: Callable[[str], list[Call]],
    result: ExperimentResult,
    parquet: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    for call in clean(kind):
        if call.name != "write":
            continue
        root = tmp_path / f"{call.nth}"
        root.mkdir()
        injection = f"write:retval=0:when={call.nth}"
        outcome = traced.save(result, root, source=source_of(kind, parquet), inject=(injection,))
        expected = "no sidecar" if of_sidecar(call, None) else "nothing"
        assert check_outcome(result, root, outcome) == expected, describe_fault(call, injection)
        assert outcome.reply["step"] == "write"


@pytest.mark.parametrize("error", ["EIO", "EACCES"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_save_failing_mkdir_of_ancestor_removes_new_ancestors(
    traced: Saver, result: ExperimentResult, tmp_path: Path, depth: int, error: str
) -> None:
    top = tmp_path / "a"
    outcome = traced.save(result, top / "b" / "c", inject=(f"mkdirat:error={error}:when={depth}",))
    assert check_outcome(result, top, outcome) == "nothing"
    assert not top.exists()
    assert outcome.reply["step"] == "make_output_dir"
    assert outcome.reply["filename"] == str([top, top / "b", top / "b" / "c"][depth - 1])


@pytest.mark.parametrize("nth", [1, 2])
def test_save_failure_before_commit_removes_new_root(
    traced: Saver, result: ExperimentResult, tmp_path: Path, nth: int
) -> None:
    injection = ("mkdirat:error=ENOSPC:when=3", "write:error=ENOSPC:when=1")[nth - 1]
    outcome = traced.save(result, tmp_path / "a" / "b", inject=(injection,))
    assert check_outcome(result, tmp_path / "a", outcome) == "nothing"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EOPNOTSUPP"])
@pytest.mark.parametrize("kind", ["plain", "path"])
def test_save_without_rename_noreplace_publishes_by_link(
    traced: Saver,
    result: ExperimentResult,
    parquet: Path,
    tmp_path: Path,
    kind: str,
    error: str,
) -> None:
    root = tmp_path / "out"
    source = source_of(kind, parquet)
    outcome = traced.save(result, root, source=source, inject=(f"renameat2:error={error}",))
    assert check_outcome(result, root, outcome) == "saved"
    assert any(call.name == "linkat" for call in outcome.calls)


@pytest.mark.parametrize("error", ["EPERM", "EOPNOTSUPP", "EMLINK"])
def test_save_without_links_publishes_by_rename(
    traced: Saver, result: ExperimentResult, tmp_path: Path, error: str
) -> None:
    root = tmp_path / "out"
    injections = ("renameat2:error=ENOSYS:when=1", f"linkat:error={error}")
    assert check_outcome(result, root, traced.save(result, root, inject=injections)) == "saved"


def test_save_root_vanishing_before_claim_is_recreated(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    outcome = traced.save(result, root, inject=("mkdirat:error=ENOENT:when=2..5",))
    assert check_outcome(result, root, outcome) == "saved"


def test_save_root_removed_by_other_process_is_recreated(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    # The root is absent, exists at the mkdir, and is gone when the save opens it.
    root = tmp_path / "out"
    outcome = traced.save(result, root, inject=("mkdirat:error=EEXIST:when=1",))
    assert check_outcome(result, root, outcome) == "saved"


def test_save_root_that_always_vanishes_fails(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    outcome = traced.save(result, root, inject=("mkdirat:error=ENOENT:when=1+",))
    assert check_outcome(result, root, outcome) == "nothing"
    assert outcome.reply["errno"] == codes.ENOENT
    assert "FileNotFoundError" in outcome.reply["is"]


def test_save_failing_flush_after_commit_reports_sidecar_error(
    traced: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"not parquet at all")
    outcome = traced.save(result, tmp_path / "out", source=bad, inject=("fsync:error=EIO:when=2",))
    assert (outcome.kind, outcome.reply["committed"]) == ("PersistenceError", True)
    assert (outcome.reply["errno"], outcome.reply["cause"]) == (codes.EIO, "SidecarError")
    assert Path(outcome.reply["result_path"]).read_text() == result.model_dump_json(indent=2)
