"""The program as a person runs it, and what it is run on."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment in which nothing but the streams decides on colours and widths."""
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
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the program in `tmp_path`, to talk to it while it runs."""
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
            # Whoever runs the tests in the background has SIGINT ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **options,
        )
        started: subprocess.Popen[bytes] = process
        # Only so that a program that says nothing fails a test instead of hanging it.
        guards.append(threading.Timer(60, started.kill))
        guards[-1].start()
        return started

    yield run
    for guard in guards:
        guard.cancel()


@pytest.fixture
def terminal(
    start: Callable[..., subprocess.Popen[bytes]],
) -> Callable[..., tuple[int, str, str]]:
    """Run the program with standard error on a terminal; return its status, standard output and that."""

    def run(*args: str) -> tuple[int, str, str]:
        master, slave = os.openpty()
        process = start(*args, stderr=slave)
        os.close(slave)
        seen = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # Linux: the last process has closed its side
                break
            if not piece:
                break
            seen += piece
        os.close(master)
        out, _ = process.communicate()
        return process.returncode, out.decode(), seen.decode()

    return run


@pytest.fixture
def screen(start: Callable[..., subprocess.Popen[bytes]]) -> Callable[..., tuple[int, list[str], str]]:
    """Run the program on a terminal; return its status, the lines without escapes, and standard error."""

    def run(*args: str, columns: int = 80) -> tuple[int, list[str], str]:
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = start(*args, stdout=slave)
        os.close(slave)
        seen = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # Linux: the last process has closed its side
                break
            if not piece:
                break
            seen += piece
        os.close(master)
        _, stderr = process.communicate()
        lines = re.sub(r"\x1b\[[0-9;]*m", "", seen.decode()).splitlines()
        return process.returncode, lines, stderr.decode()

    return run


@pytest.fixture
def keep(tmp_path: Path, record: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    """Put a small result into `results`, in a directory of that name."""

    def put(name: str, **fields: Any) -> Path:
        file = tmp_path / "results" / name / "result.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(record(name, **fields)), encoding="utf-8")
        return file

    return put


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """Make a small result as it stands in a file."""

    def make(name: str = "run", **fields: Any) -> dict[str, Any]:
        return {
            "experiment_id": name,
            "measurement_config_hash": "0123456789abcdef",
            "measurement_methodology": "total",
            "total_tokens": 1000,
            "total_energy_j": 250.5,
            "total_inference_time_sec": 10.0,
            "avg_tokens_per_second": 100.0,
            "avg_energy_per_token_j": 0.2505,
            "total_flops": 0.0,
            "start_time": "2026-02-18T14:30:00",
            "end_time": "2026-02-18T14:30:10",
            "effective_config": {"model": "gpt2"},
        } | fields

    return make


@pytest.fixture
def lines(record: Callable[..., dict[str, Any]]) -> Callable[[int], str]:
    """Make JSON Lines of that many results."""

    def make(count: int) -> str:
        return "".join(json.dumps(record(f"run-{number}")) + "\n" for number in range(count))

    return make


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the directory of real results."""
    place = Path(os.environ.get("LLEM_TEST_DATA") or Path(__file__).parents[3] / "shared/data")
    if not place.is_dir():
        pytest.skip(f"there is no {place}; LLEM_TEST_DATA names the real data")
    return place
