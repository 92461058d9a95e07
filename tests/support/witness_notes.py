"""The notes of `support.witness`, which changes the store of the process that imports it."""

from __future__ import annotations

from pathlib import Path

KILLS = 2
"""The number of workers that die, each at its third save."""
ACKNOWLEDGED = "acknowledged"


def acknowledged(notes: Path) -> list[str]:
    """Return the paths of the acknowledged records."""
    return (notes / ACKNOWLEDGED).read_text().splitlines()
