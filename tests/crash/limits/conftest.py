"""Fixtures of disks that become read-only, stop, or have little room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries
from support.disks import MAKE, OPTIONS, Disk, run_tool
from support.saver import assert_parquet


@pytest.fixture
def disk(mount: Callable[..., Path]) -> Iterator[Callable[..., Disk]]:
    """Make file systems in memory, of a size in megabytes and with options for `mkfs`."""
    made: list[Disk] = []

    def disk(kind: str, megabytes: int, *options: str) -> Disk:
        command = MAKE[kind].split()
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        image = mount("tmpfs", "size=1G") / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        run_tool(*command, *options, image)
        made.append(Disk(kind, image, mount(kind, OPTIONS[kind], image)))
        return made[-1]

    yield disk
    for each in made:
        if each.mounted:
            # Lazy: the frames of a failed test may still hold open files.
            run_tool("umount", "--lazy", each.where)


@pytest.fixture(scope="session")
def number() -> Callable[..., ExperimentResult]:
    """Return a function that numbers a result, and pads it with bytes."""

    def number(result: ExperimentResult, n: int, padding: int = 4000) -> ExperimentResult:
        config = {"model": "org/Model", "padding": "x" * padding}
        return result.model_copy(update={"experiment_id": f"{n}", "effective_config": config})

    return number


@pytest.fixture(scope="session")
def arrow() -> Timeseries:
    """Return a small power trace."""
    return Timeseries(timestamp_s=[0.25] * 700, gpu_index=[0] * 700, power_w=[125.0] * 700)


@pytest.fixture(scope="session")
def records() -> Callable[[Path], dict[Path, int]]:
    """Return a function that checks all results below a root, and returns their numbers by path."""

    def records(root: Path) -> dict[Path, int]:
        found: dict[Path, int] = {}
        for path in root.glob("*/result.json"):
            loaded: Any = ExperimentResult.from_json(path, missing_sidecar="error")
            found[path] = int(loaded.experiment_id)
            sidecar = path.with_name("timeseries.parquet")
            assert sidecar.exists() == (loaded.timeseries is not None)
            if sidecar.exists():
                assert_parquet(sidecar.read_bytes())
        return found

    return records
