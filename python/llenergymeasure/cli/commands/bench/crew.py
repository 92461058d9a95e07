"""Processes that save concurrently, each with its own writer."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from typing_extensions import Self

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from llenergymeasure.cli.commands.bench.crew import serve; serve(sys.argv[2])"
)
_READY = "ready"
_PATIENCE_SEC = 5


class CrewError(Exception):
    """A failure of a process of the crew, with the message of that process."""


class Crew:
    """Interpreters that wait for orders to save.

    Each ends when this process ends, for any reason, because its standard input closes.
    """

    def __init__(self, count: int, record: Path) -> None:
        """Start that many interpreters; each reads the result to save from a record."""
        self._members: list[subprocess.Popen[str]] = []
        try:
            for _ in range(count):
                self._members.append(_start(record))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._members)

    def __enter__(self) -> Self:
        """Return the crew after all its processes imported the package."""
        try:
            for member in self._members:
                _await(member)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Terminate all processes, also during a save."""
        self.close()

    def save(self, root: Path, each: int) -> None:
        """Make each process save results durably into one directory, and wait for all.

        Raises:
            CrewError: A process failed.
        """
        order = json.dumps([str(root), each]) + "\n"
        for member in self._members:
            assert member.stdin is not None  # noqa: S101 - as it was started
            with suppress(BrokenPipeError):  # `_await` reports the failure
                member.stdin.write(order)
                member.stdin.flush()
        for member in self._members:
            _await(member)

    def close(self) -> None:
        """Terminate all processes."""
        for member in self._members:
            member.terminate()
        for member in self._members:
            try:
                member.wait(_PATIENCE_SEC)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()
            for pipe in (member.stdin, member.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


def _start(record: Path) -> subprocess.Popen[str]:
    # In its own session, it gets no Ctrl-C: this process terminates it in order.
    return subprocess.Popen(  # noqa: S603 - the interpreter that runs this
        [sys.executable, "-W", "ignore", "-c", _BOOT, json.dumps(sys.path), str(record)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def _await(member: subprocess.Popen[str]) -> None:
    assert member.stdout is not None  # noqa: S101 - as it was started
    answer = member.stdout.readline().rstrip("\n")
    if answer != _READY:
        raise CrewError(answer or f"a process of the bench ended with status {member.wait()}")


def serve(record: str) -> None:
    """Run a member of a crew: save on each order from standard input, and answer with a line."""
    result = ExperimentResult.model_validate_json(Path(record).read_bytes())
    print(_READY, flush=True)  # noqa: T201 - a pipe that the crew reads
    for order in sys.stdin:
        root, count = json.loads(order)
        try:
            with ResultStore(root).writer() as writer:
                for _ in range(count):
                    writer.submit(result)
        except Exception as error:  # noqa: BLE001 - the crew reports any failure
            print(" ".join(str(error).split()) or type(error).__name__, flush=True)  # noqa: T201
        else:
            print(_READY, flush=True)  # noqa: T201
