"""Each example is short, says in its first lines what it shows, and is in the index."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in {".py", ".sh", ".csv", ".yaml"})
PROGRAMS = [path for path in FILES if path.suffix in {".py", ".sh"}]


def name_of(path: Path) -> str:
    return path.relative_to(EXAMPLES).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_example_has_fewer_than_60_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_example_says_first_what_it_shows(path: Path) -> None:
    text = path.read_text()
    comment = re.match(r"(#!.*\n)?# .+", text)
    assert comment or (path.suffix == ".py" and ast.get_docstring(ast.parse(text)))


def test_index_of_examples_links_each_program_or_its_folder() -> None:
    linked = {EXAMPLES / link for link in re.findall(r"\]\(([^):]+)\)", (EXAMPLES / "README.md").read_text())}
    assert [path for path in linked if not path.exists()] == []
    assert [path for path in PROGRAMS if not {path, path.parent} & linked] == []
