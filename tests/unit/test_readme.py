"""The programs and commands of the documents run as they are printed."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from llenergymeasure import ResultStore
from support.optional import needs, stop

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
    "pyarrow": "pyarrow",
    "plot": "matplotlib",
}
PAGES = [
    README,
    *sorted((TOP / "docs" / "tutorials").glob("*.md")),
    *sorted((TOP / "docs" / "how-to").glob("*.md")),
]
PATIENCE = 120.0


class Block(NamedTuple):
    """A program or a command of a page."""

    language: str
    text: str

    def lacks(self) -> str | None:
        """Return the optional package that this block needs and that is not installed."""
        return next(
            (
                name
                for sign, name in OPTIONAL.items()
                if sign in self.text and not importlib.util.find_spec(name)
            ),
            None,
        )


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


@needs()  # no package of its own: `make test` runs the other blocks, `make extra` all of them
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_page_blocks_run_in_order_in_fresh_directory(
    page: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    place = tmp_path / "fresh"
    place.mkdir()
    missing = set()
    for number, block in enumerate(blocks_of(page)):
        if package := block.lacks():
            missing.add(package)
            continue
        command = ["sh", "-c", block.text]
        if block.language == "python":
            named = FILE.match(block.text)
            program = place / (named.group(1) if named else f"block_{number}.py")
            program.write_text(block.text, encoding="utf-8")
            command = [sys.executable, program.name]
        ended = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert ended.returncode == 0, f"{block.text}\n{ended.stdout}{ended.stderr}"
    if missing:
        stop(" and ".join(sorted(missing)))


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
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SWEEP)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def records() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "sweep").glob("*/result.json")}

    killed = start()
    deadline = time.monotonic() + PATIENCE
    while len(records()) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=PATIENCE)  # the pipe ends when the last worker is gone
    before = records()
    assert 6 <= len(before) < 40
    assert killed.returncode == -signal.SIGKILL

    printed, _ = (resumed := start()).communicate(timeout=PATIENCE)
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
