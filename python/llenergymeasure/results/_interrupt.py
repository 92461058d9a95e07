"""The check for a thread that Python interrupts at Ctrl-C."""

from __future__ import annotations

import threading

__all__ = ["is_interruptible"]


def is_interruptible() -> bool:
    """Return True in the main thread: Python runs signal handlers in no other."""
    return threading.current_thread() is threading.main_thread()
