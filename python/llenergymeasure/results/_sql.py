"""SQL on a table whose names of columns may differ only in case, which DuckDB does not distinguish."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_TOKEN = re.compile(
    r"""[eE]'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|"((?:""|[^"])*)\"""",
    re.DOTALL,
)
"""Strings, comments and quoted names; the last group is the content of a quoted name."""


def distinct_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name for each column that differs from the others in more than case."""
    names = list(names)
    taken = {name.lower() for name in names}
    distinct: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        unique, number = name, 1
        while unique.lower() in (taken if number > 1 else seen):
            number += 1
            unique = f"{name} ({number})"
        seen.add(unique.lower())
        taken.add(unique.lower())
        distinct[name] = unique
    return distinct


def with_distinct_names(query: str, distinct: dict[str, str]) -> str:
    """Return a query with the distinct names of columns that it names in quotes.

    Raises:
        ValueError: A name fits several columns, and is written as none of them.
    """
    same: dict[str, list[str]] = {}
    for name in distinct:
        same.setdefault(name.lower(), []).append(name)

    def replaced(match: re.Match[str]) -> str:
        quoted = match.group(2)
        if quoted is None:
            return match.group()
        name = quoted.replace('""', '"')
        fitting = same.get(name.lower(), [])
        if name not in distinct and len(fitting) > 1:
            raise ValueError(
                f"expected the name of one column, got {name!r}; write one of {', '.join(fitting)}"
            )
        return _quoted(distinct.get(name, name))

    return _TOKEN.sub(replaced, query)


def with_own_names(relation: duckdb.DuckDBPyRelation, distinct: dict[str, str]) -> duckdb.DuckDBPyRelation:
    """Return a result with the columns' own names, unless it then has two that differ only in case."""
    own = {unique: name for name, unique in distinct.items() if unique != name}
    names = [own.get(name, name) for name in relation.columns]
    if names == relation.columns or len({name.lower() for name in names}) < len(names):
        return relation
    each = zip(relation.columns, names, strict=True)
    return relation.project(", ".join(f"{_quoted(column)} AS {_quoted(name)}" for column, name in each))


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
