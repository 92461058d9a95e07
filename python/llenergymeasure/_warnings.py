"""Warnings that name the caller's line, not a line of this package or of pydantic."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Final

import pydantic

from llenergymeasure._escape import escape

_SKIPPED: Final = tuple(
    f"{directory}{os.sep}" for directory in (Path(__file__).parent, Path(pydantic.__file__).parent)
)


def warn(message: str) -> None:
    """Issue a `UserWarning` at the first frame outside this package and pydantic.

    Its text cannot steer a terminal.
    """
    frame, level = sys._getframe(), 1  # noqa: SLF001 - `inspect` is slow to import
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame, level = frame.f_back, level + 1
    warnings.warn(escape(message), UserWarning, stacklevel=level)
