"""Every engine gives the same answers as pandas over `to_pandas`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from engines.adapters import ENGINES
from engines.queries import FIXED, Query, Rows, queries
from llenergymeasure.results.scan import Scan
from support.optional import needs

Normal = Callable[[Rows], list[tuple[Any, ...]]]
OTHERS = [
    pytest.param(name, marks=needs("pandas", *engine.packages))
    for name, engine in ENGINES.items()
    if name != "pandas"
]
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
"""Without shrinking, which takes minutes: the queries are small."""
pytestmark = pytest.mark.filterwarnings("default")  # of the engines themselves


@pytest.mark.parametrize("query", FIXED.values(), ids=FIXED)
@pytest.mark.parametrize("name", OTHERS)
def test_answer_fixed_query_equals_pandas(name: str, query: Query, scan: Scan, normal: Normal) -> None:
    check(name, query, scan, normal)


@pytest.mark.parametrize("name", OTHERS)
def test_answer_generated_query_equals_pandas(name: str, scan: Scan, normal: Normal) -> None:
    @settings(
        max_examples=getattr(ENGINES[name], "examples", 40),
        deadline=None,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    @given(query=queries())
    def check_one(query: Query) -> None:
        check(name, query, scan, normal)

    check_one()


def check(name: str, query: Query, scan: Scan, normal: Normal) -> None:
    engine: Any = ENGINES[name]
    error = engine.refuses(query) if hasattr(engine, "refuses") else None
    if error is not None:
        with pytest.raises(Exception, match=error):
            engine.answer(scan, query)
        return
    expected = normal(ENGINES["pandas"].answer(scan, query))
    assert normal(engine.answer(scan, query)) == expected
