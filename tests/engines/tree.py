"""A tree of results with every kind of value that engines treat differently."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, ResultStore
from support.results import make_power_trace, make_result

RESULTS = 60
COLUMNS = {
    "path": "texts",
    "backend": "texts",
    "total_tokens": "integers",
    "total_energy_j": "floats",
    "multi_gpu.num_gpus": "integers",
    "has_timeseries": "booleans",
    "start_time": "times",
    "start_time.utc": "instants",
    "energy_per_device_j": "lists",
    "measurement_warnings": "lists",
    "effective_config.model": "texts",
    "effective_config.batch": "integers",
    "effective_config.large": "integers",
    "effective_config.lr": "floats",
    "effective_config.flag": "booleans",
    "effective_config.mixed": "json",
    "effective_config.layers": "lists",
    "effective_config.tags": "lists",
    "effective_config.tp": "integers",
    "effective_config.TP": "integers",
    'effective_config."opt.lr"': "floats",
    "effective_config.deep.x": "integers",
}
"""The columns of the queries, and the kinds of their values."""
_BASE = datetime(2026, 2, 18, 11, 30)  # noqa: DTZ001 - a local time
_PARIS = timezone(timedelta(hours=1))


def _pick(number: int, *values: Any) -> Any:
    return values[number % len(values)]


def _config(number: int) -> dict[str, Any]:
    yes, no = True, False
    config = {
        "model": _pick(number, "m1", "m2", "é/B", "", 'a "b"', "M1", None),
        "batch": _pick(number, 1, 2, None, 4, 2**53 + 1, -8, 0, 1),
        "large": _pick(number, 0, 2**64 - 1, 2**63, 7, 2**63 + 1),
        "lr": _pick(number, 0.1, math.nan, 1, -0.0, math.inf, None, -math.inf, 1e-300, 0.5),
        "flag": _pick(number, yes, no, None),
        "mixed": _pick(number, 1, "1", yes, [1, "a"], None, {"b": 1.5}, 2**70, "é"),
        "layers": _pick(number, [1, 2], [], None, [None, -3]),
        "tags": _pick(number, ["a", "é"], [], ["", None], None),
        "tp": _pick(number, 1, 2),
        "TP": _pick(number, 3, 1, None, 2),
        "opt.lr": _pick(number, 0.25, 0.5, None, 4),
        "deep": _pick(number, {"x": 1}, {"x": None}, {"x": 5}, None),
    }
    # Absent and null are the same in a table.
    return {key: value for key, value in config.items() if value is not None or number % 2}


def _result(number: int) -> ExperimentResult:
    naive = _BASE + timedelta(minutes=number, microseconds=number)
    gpus = {
        "num_gpus": number,
        "energy_per_gpu_j": [1.0],
        "energy_total_j": 1.0,
        "energy_per_output_token_j": 0.1,
    }
    return make_result(
        experiment_id=f"experiment-{number}",
        backend=_pick(number, "vllm", "pytorch", "Triton"),
        total_tokens=_pick(number, number, 2**53 + 1, number, 10 * number),
        total_energy_j=_pick(
            number, number + 0.5, 3.0, math.nan, 1e17, number / 3, math.inf, -0.0, -math.inf
        ),
        multi_gpu=_pick(number, None, gpus),
        start_time=_pick(number, naive, naive.replace(tzinfo=timezone.utc), naive.replace(tzinfo=_PARIS)),
        energy_per_device_j=_pick(number, None, [0.1, math.nan], [], [float(number)]),
        measurement_warnings=_pick(number, [], ["a", ""], ["é"]),
        effective_config=_config(number),
    )


def make_tree(root: Path) -> ResultStore:
    """Save the results below a root."""
    store = ResultStore(root)
    results = [_result(number) for number in range(RESULTS)]
    store.save_many(
        results,
        timeseries_sources=[
            _pick(number, None, None, None, make_power_trace(1.0)) for number in range(RESULTS)
        ],
        durable=False,
    )
    return store


VALUES: dict[str, list[Any]] = {
    "path": ["m1", "n", ""],
    "backend": ["vllm", "Triton", "q"],
    "total_tokens": [0, 17, 2**53, 2**53 + 1, -1],
    "total_energy_j": [0.0, 3.0, 20.5, 1e17, math.inf, -math.inf],
    "multi_gpu.num_gpus": [1, 30, 31],
    "has_timeseries": [True, False],
    "start_time": [_BASE, _BASE + timedelta(minutes=20), _BASE + timedelta(minutes=31, microseconds=31)],
    "start_time.utc": [
        (_BASE + shift).replace(tzinfo=timezone.utc)
        for shift in (timedelta(minutes=1, microseconds=1), timedelta(minutes=-30), timedelta(hours=1))
    ],
    "effective_config.model": ["m1", "M1", "é/B", "", "n"],
    "effective_config.batch": [0, 1, -8, 2**53, 2**53 + 1],
    "effective_config.large": [0, 7, 2**62],
    "effective_config.lr": [0.0, 0.1, 1.0, 1e-300, math.inf, -math.inf],
    "effective_config.flag": [True, False],
    "effective_config.mixed": ["1", '"1"', "true", '{"b":1.5}', "x"],
    "effective_config.tp": [1, 2],
    "effective_config.TP": [1, 2, 3],
    'effective_config."opt.lr"': [0.25, 0.5, 4.0],
    "effective_config.deep.x": [1, 5, 6],
}
"""Operands for the tests of each column."""
