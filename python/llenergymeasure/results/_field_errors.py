"""The errors of pydantic on one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["first_of"]


def first_of(details: Sequence[Any]) -> str:
    """Return the first field error of pydantic on one line, and the number of others."""
    # A record of another schema line has other fields: naming them would mislead.
    line = next((detail for detail in details if detail["loc"] == ("schema_version",)), None)
    detail = line or details[0]
    message = detail["msg"].removeprefix("Value error, ")
    more = "" if line or len(details) == 1 else f" (and {len(details) - 1:,} more)"
    return f"{_dotted(detail['loc'])}: {message}{more}"


def _dotted(location: tuple[str | int, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(steps).removeprefix(".")
