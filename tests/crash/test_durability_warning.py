"""The durability of real file systems, and the one warning about those that lose everything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore

Mount = Callable[..., Path]

SAVES = """
import sys
from llenergymeasure import ExperimentResult, ResultStore
result = ExperimentResult.model_validate_json(sys.stdin.read())
for root in sys.argv[1:]:
    result.save(root, durable=False)
    for _ in range(2):
        result.save(root)
        ResultStore(root).save_many([result])
"""


@pytest.fixture(params=["tmpfs", "overlay"])
def volatile(request: pytest.FixtureRequest, mount: Mount, tmp_path: Path) -> Path:
    """Return the root of a file system that omits every flush."""
    if request.param == "tmpfs":
        return mount("tmpfs", "size=4M")
    options = ["volatile"]
    for role in ("lowerdir", "upperdir", "workdir"):
        (tmp_path / role).mkdir()
        options.append(f"{role}={tmp_path / role}")
    return mount("overlay", ",".join(options))


def test_save_file_system_without_flushes_warns_once(volatile: Path, result: ExperimentResult) -> None:
    assert ResultStore(volatile / "not" / "yet").durability == "none"
    environment = {name: value for name, value in os.environ.items() if name != "LLEM_NO_DURABILITY_WARNING"}
    saved = subprocess.run(
        [sys.executable, "-c", SAVES, str(volatile / "a"), str(volatile / "b")],
        input=result.model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert saved.stderr.count("do not survive a power cut") == 1
    assert ResultStore(volatile).verify().complete == 10


def test_save_disk_does_not_warn(ext4: Path, result: ExperimentResult) -> None:
    assert ResultStore(ext4).durability == "full"
    environment = {name: value for name, value in os.environ.items() if name != "LLEM_NO_DURABILITY_WARNING"}
    saved = subprocess.run(
        [sys.executable, "-W", "error", "-c", SAVES, str(ext4 / "a")],
        input=result.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (saved.returncode, saved.stderr) == (0, "")
