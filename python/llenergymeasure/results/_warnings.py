"""The former place of `llenergymeasure._warnings`."""

from llenergymeasure._warnings import warn

__all__ = ["warn"]
