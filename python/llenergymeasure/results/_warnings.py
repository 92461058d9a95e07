"""Warnings that name the caller's line, not a line of this package."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Final

from llenergymeasure._escape import escape

_PACKAGE: Final = str(Path(__file__).parent.parent) + os.sep


def warn(message: str) -> None:
    """Issue a `UserWarning` at the first frame outside this package; its text cannot steer a terminal."""
    frame, level = sys._getframe(), 1  # noqa: SLF001 - `inspect` is slow to import
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(escape(message), UserWarning, stacklevel=level)
