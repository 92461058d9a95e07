"""What the figures were measured on: the file system, the kernel, the interpreter, the price of a flush."""

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
    """Describe the machine, and the file system of a directory."""
    return {
        "file system": str(mount_of(directory) or "unknown"),
        "one fsync": f"{flush_us(directory):.0f} µs (median of appends of 4 KiB, each flushed)",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": f"{platform.python_version()}, pydantic {pydantic.VERSION}",
        "llenergymeasure": f"{llenergymeasure.__version__}, extension "
        + ("optimised" if _store.OPTIMISED else "NOT optimised"),
    }


def warnings_of(machine: dict[str, str]) -> list[str]:
    """List what makes the figures mean less than they seem to."""
    of_kind = doubt_of_kind(machine["file system"].partition(" ")[0])
    warnings = [of_kind] if of_kind else []
    if not _store.OPTIMISED:
        warnings.append("The extension was built without optimisation: the figures are not the package's.")
    return warnings
