"""Fixtures that run the program as a person does, and records to run it on."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import HANG, run_code
from support.results import make_record
from support.terminals import read_terminal, strip_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment in which only the streams decide on colours and widths."""
    deciding = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "PYTHONIOENCODING")
    return {name: value for name, value in os.environ.items() if name not in deciding} | {"TERM": "xterm"}


@pytest.fixture
def llem(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program in `tmp_path` and wait for its end."""

    def run(*args: str | os.PathLike[str], **options: Any) -> subprocess.CompletedProcess[str]:
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        if "input" in options:
            del options["stdin"]
        return subprocess.run(
            [sys.executable, "-m", "llenergymeasure", *args],
            cwd=tmp_path,
            env=environment,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            **options,
        )

    return run


@pytest.fixture
def patched_llem(
    tmp_path: Path, environment: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program in `tmp_path` after lines of Python that change it."""

    def run(patch: str, *args: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys\nfrom llenergymeasure.cli import main\n{patch}\nsys.exit(main())\n"
        return run_code(code, *args, cwd=tmp_path, env=environment, preexec_fn=restore_interrupts)

    return run


def restore_interrupts() -> None:
    """Let a child react to SIGINT, which test runs in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the program in `tmp_path`, for a test that acts on it while it runs."""
    guards = []

    def run(*args: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        process: Any = subprocess.Popen(
            [sys.executable, "-m", "llenergymeasure", *args],
            cwd=tmp_path,
            env=environment,
            preexec_fn=restore_interrupts,  # noqa: PLW1509
            **options,
        )
        started: subprocess.Popen[bytes] = process
        # A program that hangs fails its test.
        guards.append(threading.Timer(HANG, started.kill))
        guards[-1].start()
        return started

    yield run
    for guard in guards:
        guard.cancel()


@pytest.fixture
def terminal(
    start: Callable[..., subprocess.Popen[bytes]],
) -> Callable[..., tuple[int, str, str]]:
    """Run the program with stderr on a terminal; return its status, stdout and stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        master, slave = os.openpty()
        process = start(*args, stderr=slave)
        os.close(slave)
        seen = read_terminal(master)
        out, _ = process.communicate()
        return process.returncode, out.decode(), seen

    return run


@pytest.fixture
def screen(start: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., tuple[int, list[str], str]]:
    """Run the program with stdout on a terminal; return its status, the lines without colours, and stderr."""

    def run(*args: str, columns: int = 80) -> tuple[int, list[str], str]:
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = start(*args, stdout=slave)
        os.close(slave)
        seen = read_terminal(master)
        _, stderr = process.communicate()
        return process.returncode, strip_colours(seen).splitlines(), stderr.decode()

    return run


@pytest.fixture
def keep(tmp_path: Path) -> Callable[..., Path]:
    """Put a small result below `results`, in a directory of the given name."""

    def put(name: str, **fields: Any) -> Path:
        file = tmp_path / "results" / name / "result.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(make_record(name, **fields)), encoding="utf-8")
        return file

    return put


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """Return the function that builds the JSON object of a small result."""
    return make_record


@pytest.fixture
def lines() -> Callable[[int], str]:
    """Return the function that builds JSON Lines of so many results."""

    def make(count: int) -> str:
        return "".join(json.dumps(make_record(f"run-{number}")) + "\n" for number in range(count))

    return make


@pytest.fixture
def three(keep: Callable[..., Path]) -> None:
    """Keep three results that differ."""
    keep(
        "a",
        backend="vllm",
        total_energy_j=2000.0,
        total_tokens=1000,
        effective_config={"model": "one", "n": 8},
    )
    keep("b", total_energy_j=500.5, total_tokens=3000, effective_config={"model": "two/Two", "n": "8"})
    keep(
        "c",
        backend="vllm",
        total_energy_j=123456.0,
        total_tokens=2000,
        effective_config={"model": "three", "on": True},
        measurement_warnings=["too short", "too hot"],
        energy_adjusted_j=90.0,
        start_time="2026-03-01T08:00:00+02:00",
        end_time="2026-03-01T08:01:00+02:00",
    )
