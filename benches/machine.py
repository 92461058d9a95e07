"""What the figures were measured on: the file system, the kernel, the interpreter, the price of a flush."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path

import pydantic

import llenergymeasure
from llenergymeasure import _store

__all__ = ["describe", "warnings_of"]


def describe(directory: Path) -> dict[str, str]:
    """Describe the machine, and the file system of a directory."""
    return {
        "file system": _mount(directory),
        "one fsync": f"{_fsync_us(directory):.0f} µs (median of 30 appends of 4 KiB, each flushed)",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": f"{platform.python_version()}, pydantic {pydantic.VERSION}",
        "llenergymeasure": f"{llenergymeasure.__version__}, extension "
        + ("optimised" if _store.OPTIMISED else "NOT optimised"),
    }


def warnings_of(machine: dict[str, str]) -> list[str]:
    """List what makes the figures mean less than they seem to."""
    warnings = []
    if machine["file system"].startswith(("tmpfs", "ramfs")):
        warnings.append("This is a tmpfs: a flush costs nothing here and keeps nothing. Choose a --dir.")
    if not _store.OPTIMISED:
        warnings.append("The extension was built without optimisation: the figures are not the package's.")
    return warnings


def _mount(directory: Path) -> str:
    """Name the type, device and options of the file system that a directory is on."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return f"unknown: {platform.system()} has no {mounts}"
    path = directory.resolve()
    found, depth = "unknown", -1
    for line in mounts.read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, _, point, options, *_ = left.split(" ")
        kind, device, super_options = right.split(" ", 2)
        mounted_on = Path(point.encode().decode("unicode_escape"))
        # Of two mounts on one point the later hides the earlier.
        if path.is_relative_to(mounted_on) and len(mounted_on.parts) >= depth:
            found, depth = f"{kind} on {device}, {options}; {super_options}", len(mounted_on.parts)
    return found


def _fsync_us(directory: Path) -> float:
    times = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(30):
            file.write(bytes(4096))
            begin = time.perf_counter_ns()
            os.fsync(file.fileno())
            times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000
