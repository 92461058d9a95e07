"""One contender in a process of its own, which its environment's Python runs.

    python -m peers.worker MODULE:CLASS RECORD

It says `{"version": ...}`, then answers each line `{"directory": ..., "count": ...}` of its standard input
with `{"seconds": ...}`; where something fails, with `{"error": ...}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TextIO

from peers.session import Session

__all__: list[str] = []


def main() -> None:
    """Serve until there is no more input."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a contender prints is no answer
    where, record = sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8")
    module, _, name = where.partition(":")
    try:
        contender: type[Session] = getattr(import_module(f"peers.{module}"), name)
        _say(channel, {"version": contender.version()})
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
        _say(channel, {"error": _described(error)})
        return
    # Kept until the end: SQLite deletes its log when the last connection is closed.
    sessions: list[Session] = []
    for line in sys.stdin:
        request = json.loads(line)
        try:
            session = contender(Path(request["directory"]), record)
            sessions.append(session)
            begin = time.perf_counter()
            session.save(request["count"])
            seconds = time.perf_counter() - begin
            if session.last() != session.expected:
                raise ValueError("what was read back is not what was saved")  # noqa: TRY301
            _say(channel, {"seconds": seconds})
        except Exception as error:  # noqa: BLE001
            _say(channel, {"error": _described(error)})


def _say(channel: TextIO, answer: dict[str, object]) -> None:
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


def _described(error: Exception) -> str:
    message = str(error).strip().partition("\n")[0]
    return message if isinstance(error, ImportError) else f"{type(error).__name__}: {message}"


if __name__ == "__main__":
    main()
