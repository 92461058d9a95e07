"""The processes of contenders, as the driver sees them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

from peers.contenders import Contender

__all__ = ["Absent", "Worker", "start"]

PATIENCE_S = 300
"""Seconds without an answer after which a worker counts as absent."""
BENCHES = Path(__file__).resolve().parents[1]


class Absent(Exception):  # noqa: N818 - a finding, not a failure of the run
    """A contender that cannot be measured, with the reason."""


class Worker:
    """The process of a contender, with a directory for its results."""

    def __init__(self, process: subprocess.Popen[str], directory: Path, errors: Path) -> None:
        self._process = process
        self._directory = directory
        self._errors = errors
        self._runs = 0
        self.version = str(self._answer()["version"])

    def measure(self, count: int) -> float:
        """Save a number of results into a fresh directory; return microseconds per result."""
        directory = self._directory / str(self._runs)
        directory.mkdir()
        self._runs += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"directory": str(directory), "count": count}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Absent(self._last_error()) from None
        seconds = self._answer()["seconds"]
        assert isinstance(seconds, float)
        return seconds / count * 1e6

    def _answer(self) -> dict[str, object]:
        channel = self._process.stdout
        assert channel is not None
        if not select.select([channel], [], [], PATIENCE_S)[0]:
            raise Absent(f"no answer within {PATIENCE_S} s")
        line = channel.readline()
        if not line:
            raise Absent(self._last_error())
        answer: dict[str, object] = json.loads(line)
        if "error" in answer:
            raise Absent(str(answer["error"]))
        return answer

    def _last_error(self) -> str:
        lines = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"its process ended: {lines[-1] if lines else 'it printed no error'}"


@contextlib.contextmanager
def start(contender: Contender, python: Path, directory: Path, record: Path) -> Iterator[Worker]:
    """Start the worker of a contender, and end it with the block.

    Raises:
        Absent: It cannot start, or its package is not installed.
    """
    directory.mkdir()
    errors = directory / "stderr.txt"
    # In its own session: Ctrl-C is for the driver, which ends workers before it removes their files.
    with errors.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                [python, "-m", "peers.worker", contender.session, str(record)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                cwd=directory,
                env={**os.environ, **_scratch(), "PYTHONPATH": str(BENCHES)},
                start_new_session=True,
            )
        except OSError as error:
            raise Absent(f"{python} cannot be run: {error.strerror}") from error
    try:
        yield Worker(process, directory, errors)
    finally:
        process.kill()
        process.communicate()


def _scratch() -> dict[str, str]:
    """Keep temporary files, which MLflow's log_dict makes, off the measured disk."""
    return {"TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else {}  # noqa: S108
