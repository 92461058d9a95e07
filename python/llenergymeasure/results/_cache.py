"""The cache of the records of object stores: where it is, and how large."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from llenergymeasure.errors import LLEMError

DIRECTORY, MAX_BYTES = "LLEM_CACHE_DIR", "LLEM_MAX_CACHE_BYTES"
"""The variables of the environment that choose the directory, and the bytes of each bucket."""

_USUAL_BYTES = 1 << 30
_NAME = "llenergymeasure"
_ENDINGS = (".pack", ".tmp")


class Usage(NamedTuple):
    """The size of a cache: its directory, its files, and their bytes."""

    directory: Path
    files: int
    bytes: int


def directory() -> Path:
    """Return the directory of this user's cache."""
    chosen = os.environ.get(DIRECTORY)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs  # noqa: PLC0415 - for object stores only

    return Path(platformdirs.user_cache_dir(_NAME, appauthor=False)) / "records"


def most_bytes() -> int:
    """Return the most bytes of the cache of a bucket.

    Raises:
        LLEMError: The variable of the environment is not a number of bytes.
    """
    text = os.environ.get(MAX_BYTES)
    if not text:
        return _USUAL_BYTES
    if not (text.isascii() and text.isdigit()):
        raise LLEMError(f"{MAX_BYTES} expects a number of bytes, got {text!r}")
    return int(text)


def usage() -> Usage:
    """Return the size of this user's cache."""
    sizes = [path.stat().st_size for path in _files()]
    return Usage(directory(), len(sizes), sum(sizes))


def prune(most: int) -> None:
    """Remove the oldest files until the others have `most` bytes, and directories that are left empty."""
    files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in _files())
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size
        with suppress(OSError):  # other files are left
            path.parent.rmdir()


def _files() -> list[Path]:
    # A directory of the cache has the name of a hash.
    return [path for path in directory().glob("*/*") if path.suffix in _ENDINGS and path.is_file()]
