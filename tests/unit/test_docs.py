"""The documents name only files, tests and links that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:tests|rust|fuzz|benches|tools|docs|python|examples)(?:/[\w.-]+)*)/?(?:::(\w+))?`")
LINKED = re.compile(r"\]\((?!https?:|#)([^)#]+)")
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(str(path.relative_to(TOP)) for path in sorted((TOP / "docs").rglob("*.md"))),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_names_only_files_and_tests_that_exist(document: str) -> None:
    text = (TOP / document).read_text()
    for name, test in NAMED.findall(text):
        place = TOP / name
        assert place.exists(), name
        if test:
            assert re.search(rf"\b(def|fn) {test}\(", place.read_text()), f"{name}::{test}"
    for link in LINKED.findall(text):
        assert ((TOP / document).parent / link).exists(), link


def test_reliability_tables_name_a_test_in_each_row() -> None:
    text = (TOP / "docs/explanation/reliability.md").read_text()
    for heading in ("### A save, step by step", "### After a crash"):
        table = text.partition(heading)[2].partition("###")[0]
        rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
        assert len(rows) > 5
        assert all(NAMED.search(row.rpartition(" | ")[2]) for row in rows)


@pytest.mark.parametrize("index", sorted((TOP / "docs").rglob("index.md")), ids=lambda path: path.parent.name)
def test_index_links_every_page_of_its_folder(index: Path) -> None:
    linked = {(index.parent / link).resolve() for link in LINKED.findall(index.read_text())}
    pages = {path.resolve() for path in index.parent.glob("*.md")} - {index.resolve()}
    folders = {path.resolve() for path in index.parent.glob("*/index.md")}
    assert pages | folders <= linked
