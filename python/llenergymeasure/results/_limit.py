"""The largest record, and the memory of the power traces, that are read."""

from __future__ import annotations

import os
from typing import Final

from llenergymeasure import _store
from llenergymeasure.errors import LLEMError

VARIABLE: Final = "LLEM_MAX_RECORD_BYTES"
"""An environment variable: the largest record in bytes, unless the caller gives a limit."""

TRACE_VARIABLE: Final = "LLEM_MAX_TRACE_BYTES"
"""An environment variable: the memory of all power traces that are read at once, in the same way."""

_LARGEST: Final = 2**63 - 1
"""The largest size of a file."""


def check_limit(given: int | None, name: str = "max_record_bytes") -> int | None:
    """Return a limit, at most 2**63 - 1; reject an invalid one.

    Raises:
        TypeError: `given` is not an integer.
        ValueError: `given` is less than 1.
    """
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"{name} expects a number of bytes, got {given!r}")
    if given < 1:
        raise ValueError(f"{name} expects at least 1, got {given}")
    return min(given, _LARGEST)


def max_bytes(given: int | None = None) -> int:
    """Return the largest record in bytes: the given limit, else the environment's, else the default.

    Raises:
        LLEMError: The environment variable is not a number of bytes.
    """
    return _limit(given, VARIABLE, _store.MAX_RECORD_BYTES)


def max_trace_bytes(given: int | None = None) -> int:
    """Return the memory of all power traces that are read at once, in bytes; see `max_bytes`."""
    return _limit(given, TRACE_VARIABLE, _store.MAX_TRACE_BYTES)


def _limit(given: int | None, variable: str, default: int) -> int:
    if given is not None:
        return given
    text = os.environ.get(variable, "")
    if not text:
        return default
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit() and digits):
        raise LLEMError(f"{variable} expects a number of bytes, such as {default}, got {text!r}")
    return _LARGEST if len(digits) > len(str(_LARGEST)) else min(int(digits), _LARGEST)
