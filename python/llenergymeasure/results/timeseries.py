"""The power trace of a result: its usual columns in memory."""

from __future__ import annotations

from llenergymeasure._store import Timeseries

__all__ = ["Timeseries"]
