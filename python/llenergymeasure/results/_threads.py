"""Detection of threads that are not those of the operating system."""

from __future__ import annotations

import threading
from types import BuiltinFunctionType

_STARTERS = ("_start_new_thread", "_start_joinable_thread")
"""The function that starts a thread, before and since Python 3.13."""


def check_threads() -> None:
    """Reject green threads, of which one that waits for the disk stops all others.

    Raises:
        RuntimeError: gevent or eventlet has replaced the threads of Python.
    """
    for name in _STARTERS:
        start = getattr(threading, name, None)
        if start is not None and not isinstance(start, BuiltinFunctionType):
            library = str(getattr(start, "__module__", None)).partition(".")[0]
            raise RuntimeError(
                f"a writer expects threads of the operating system, got those of {library}, in which it "
                "would never finish; call save or save_many, or do not patch threads (gevent: "
                "monkey.patch_all(thread=False), eventlet: monkey_patch(thread=False))"
            )
