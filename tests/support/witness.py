"""A witness of the workers of an example: it notes each acknowledged save, and kills workers in mid-flight.

A module of the example imports it. `LLEM_WITNESS` is the directory of its notes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

from llenergymeasure import ResultStore
from llenergymeasure.results.writer import Writer
from support.witness_notes import ACKNOWLEDGED, KILLS

NOTES = Path(os.environ["LLEM_WITNESS"])
_saves = count(1)
_save, _submit = ResultStore.save, Writer.submit


def _note(path: object) -> None:
    file = os.open(NOTES / ACKNOWLEDGED, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{path}\n".encode())
    os.close(file)


def _die() -> None:
    """End this process within the save that begins now."""
    for number in range(KILLS):
        try:
            os.close(os.open(NOTES / f"killed-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGKILL)


def _begin() -> None:
    if next(_saves) == 3:
        threading.Thread(target=_die).start()


def save(self: ResultStore, *arguments: Any, **named: Any) -> Any:
    """Save, and note the path that `save` returned."""
    _begin()
    path = _save(self, *arguments, **named)
    _note(path)
    return path


def submit(self: Writer, *arguments: Any, **named: Any) -> Any:
    """Submit, and note the path when the future has it."""
    _begin()
    future = _submit(self, *arguments, **named)
    future.add_done_callback(lambda done: _note(done.result()))
    return future


ResultStore.save = save  # type: ignore[method-assign]
Writer.submit = submit  # type: ignore[method-assign]
