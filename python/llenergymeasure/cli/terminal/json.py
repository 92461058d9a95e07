"""JSON output: values in the form that `result.json` has."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def to_json(document: object) -> str:
    """Return a JSON document; times and non-finite numbers are strings, as in `result.json`."""
    try:
        text = json.dumps(document, indent=2, allow_nan=False, default=_time)
    except ValueError:
        text = json.dumps(_spelled(document), indent=2, default=_time)
    return text + "\n"


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"expected a value of a result, got {type(value).__name__}")


def _spelled(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float) and not math.isfinite(value):
        return _INFINITE.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled(item) for item in value]
    return value
