"""The programs and commands of the documents run as they are printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from llenergymeasure import ResultStore
from support import optional
from support.processes import HANG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark import ParameterSet

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
SWEEP = TOP / "examples" / "sweep.py"
FENCED = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONTINUES = "# continues the block above"
FILE = re.compile(r"# (\w+\.py):")
OPTIONAL = {
    "to_pandas": "pandas",
    ".sql(": "duckdb",
    "polars": "polars",
    "integrations.dask": "dask",
    "pyarrow": "pyarrow",
    "plot": "matplotlib",
}
PAGES = [
    README,
    *sorted((TOP / "docs" / "tutorials").glob("*.md")),
    *sorted((TOP / "docs" / "how-to").glob("*.md")),
]


class Block(NamedTuple):
    """A program or a command of a page."""

    language: str
    text: str

    def needs(self) -> set[str]:
        """Return the optional packages that this block imports."""
        return {package for sign, package in OPTIONAL.items() if sign in self.text}


def blocks_of(page: Path) -> list[Block]:
    """Return the programs and commands of a page; a block that continues the one above becomes its end."""
    blocks: list[Block] = []
    for language, text in FENCED.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            blocks += [Block("sh", line) for line in text.splitlines() if line.strip()]
        elif text.startswith(CONTINUES):
            blocks[-1] = Block("python", blocks[-1].text + text)
        else:
            blocks.append(Block("python", text))
    return blocks


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Put the command `llem` of this interpreter on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    llem = programs / "llem"
    llem.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m llenergymeasure "$@"\n')
    llem.chmod(0o755)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def pages() -> Iterator[ParameterSet]:
    """Yield the pages; `make extra` selects those with blocks that need optional packages."""
    for page in PAGES:
        needs = set().union(*(block.needs() for block in blocks_of(page))) - {"matplotlib", "pyarrow"}
        yield pytest.param(page, marks=optional.needs() if needs else (), id=str(page.relative_to(TOP)))


@pytest.mark.parametrize("page", list(pages()))
def test_page_blocks_run_in_order_in_fresh_directory(
    page: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    place = tmp_path / "fresh"
    place.mkdir()
    missing: set[str] = set()
    for number, block in enumerate(blocks_of(page)):
        if absent := {package for package in block.needs() if not find_spec(package)}:
            missing |= absent
            continue
        command = ["sh", "-c", block.text]
        if block.language == "python":
            named = FILE.match(block.text)
            program = place / (named.group(1) if named else f"block_{number}.py")
            program.write_text(block.text, encoding="utf-8")
            command = [sys.executable, program.name]
        ended = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=HANG, check=False
        )
        assert ended.returncode == 0, f"{block.text}\n{ended.stdout}{ended.stderr}"
    if missing:
        optional.stop(" and ".join(sorted(missing)))


def test_readme_is_short_and_has_two_pictures() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) == 2
    assert all((TOP / picture).is_file() for picture in pictures)


def test_readme_sweep_is_the_example_in_25_lines() -> None:
    example = [line for line in SWEEP.read_text(encoding="utf-8").splitlines() if line]
    printed = next(block.text for block in blocks_of(README) if block.text.startswith("# sweep.py:"))
    assert [line for line in printed.splitlines() if line] == example
    assert len(example) <= 25


def test_sweep_killed_in_the_middle_measures_only_what_is_missing(tmp_path: Path) -> None:
    def start(seconds: str) -> subprocess.Popen[str]:
        program = tmp_path / "sweep.py"
        program.write_text(SWEEP.read_text(encoding="utf-8").replace("sleep(0.1)", f"sleep({seconds})"))
        return subprocess.Popen(
            [sys.executable, program.name],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def records() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "sweep").glob("*/result.json")}

    killed = start("0.5")
    deadline = time.monotonic() + HANG
    while len(records()) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=HANG)  # the pipe ends when the last worker is gone
    before = records()
    assert 6 <= len(before) < 40
    assert killed.returncode == -signal.SIGKILL

    printed, _ = (resumed := start("0.01")).communicate(timeout=HANG)
    assert resumed.returncode == 0, printed
    assert f"{40 - len(before)} of 40 to measure" in printed
    after = records()
    assert len(after) == 40
    assert before.items() <= after.items()
    results = ResultStore(tmp_path / "sweep").load_all()
    assert {result.effective_config["batch_size"] for result in results} == set(range(1, 41))
    for result in results:
        assert result.total_inference_time_sec == result.duration_sec
        assert result.avg_energy_per_token_j * result.total_tokens == pytest.approx(result.total_energy_j)
        assert result.avg_tokens_per_second * result.duration_sec == pytest.approx(result.total_tokens)
