"""Write the descriptions of the models' fields, from the docstrings below the fields.

Editors show a docstring below a field. The compiler drops it, and a `Field(description=...)` for each field
would make the import slower. So the package has the texts once more, in `domain/_descriptions.py`:

    python tools/descriptions.py
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

DOMAIN = Path(__file__).parents[1] / "python" / "llenergymeasure" / "domain"
WRITTEN = DOMAIN / "_descriptions.py"
HEAD = '''"""The descriptions of the models' fields. `tools/descriptions.py` writes this file."""

# ruff: noqa: E501 - of a program

from __future__ import annotations

from typing import Final

DESCRIPTIONS: Final[dict[str, dict[str, str]]] = '''


def collect(directory: Path = DOMAIN) -> dict[str, dict[str, str]]:
    """Return the docstring of each field of each class, in the order of the sources."""
    found: dict[str, dict[str, str]] = {}
    for source in sorted(directory.glob("[!_]*.py")):
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and (fields := dict(_fields(node.body))):
                found[node.name] = fields
    return found


def _fields(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(body):
        if isinstance(field, ast.If):  # one field, in two forms
            yield from _fields(field.body)
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            yield field.target.id, text.value.value


if __name__ == "__main__":
    WRITTEN.write_text(f"{HEAD}{json.dumps(collect(), indent=4, ensure_ascii=False)}\n", encoding="utf-8")
