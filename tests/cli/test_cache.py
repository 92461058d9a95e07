"""`llem cache` on directories of the cache that the tests make."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache with two files of 1000 bytes, the older one `a`, and a file of another program."""
    root = tmp_path / "cache"
    for age, name in enumerate(("b", "a")):
        path = root / f"{age:016x}" / f"{name}.pack"
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1000))
        os.utime(path, (1000 - age, 1000 - age))
    (root / "notes.txt").write_text("mine")
    monkeypatch.setenv("LLEM_CACHE_DIR", str(root))
    return root


def packs(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*/*.pack"))


def test_cache_shows_its_files_and_no_others(cache: Path, llem: Run) -> None:
    done = llem("cache")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{cache}: 2.00 kB in 2 files\n", "")
    assert json.loads(llem("cache", "--json").stdout) == {"directory": str(cache), "files": 2, "bytes": 2000}


def test_cache_prune_removes_the_oldest_files(cache: Path, llem: Run) -> None:
    assert llem("cache", "--prune", "1.5k").stdout == f"{cache}: 1.00 kB in 1 file\n"
    assert packs(cache) == ["b.pack"]
    assert llem("cache", "--prune", "0").stdout == f"{cache}: empty\n"
    assert [path.name for path in cache.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("size", ["x", "-1", "1T", ""])
def test_cache_prune_to_no_size_is_wrong_usage(cache: Path, llem: Run, size: str) -> None:
    done = llem("cache", "--prune", size)
    assert done.returncode == 2
    assert f"expected a number of bytes, as 500M or 2G, got {size!r}" in done.stderr
    assert packs(cache) == ["a.pack", "b.pack"]


def test_cache_that_does_not_exist_is_empty(llem: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    environment["LLEM_CACHE_DIR"] = str(tmp_path / "none")
    done = llem("cache")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'none'}: empty\n")
