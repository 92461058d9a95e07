"""Equality of JSON values: 1 and 1.0 are one value, and true is not 1."""

from __future__ import annotations

from collections.abc import Hashable

_TRUE, _FALSE = object(), object()


def comparable(value: object) -> Hashable:
    """Return a value that equals that of another JSON value if the two are one value.

    Numbers are compared exactly: 1 is 1.0, 2**53 + 1 is no float, and -0.0 is 0. A boolean is not a number.
    The order of the keys of an object does not count.
    """
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, dict):
        return frozenset((key, comparable(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(comparable, value))
    return value
