"""Docstrings, help texts and messages keep to the words of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PYTHON = sorted((TOP / "python").rglob("*.py"))
STUBS = sorted((TOP / "python").rglob("*.pyi"))
RUST = sorted((TOP / "rust").rglob("*.rs"))
OTHERS = {"CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md"}
"""Documents about the past, about people, and about the words themselves."""
DOCUMENTS = [
    path for path in [*TOP.glob("*.md"), *sorted((TOP / "docs").rglob("*.md"))] if path.name not in OTHERS
]

NO_SENTENCE = re.compile(r"(What|Whoever|Whether|Of|With)\b")
"""Words that open no sentence of a docstring."""
NO_IMPERATIVE = re.compile(
    r"(What|Whoever|Who|Whose|Whether|Of|With|How|Where|When|Which|If|As|By|For|From|In|On|To|At|Until"
    r"|That|This|These|It|Its|There|They|All|Each|Every|Everything|A|An|The|No|Not|Nothing|One|Two)\b"
)
"""Words that open no docstring of a function: it opens with an imperative verb."""
IDIOMS = re.compile(
    r"""
      \bwhoever\b | \bwhomever\b | \bbeside\b | \bhalf-made\b | \bgoodbye\b
    | \b(is|are|was|were|be|been)\ told\b | \btold\ of\b | \btell(s|ing)?\ of\b
    | (?<!there\ )\b(is|are|was|were)\ (?-i:none)\b
    | \bcut\ short\ have\ left\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Idioms of the first version; CONTRIBUTING.md has the words that replace them."""
PRONOUNS = re.compile(r"\b(nobody|somebody)\b", re.IGNORECASE)
"""Pronouns for people, of whom sources say nothing."""


def docstrings(path: Path) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield the place, the text and the node of each docstring in a Python file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield f"{path.relative_to(TOP)}:{getattr(node, 'lineno', 1)}", text, node


def is_property(node: ast.AST) -> bool:
    """Return whether a function is read like an attribute, so that a noun phrase describes it."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(one).partition(".")[0] in ("property", "cached_property") for one in decorators)


@pytest.mark.parametrize("path", [*PYTHON, *STUBS], ids=lambda path: str(path.relative_to(TOP)))
def test_open_docstring_starts_with_verb_or_noun(path: Path) -> None:
    wrong = []
    for place, text, node in docstrings(path):
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not is_property(node)
        if (NO_IMPERATIVE if is_function else NO_SENTENCE).match(text):
            wrong.append(f"{place}: {text.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)


def prose_of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and strings of a Python file with their lines."""
    with io.BytesIO(path.read_bytes()) as source:
        for token in tokenize.tokenize(source.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
                yield token.start[0], token.string


def prose_of_rust(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments of a Rust file with their lines."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        comment = re.search(r"(?<!:)//[/!]?\s(.*)", line)
        if comment is not None:
            yield number, comment[1]


def prose_of_markdown(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a document outside its blocks of code."""
    is_code = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith("    ") and not re.match(r"\|.*\|.*\|$", line):
            yield number, line


def find(prose: Iterator[tuple[int, str]], path: Path, *patterns: re.Pattern[str]) -> list[str]:
    """Return the places of prose that match a pattern."""
    return [
        f"{path.relative_to(TOP)}:{number}: {found[0]}"
        for number, text in prose
        for pattern in patterns
        for found in pattern.finditer(text)
    ]


@pytest.mark.parametrize("path", [*PYTHON, *STUBS], ids=lambda path: str(path.relative_to(TOP)))
def test_search_python_finds_no_private_idiom(path: Path) -> None:
    found = find(prose_of_python(path), path, IDIOMS, PRONOUNS)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", RUST, ids=lambda path: str(path.relative_to(TOP)))
def test_search_rust_comments_finds_no_private_idiom(path: Path) -> None:
    found = find(prose_of_rust(path), path, IDIOMS, PRONOUNS)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_search_documents_finds_no_private_idiom(path: Path) -> None:
    found = find(prose_of_markdown(path), path, IDIOMS)
    assert not found, "\n".join(found)
