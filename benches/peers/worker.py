"""Run one contender in a process of its own, with the Python of its environment.

    python -m peers.worker MODULE:CLASS RECORD

It prints `{"version": ...}`, then answers each line `{"directory": ..., "count": ...}` of its standard input
with `{"seconds": ...}`, or with `{"error": ...}`.
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
    """Serve until the input ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a contender may print, which is not an answer
    where, record = sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8")
    module, _, name = where.partition(":")
    try:
        contender: type[Session] = getattr(import_module(f"peers.{module}"), name)
        _report(channel, {"version": contender.version()})
    except Exception as error:  # noqa: BLE001 - the other contenders are measured all the same
        _report(channel, {"error": _described(error)})
        return
    # Keep all sessions: SQLite deletes its log with the last connection.
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
                raise ValueError("expected the saved record, got another one")  # noqa: TRY301
            _report(channel, {"seconds": seconds})
        except Exception as error:  # noqa: BLE001
            _report(channel, {"error": _described(error)})


def _report(channel: TextIO, answer: dict[str, object]) -> None:
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


def _described(error: Exception) -> str:
    message = str(error).strip().partition("\n")[0]
    return message if isinstance(error, ImportError) else f"{type(error).__name__}: {message}"


if __name__ == "__main__":
    main()
