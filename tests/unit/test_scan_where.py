"""Conditions of a scan."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results.types import Operator

Put = Callable[..., Path]

VALUES: list[Any] = [0, 1, -1, 2**53, 2**53 + 1, 0.5, 1.0, float(2**53), math.nan, math.inf, -math.inf]


def holds(cell: Any, operator: str, value: Any) -> bool:
    """Compare as a table shows values: each equals itself, NaN and None included."""
    if operator == "in":
        return any(holds(cell, "==", item) for item in value)
    if operator.startswith("not ") or operator == "!=":
        return not holds(cell, "==" if operator == "!=" else operator.removeprefix("not "), value)
    if value is None or cell is None:
        return operator == "==" and cell is value
    if isinstance(cell, float) and isinstance(value, float) and math.isnan(cell) and math.isnan(value):
        return operator == "=="
    if isinstance(cell, (str, bool)) != isinstance(value, (str, bool)) or (
        isinstance(cell, (str, bool)) and type(cell) is not type(value)
    ):
        return False
    compared: dict[str, Callable[[], bool]] = {
        "==": lambda: cell == value,
        "<": lambda: cell < value,
        "<=": lambda: cell <= value,
        ">": lambda: cell > value,
        ">=": lambda: cell >= value,
    }
    return compared[operator]()


@pytest.mark.parametrize("operator", [name for name in get_args(Operator) if name != "~"])
def test_scan_where_selects_what_a_table_shows(put: Put, tmp_path: Path, operator: str) -> None:
    cells = [None, *VALUES, 2**63, "", "x", "é", True, False]
    for number, cell in enumerate(cells):
        as_float = cell if isinstance(cell, (int, float)) else None
        put(f"{number:02}", flops_per_second=as_float, effective_config={"deep": {"x": cell}})
    store = ResultStore(tmp_path)
    operands = [*VALUES, "x", True, 2**63]
    if operator in ("==", "!="):
        operands.append(None)
    if operator.endswith("in"):
        operands = [[], [1, "x"], [None, True], (0.5, 2**53 + 1), {1.0}]

    # A non-finite float is a number, since the key has finite ones.
    for operand in operands:
        where: Any = [("effective_config.deep.x", operator, operand)]
        expected = [f"{n:02}" for n, cell in enumerate(cells) if holds(cell, operator, operand)]
        assert store.scan(["path"], where=where).to_pydict()["path"] == expected, operand
    floats = [float(c) if isinstance(c, (int, float)) else None for c in cells]
    for operand in VALUES if not operator.endswith("in") else [[], VALUES, [None], [np.float64(0.5)]]:
        where = [("flops_per_second", operator, operand)]
        expected = [f"{n:02}" for n, cell in enumerate(floats) if holds(cell, operator, operand)]
        assert store.scan(["path"], where=where).to_pydict()["path"] == expected, operand


def test_scan_where_on_every_type_combines_conditions(put: Put, tmp_path: Path) -> None:
    early = put(
        "early", backend="vllm", start_time="2026-01-01T00:00:00+01:00", thermal_throttle={"detected": True}
    )
    early.with_name("timeseries.parquet").touch()
    put("late", start_time="2026-03-01T00:00:00Z")
    put("naive", start_time="2026-03-01T00:00:00")
    store = ResultStore(tmp_path)

    def found(*where: Any) -> list[str]:
        return store.scan(["path"], where=where).to_pydict()["path"]

    march = datetime(2026, 3, 1, tzinfo=timezone.utc)
    assert found() == ["early", "late", "naive"]
    assert found(("backend", "!=", "vllm"), ("path", ">", "late")) == ["naive"]
    assert found(("path", "in", [Path("early"), "naive"])) == ["early", "naive"]
    assert found(("has_timeseries", "==", True)) == ["early"]
    assert found(("timeseries", "==", None)) == ["late", "naive"]
    assert found(("timeseries", "==", "timeseries.parquet")) == ["early"]
    assert found(("thermal_throttle.detected", "==", True)) == ["early"]
    assert found(("thermal_throttle.detected", "!=", True)) == ["late", "naive"]
    assert found(("thermal_throttle.detected", "==", None)) == ["late", "naive"]
    assert found(("total_tokens", "==", np.int64(1000)), ("backend", "==", np.str_("vllm"))) == ["early"]
    assert found(("start_time", ">=", march.replace(tzinfo=None))) == ["late", "naive"]
    assert found(("start_time.utc", "<", march)) == ["early"]
    assert found(("start_time.utc", "<", "2026-01-01T00:00:00+01:00")) == []
    assert found(("start_time.utc", "==", None)) == ["naive"]
    assert found(("saved_at", ">", "1990-01-01T00:00:00Z")) == ["early", "late", "naive"]
    scan = store.scan(["path"], where=[("config.nope", "==", None)], optional=["config.nope"])
    assert scan.to_pydict()["path"] == ["early", "late", "naive"]


@pytest.mark.parametrize(
    "condition",
    [("backend", "==", "vllm"), ("effective_config.x", "==", 1), ("path", "<", "b")],
    ids=lambda c: c[0],
)
def test_scan_where_ignores_types_of_rejected_rows(put: Put, tmp_path: Path, condition: Any) -> None:
    put("a", backend="vllm", effective_config={"x": 1})
    put("b", effective_config={"x": 2.5})
    scan = ResultStore(tmp_path).scan(["effective_config.x"], where=[condition])
    assert scan.to_pydict() == {"effective_config.x": [1]}
    assert scan.to_pydict() == {"effective_config.x": [1]}


@pytest.mark.parametrize(
    "name", ["multi_gpu", "extended_metrics", "environment_snapshot", "thermal_throttle"]
)
def test_scan_where_rejects_object_columns(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ResultStore(tmp_path).scan(["path"], where=[(name, "!=", None)])


def test_scan_where_rejects_list_columns(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lists or JSON"):
        ResultStore(tmp_path).scan(where=[("process_results.gpu_id", "==", 1)])


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (("backend", "in", "pytorch"), "a list"),
        (("total_tokens", "<", 10**40), "integer"),
        (("backend", "<", None), "None"),
    ],
)
def test_scan_where_reports_the_reason_for_a_rejection(tmp_path: Path, condition: Any, reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        ResultStore(tmp_path).scan(["path"], where=[condition])


def test_scan_where_compares_non_finite_numbers(put: Put, tmp_path: Path) -> None:
    for number, value in enumerate([0.5, 1.5, math.inf, math.nan, "text"]):
        put(f"{number}", effective_config={"x": value})

    def found(operator: Any, value: object) -> list[str]:
        scan = ResultStore(tmp_path).scan(["path"], where=[("effective_config.x", operator, value)])
        return list(scan.to_pydict()["path"])

    assert found(">", 1.0) == ["1", "2"]
    assert found("==", math.inf) == ["2"]
    assert found("in", [0.5, math.inf]) == ["0", "2"]
    assert found("==", "Infinity") == ["2"]


def test_scan_where_leaves_the_type_of_its_key_open(put: Put, tmp_path: Path) -> None:
    put("a", effective_config={"a": 1, "b": 1})
    scan = ResultStore(tmp_path).scan(["effective_config.a"], where=[("effective_config.b", "!=", 0)])
    assert scan.to_pydict() == {"effective_config.a": [1]}
    put("b", effective_config={"a": 2, "b": "text"})
    assert scan.to_pydict() == {"effective_config.a": [1, 2]}
