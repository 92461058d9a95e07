"""Fixtures of the crash tests: savers under strace, file systems, and results to save."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries
from support.crash_report import Measurements, write_report
from support.disks import clear_ext4, first_line, run_tool
from support.results import make_padded_result
from support.saver import Outcome, Saver

LONG = os.environ.get("LLEM_CRASH") == "long"
MEASUREMENTS = Measurements()


@pytest.fixture(scope="session")
def saver(saver_of: Callable[[str], Saver]) -> Saver:
    """Return a saver of single results."""
    return saver_of("save_worker.py")


@pytest.fixture(scope="session")
def saver_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Saver]]:
    """Start a worker script that forks a fresh process for each job."""
    savers: list[Saver] = []

    def start(script: str) -> Saver:
        savers.append(Saver(tmp_path_factory.mktemp("saver"), script))
        return savers[-1]

    yield start
    for saver in savers:
        saver.close()


@pytest.fixture(scope="session")
def traced(saver: Saver, result: ExperimentResult, tmp_path_factory: pytest.TempPathFactory) -> Saver:
    """Return a saver that strace can be attached to and inject errors into."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    root = tmp_path_factory.mktemp("probe")
    try:
        probe = saver.save(result, root, inject=("mkdirat:error=EIO:when=1",))
    except AssertionError as error:
        pytest.skip(f"strace cannot attach: {error}")
    if probe.kind != "PersistenceError":
        pytest.skip("strace does not inject errors here")
    return saver


@pytest.fixture(scope="session")
def bulk(traced: Saver, saver_of: Callable[[str], Saver]) -> Callable[..., Outcome]:
    """Save many results in a fresh process, traced; see `bulk_worker.py` for the options."""
    assert traced
    saver = saver_of("bulk_worker.py")

    def bulk(
        root: Path, *, inject: tuple[str, ...] = (), only: tuple[Path, ...] = (), **job: object
    ) -> Outcome:
        return saver.run({"root": str(root), **job}, trace=True, inject=inject, only=only)

    return bulk


@pytest.fixture(scope="session")
def result() -> ExperimentResult:
    """Return a result of a few kilobytes."""
    now = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
    return make_padded_result("crash", 4000, start_time=now, end_time=now)


@pytest.fixture(scope="session")
def big(result: ExperimentResult) -> ExperimentResult:
    """Return a result of a megabyte."""
    return result.model_copy(update={"effective_config": {"model": "big", "padding": "0123456789" * 100_000}})


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory, result: ExperimentResult) -> Path:
    """Return a small Parquet file, written by the package itself."""
    trace = Timeseries(timestamp_s=[0.0] * 1000, gpu_index=[0] * 1000, power_w=[250.0] * 1000)
    saved = result.save(tmp_path_factory.mktemp("parquet"), trace, durable=False)
    return saved.with_name("timeseries.parquet")


@pytest.fixture(scope="session")
def big_trace() -> Timeseries:
    """Return a power trace of about a megabyte that does not compress."""
    rows = 200_000
    noise = [int.from_bytes(os.urandom(6), "little") / 7.0 for _ in range(rows)]
    return Timeseries(timestamp_s=noise, gpu_index=[0] * rows, power_w=[1.0] * rows)


@pytest.fixture(scope="session")
def big_parquet(
    tmp_path_factory: pytest.TempPathFactory, result: ExperimentResult, big_trace: Timeseries
) -> Path:
    """Return a Parquet file of about a megabyte that does not compress."""
    saved = result.save(tmp_path_factory.mktemp("parquet"), big_trace, durable=False)
    path = saved.with_name("timeseries.parquet")
    assert path.stat().st_size > 1 << 20
    return path


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount file systems, and unmount them after the test."""
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    mounted: list[Path] = []

    def mount(kind: str, options: str, device: str | Path = "none") -> Path:
        where = tmp_path / f"mount{len(mounted)}"
        where.mkdir()
        mounted.append(where)  # first: Ctrl-C may arrive during the mount
        try:
            run_tool("mount", "-t", kind, "-o", options, device, where)
        except OSError as error:
            pytest.skip(f"cannot mount a {kind}: {error}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"cannot mount a {kind}: {first_line(error)}")
        return where

    yield mount
    for where in reversed(mounted):
        if where.is_mount():
            run_tool("umount", where)


@pytest.fixture
def ext4(tmp_path: Path, mount: Callable[..., Path]) -> Path:
    """Return the root of a real ext4 of 24 MB and 64 inodes."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    image = tmp_path / "ext4.img"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    run_tool("mkfs.ext4", "-q", "-F", "-N", "64", "-m", "0", image)
    return clear_ext4(mount("ext4", "loop", image))


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest) -> Path:
    """Return the root of a small file system."""
    if request.param == "ext4":
        path: Path = request.getfixturevalue("ext4")
        return path
    mount: Callable[..., Path] = request.getfixturevalue("mount")
    return mount("tmpfs", "size=4M,nr_inodes=64")


@pytest.fixture
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the root of an ext4 in memory where root can mount one, else pytest's own directory."""
    if os.getuid() != 0 or shutil.which("mkfs.ext4") is None:
        return tmp_path
    try:
        mount: Callable[..., Path] = request.getfixturevalue("mount")
        image = mount("tmpfs", "size=4G") / "image"
        with image.open("wb") as file:
            file.truncate(3 << 30)
        run_tool("mkfs.ext4", "-q", "-F", "-i", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        return clear_ext4(mount("ext4", "loop", image))
    except pytest.skip.Exception:
        return tmp_path


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """Return a directory that every user can reach; pytest's own are closed to other users."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def long_form() -> bool:
    """Return whether the tests take minutes instead of seconds."""
    return LONG


@pytest.fixture(scope="session")
def measurements() -> Measurements:
    """Return the measurements for the report of the long form."""
    return MEASUREMENTS


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int) -> None:
    """Write the report of the long form."""
    if LONG:
        write_report(MEASUREMENTS, terminalreporter, exitstatus)
