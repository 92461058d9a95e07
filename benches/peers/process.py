"""The driver's end of a worker process."""

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
"""A worker that says nothing for so long is given up."""
BENCHES = Path(__file__).resolve().parents[1]


class Absent(Exception):  # noqa: N818 - it is a finding, and no fault of the run
    """A contender cannot be measured; the text says why."""


class Worker:
    """A contender's process; it makes its directories in one that is given."""

    def __init__(self, process: subprocess.Popen[str], directory: Path, complaints: Path) -> None:
        self._process = process
        self._directory = directory
        self._complaints = complaints
        self._runs = 0
        self.version = str(self._answer()["version"])

    def measure(self, count: int) -> float:
        """Save so many results into a fresh directory; microseconds a result."""
        directory = self._directory / str(self._runs)
        directory.mkdir()
        self._runs += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"directory": str(directory), "count": count}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Absent(self._last_words()) from None
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
            raise Absent(self._last_words())
        answer: dict[str, object] = json.loads(line)
        if "error" in answer:
            raise Absent(str(answer["error"]))
        return answer

    def _last_words(self) -> str:
        lines = self._complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"its process ended: {lines[-1] if lines else 'it said nothing'}"


@contextlib.contextmanager
def start(contender: Contender, python: Path, directory: Path, record: Path) -> Iterator[Worker]:
    """Start a contender's worker, and end it with the block.

    Raises:
        Absent: It cannot be started, or what it needs is not installed.
    """
    directory.mkdir()
    complaints = directory / "stderr.txt"
    # A session of its own: Ctrl-C is for the driver, which ends the workers before it removes their files.
    with complaints.open("wb") as stderr:
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
        yield Worker(process, directory, complaints)
    finally:
        process.kill()
        process.communicate()


def _scratch() -> dict[str, str]:
    """Keep passing files, which MLflow's log_dict makes and deletes, off the disk that is measured."""
    return {"TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else {}  # noqa: S108
