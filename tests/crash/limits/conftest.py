"""Disks that are made to end: they become read-only, or have just so much room."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries

MS_RDONLY = 1
MS_REMOUNT = 32
FS_IOC_SHUTDOWN = 0x8004587D
WITHOUT_THE_LOG = 2
LIBC = ctypes.CDLL(None, use_errno=True)
MAKE = {
    "ext4": "mkfs.ext4 -q -F -m 0",
    "xfs": "mkfs.xfs -q -f",
    "btrfs": "mkfs.btrfs -q -f",
}
OPTIONS = {"ext4": "loop,errors=remount-ro", "xfs": "loop", "btrfs": "loop"}


@dataclass
class Disk:
    """A mounted file system, and the image that holds it."""

    kind: str
    image: Path
    where: Path
    mounted: bool = True
    """One that has stopped does not even say whether it is."""

    def remount(self, flags: int, data: bytes | None = None) -> int:
        """Change how it is mounted; returns the error's number, or 0."""
        failed = LIBC.mount(b"none", bytes(self.where), None, MS_REMOUNT | flags, data)
        return ctypes.get_errno() if failed else 0

    def make_read_only(self) -> int:
        """Ask for it as `mount -o remount,ro` does, which is refused while a file is open for writing."""
        return self.remount(MS_RDONLY)

    def make_writable(self) -> None:
        """Undo `make_read_only`."""
        assert self.remount(0) == 0

    def abort(self) -> None:
        """Let it find an error of its own, upon which it is read-only at once, whoever is writing."""
        assert self.remount(0, b"abort") == 0

    def shut_down(self) -> None:
        """Stop it where it stands: nothing more is written, and the log is not either."""
        handle = os.open(self.where, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, FS_IOC_SHUTDOWN, struct.pack("I", WITHOUT_THE_LOG))
        except OSError as error:
            pytest.skip(f"{self.kind} cannot be shut down: {error}")
        finally:
            os.close(handle)

    def unmount(self) -> None:
        """Take it away; fails while anybody has anything open on it."""
        run("umount", self.where)
        self.mounted = False

    def mount(self) -> None:
        """Mount it anew, as after a crash."""
        run("mount", "-t", self.kind, "-o", OPTIONS[self.kind], self.image, self.where)
        self.mounted = True


def run(*command: str | Path) -> None:
    """Run a tool of the system that needs root."""
    ran = subprocess.run(command, check=False, capture_output=True, timeout=30, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def disk(mount: Callable[..., Path]) -> Iterator[Callable[..., Disk]]:
    """Make file systems in memory, of so many megabytes and with these options of their `mkfs`."""
    made: list[Disk] = []

    def disk(kind: str, megabytes: int, *options: str) -> Disk:
        command = MAKE[kind].split()
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        image = mount("tmpfs", "size=1G") / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        run(*command, *options, image)
        made.append(Disk(kind, image, mount(kind, OPTIONS[kind], image)))
        return made[-1]

    yield disk
    for each in made:
        if each.mounted:
            # Also from under a test that failed, and whose frames still hold what it had open.
            run("umount", "--lazy", each.where)


@pytest.fixture(scope="session")
def number() -> Callable[..., ExperimentResult]:
    """Give a result a number and, with `padding`, so many bytes more."""

    def number(result: ExperimentResult, n: int, padding: int = 4000) -> ExperimentResult:
        config = {"model": "org/Model", "padding": "x" * padding}
        return result.model_copy(update={"experiment_id": f"{n}", "effective_config": config})

    return number


@pytest.fixture(scope="session")
def arrow() -> Timeseries:
    """A small power trace."""
    return Timeseries(timestamp_s=[0.25] * 700, gpu_index=[0] * 700, power_w=[125.0] * 700)


@pytest.fixture(scope="session")
def records() -> Callable[[Path], dict[Path, int]]:
    """The numbers of the results below a directory, by their paths; each is whole, and so is its trace."""

    def records(root: Path) -> dict[Path, int]:
        found: dict[Path, int] = {}
        for path in root.glob("*/result.json"):
            loaded: Any = ExperimentResult.from_json(path, missing_sidecar="error")
            found[path] = int(loaded.experiment_id)
            sidecar = path.with_name("timeseries.parquet")
            assert sidecar.exists() == (loaded.timeseries is not None)
            if sidecar.exists():
                content = sidecar.read_bytes()
                assert content[:4] == content[-4:] == b"PAR1"
        return found

    return records
