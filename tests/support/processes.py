"""Processes of tests: scripts to run, what they report, and what they hold open."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
HANG = 120
"""Seconds after which an awaited event counts as missing; generous, for busy machines."""


def export_support() -> None:
    """Let every later child of this process import `support`."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(TESTS) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, known)])


def run_script(
    script: Path, *arguments: str | Path, timeout: float = 300, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a worker script to its end, without the warning that Python gives for a fork next to threads."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, **(environment or {})},
    )


def run_code(
    code: str, *arguments: str | Path, options: tuple[str, ...] = (), **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Run lines of Python in their own process to its end; `settings` are those of `subprocess.run`."""
    command: list[str | Path] = [sys.executable, *options, "-c", textwrap.dedent(code), *arguments]
    check: bool = settings.pop("check", False)
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300}
    return subprocess.run(command, check=check, **(defaults | settings))


def report(value: object) -> None:
    """Print a line of JSON in one system call, so that the lines of several threads never mix."""
    os.write(1, json.dumps(value).encode() + b"\n")


def fork(target: Callable[..., object], *arguments: object, seconds: int = HANG) -> int:
    """Run a function in a forked child that ends after `seconds` at the latest; return its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(seconds)
            target(*arguments)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the child reports every failure
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    return child


def join(child: int) -> None:
    """Wait for a forked child, and check that it succeeded."""
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with status {status}"


def wait_until(
    condition: Callable[[], object], seconds: float = HANG, message: str = "no such event"
) -> None:
    """Return as soon as a condition holds; fail when it does not hold in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, message
        time.sleep(0.001)


def store_threads() -> list[str]:
    """Return the names of the threads in this process that belong to the store."""
    names = [thread.name for thread in threading.enumerate()]
    for task in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return [name for name in names if name.startswith("llem")]


def open_descriptors() -> list[str]:
    """Return the numbers of the open descriptors of this process."""
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names suffice
