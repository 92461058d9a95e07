"""Saved files and directories have the permissions that the umask allows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.saver import Saver

GROUP = 12345


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002, 0o000])
@pytest.mark.parametrize("source_mode", [0o600, 0o777])
def test_save_any_umask_and_source_mode_sets_umask_permissions(
    saver: Saver, result: ExperimentResult, parquet: Path, tmp_path: Path, umask: int, source_mode: int
) -> None:
    source = tmp_path / "source.parquet"
    shutil.copy(parquet, source)
    source.chmod(source_mode)
    for kind in (source, "arrow"):
        root = tmp_path / f"{kind}"[-5:] / "made"
        outcome = saver.save(result, root, source=kind, umask=umask)
        assert outcome.kind == "saved", outcome
        record = Path(outcome.reply["path"])
        assert {mode(record), mode(record.with_name("timeseries.parquet"))} == {0o666 & ~umask}
        assert {mode(path) for path in (record.parent, root, root.parent)} == {0o777 & ~umask}
    assert mode(source) == source_mode


def test_save_set_group_id_root_passes_group_on(
    saver: Saver, result: ExperimentResult, parquet: Path, tmp_path: Path
) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    try:
        os.chown(root, -1, GROUP)
    except PermissionError:
        pytest.skip("only root may give a directory to any group")
    root.chmod(0o2775)
    outcome = saver.save(result, root / "made", source=parquet, umask=0o002)
    record = Path(outcome.reply["path"])
    made = (root / "made", record.parent, record, record.with_name("timeseries.parquet"))
    assert {path.stat().st_gid for path in made} == {GROUP}
    assert mode(record.parent) == mode(root / "made") == 0o2775
