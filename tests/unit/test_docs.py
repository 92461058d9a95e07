"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:tests|rust|fuzz|benches|tools|docs)(?:/[\w.-]+)*)(?:::(\w+))?`")
LINKED = re.compile(r"\]\((?!https?:|#)([^)#]+)")
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *(f"docs/{path.name}" for path in (TOP / "docs").glob("*.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_and_every_test_that_a_document_names_exists(document: str) -> None:
    text = (TOP / document).read_text()
    for name, test in NAMED.findall(text):
        place = TOP / name
        assert place.exists(), name
        if test:
            assert re.search(rf"\b(def|fn) {test}\(", place.read_text()), f"{name}::{test}"
    for link in LINKED.findall(text):
        assert ((TOP / document).parent / link).exists(), link


def test_the_sentences_about_a_save_and_a_crash_name_their_tests() -> None:
    text = (TOP / "docs/reliability.md").read_text()
    for heading in ("### A save, step by step", "### After a crash"):
        table = text.partition(heading)[2].partition("###")[0]
        rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
        assert len(rows) > 5
        assert all(NAMED.search(row.rpartition(" | ")[2]) for row in rows)
