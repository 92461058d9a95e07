"""Preparations of a child process that saves, before a tracer is attached or a limit is reached."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal

PR_SET_PTRACER = 0x59616D61


def redirect_stderr(path: str) -> None:
    """Append the standard error of this process to a file."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)


def allow_tracers() -> None:
    """Let any process trace this one, where the kernel would allow only its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def limit_file_size(limit: int | None) -> None:
    """Limit the size of files, with an error instead of a signal."""
    if limit is not None:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def limit_descriptors(free: int | None) -> None:
    """Limit the number of descriptors to those in use and `free` more."""
    if free is not None:
        # The listing itself has one open.
        limit = len(os.listdir("/proc/self/fd")) - 1 + free  # noqa: PTH208 - their number suffices
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
