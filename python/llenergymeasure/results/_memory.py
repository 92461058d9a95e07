"""Allocations of pydantic that fail: its core panics, where Python raises `MemoryError`."""

from __future__ import annotations


def as_memory_error(error: BaseException, doing: str) -> BaseException:
    """Return a `MemoryError` for a panic of pydantic, and any other error itself.

    A panic is no `Exception`, so it passes the handlers of a caller. pydantic has no public name for it, and
    panics on valid input only where it cannot allocate an object.
    """
    if type(error).__name__ != "PanicException":
        return error
    return MemoryError(f"expected memory to {doing}, got a failed allocation in pydantic; raise the limit")
