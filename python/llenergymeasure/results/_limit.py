"""How large a record may be that is read."""

from __future__ import annotations

import os
from typing import Final

from llenergymeasure import _store
from llenergymeasure.errors import LLEMError

__all__ = ["VARIABLE", "check_limit", "max_bytes"]

VARIABLE: Final = "LLEM_MAX_RECORD_BYTES"
"""An environment variable: the bytes of a record, at most, where nobody says otherwise."""

_LARGEST: Final = 2**63 - 1
"""No file is larger."""


def check_limit(given: int | None) -> int | None:
    """Refuse a limit that is none.

    Raises:
        TypeError: It is no integer.
        ValueError: It is less than 1.
    """
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"max_record_bytes is a number of bytes, not {given!r}")
    if given < 1:
        raise ValueError(f"max_record_bytes is at least 1, not {given}")
    return min(given, _LARGEST)


def max_bytes(given: int | None = None) -> int:
    """Return the bytes of a record, at most: what is given, or what the environment says, or the usual.

    Raises:
        LLEMError: The environment says something else than a number of bytes.
    """
    if given is not None:
        return given
    text = os.environ.get(VARIABLE, "")
    if not text:
        return _store.MAX_RECORD_BYTES
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit() and digits):
        raise LLEMError(f"{VARIABLE} is a number of bytes, such as {_store.MAX_RECORD_BYTES}, not {text!r}")
    return _LARGEST if len(digits) > len(str(_LARGEST)) else min(int(digits), _LARGEST)
