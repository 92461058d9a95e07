"""The machine of a measurement: file system, kernel, interpreter, cost of a flush."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pydantic

import llenergymeasure
from llenergymeasure import _store
from llenergymeasure.cli.commands.bench.disk import doubt_of_kind, flush_us
from llenergymeasure.results._disk import mount_of

__all__ = ["describe", "warnings_of"]


def describe(directory: Path) -> dict[str, str]:
    """Return a description of the machine and of the file system of a directory."""
    return {
        "file system": str(mount_of(directory) or "unknown"),
        "one fsync": f"{flush_us(directory):.0f} µs (median of appends of 4 KiB, each flushed)",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": f"{platform.python_version()}, pydantic {pydantic.VERSION}",
        "llenergymeasure": f"{llenergymeasure.__version__}, extension "
        + ("optimised" if _store.OPTIMISED else "NOT optimised"),
    }


def warnings_of(machine: dict[str, str]) -> list[str]:
    """Return warnings about conditions that distort the measurements."""
    of_kind = doubt_of_kind(machine["file system"].partition(" ")[0])
    warnings = [of_kind] if of_kind else []
    if not _store.OPTIMISED:
        warnings.append(
            "The extension was built without optimisation: its measurements do not represent the package."
        )
    return warnings
