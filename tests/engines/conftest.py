"""A tree of odd values, and the answers of engines in a form that can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from engines.queries import Rows
from engines.tree import COLUMNS, make_tree

if TYPE_CHECKING:
    from llenergymeasure import ResultStore
    from llenergymeasure.results.scan import Scan


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """Return a store of results with every kind of value."""
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def scan(tree: ResultStore) -> Scan:
    """Return a scan of the columns of all queries."""
    return tree.scan(list(COLUMNS))


@pytest.fixture(scope="session")
def normal() -> Callable[[Rows], list[tuple[Any, ...]]]:
    """Return rows in a fixed order, with values that can be compared across engines."""
    return normal_rows


def normal_rows(rows: Rows) -> list[tuple[Any, ...]]:
    """Return rows in a fixed order, with values that can be compared across engines."""
    return sorted((tuple(map(_normal, row)) for row in rows), key=repr)


def _normal(value: Any) -> Any:
    if hasattr(value, "tolist") and not isinstance(value, (list, tuple)):
        value = value.tolist()
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if type(value).__name__ in ("NAType", "NaTType") or value is None:
        return None
    if isinstance(value, Decimal):
        value = int(value)  # an unsigned integer, where an engine has none
    if isinstance(value, float):
        # pandas has one value for both; sums depend on the order of the rows.
        return None if math.isnan(value) else float(f"{value + 0.0:.12g}")
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc) if value.tzinfo else value
    return [_normal(item) for item in value] if isinstance(value, (list, tuple)) else value
