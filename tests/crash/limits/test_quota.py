"""Limits of a process and quotas of a user, reached in the middle of a batch."""

from __future__ import annotations

import errno as codes
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SidecarError
from support.disks import Disk
from support.processes import HANG

Number = Callable[..., ExperimentResult]
Records = Callable[[Path], dict[Path, int]]

COUNT = 24
WAYS = ["save_many", "writer"]
FLUSH_METHODS = ["fsync", "syncfs"]


def bulk(root: Path, **job: Any) -> dict[str, Any]:
    """Save many results in a process of their own; see `bulk_worker.py` for the options."""
    script = Path(__file__).parents[1] / "bulk_worker.py"
    job = {"root": str(root), "count": COUNT, **job}
    run = subprocess.run(
        [sys.executable, script, json.dumps(job)], capture_output=True, text=True, timeout=HANG, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    reply: dict[str, Any] = json.loads(run.stdout)
    return reply


def check_reply(root: Path, reply: dict[str, Any], records: Records) -> None:
    """Check that a reply covers every result, and agrees with the disk."""
    assert reply["kind"] in ("saved", "BulkSaveError"), reply
    assert sorted(map(int, [*reply["saved"], *reply["failed"]])) == list(range(COUNT))
    there = {Path(path): int(n) for n, path in reply["saved"].items()}
    there |= {Path(e["result_path"]): int(n) for n, e in reply["failed"].items() if e["committed"]}
    assert records(root) == there
    files = {file for path in there for file in (path.parent, path, path.with_name("timeseries.parquet"))}
    assert set(root.rglob("*")) <= files


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_file_size_limit_fails_only_larger_files(
    tmp_path: Path, parquet: Path, big_parquet: Path, records: Records, flush_method: str, how: str
) -> None:
    sources = [None, str(parquet), str(big_parquet), "arrow"]
    ends = {}
    for limit in (1000, 100_000, 1 << 24):
        root = tmp_path / f"{limit}"
        root.mkdir()
        reply = bulk(root, how=how, flush_method=flush_method, sources=sources, fsize=limit)
        check_reply(root, reply, records)
        for error in reply["failed"].values():
            assert (error["errno"], error["step"]) == (codes.EFBIG, "write")
            assert error["committed"] == (error["kind"] == "SidecarError")
        ends[limit] = {int(n): error["kind"] for n, error in reply["failed"].items()}
    assert ends[1000] == dict.fromkeys(range(COUNT), "PersistenceError")
    assert ends[100_000] == dict.fromkeys(range(2, COUNT, 4), "SidecarError")
    assert ends[1 << 24] == {}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_few_descriptors_reports_exact_outcome(
    tmp_path: Path, parquet: Path, records: Records, flush_method: str, how: str
) -> None:
    ends = []
    for free in (0, 2, 4, 6, 40):
        root = tmp_path / f"{free}"
        root.mkdir()
        reply = bulk(
            root, how=how, flush_method=flush_method, sources=[None, str(parquet), "arrow"], descriptors=free
        )
        check_reply(root, reply, records)
        assert {error["errno"] for error in reply["failed"].values()} <= {codes.EMFILE}
        ends.append(len(reply["saved"]))
    assert ends[0] == 0
    assert ends[-1] == COUNT


@pytest.fixture
def limited(disk: Callable[..., Disk]) -> Path:
    """Return a subvolume of a btrfs with a quota of 2 MB."""
    made = disk("btrfs", 160)
    root: Path = made.where / "results"
    tool = shutil.which("btrfs")
    assert tool is not None, "expected btrfs next to mkfs.btrfs"
    for command in (
        ("quota", "enable", made.where),
        ("subvolume", "create", root),
        ("qgroup", "limit", "2M", root),
    ):
        ran = subprocess.run([tool, *command], capture_output=True, text=True, timeout=30, check=False)
        if ran.returncode != 0:
            pytest.skip(f"this btrfs keeps no quotas: {ran.stderr.strip()}")
    return root


def fail_at_the_quota(
    root: Path, result: Callable[[int], ExperimentResult], parquet: Path
) -> dict[Path, int]:
    """Save until the quota is reached, and return the committed results."""
    there: dict[Path, int] = {}
    errors: list[PersistenceError] = []
    while not errors or errors[-1].committed:
        n = len(there)
        assert n < 200, "no quota was reached"
        try:
            there[ResultStore(root).save(result(n), parquet if n % 2 else None)] = n
        except PersistenceError as error:
            errors.append(error)
            if error.result_path is not None:
                there[Path(error.result_path)] = n
    for each in errors:
        assert each.errno == codes.EDQUOT
        assert each.committed == isinstance(each, SidecarError)
    return there


def test_save_quota_reached_keeps_earlier_results(
    limited: Path, result: ExperimentResult, number: Number, records: Records, parquet: Path
) -> None:
    there = fail_at_the_quota(limited, lambda n: number(result, n, 100_000), parquet)
    assert len(there) > 5
    assert records(limited) == there
    assert len(list(limited.iterdir())) == len(there)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_bulk_save_quota_reached_reports_exact_outcome(
    limited: Path,
    result: ExperimentResult,
    number: Number,
    records: Records,
    parquet: Path,
    flush_method: str,
    how: str,
) -> None:
    store = ResultStore(limited)
    store._flush_method = flush_method
    results = [number(result, n, 100_000) for n in range(60)]
    sources = [parquet, None] * 30
    with pytest.raises(BulkSaveError) as caught:  # noqa: PT012 - one of two
        if how == "save_many":
            store.save_many(results, timeseries_sources=sources)
        else:
            with store.writer() as writer:
                for pair in zip(results, sources, strict=True):
                    writer.submit(*pair)
    error = caught.value
    assert sorted([*error.saved, *error.failed]) == list(range(60))
    assert error.saved
    there = {path: n for n, path in error.saved.items()}
    for n, failure in error.failed.items():
        assert isinstance(failure, PersistenceError)
        assert failure.errno == codes.EDQUOT
        if failure.result_path is not None:
            there[Path(failure.result_path)] = n
    assert records(limited) == there
    assert len(list(limited.iterdir())) == len(there)
