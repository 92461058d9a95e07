"""A temporary directory that is removed at every end of the command except SIGKILL."""

from __future__ import annotations

import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """Make a temporary directory inside `parent` for the body, and remove it afterwards.

    SIGTERM and SIGHUP end the body with a `SystemExit` of 128 plus their number, Ctrl-C with a
    `KeyboardInterrupt`; none of the three stops the removal.

    Raises:
        OSError: The directory cannot be made or removed.
    """
    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGINT)}
    # Keep ignoring signals that nohup or the & of a shell made the process ignore.
    heeded = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    made = None
    try:
        for number in _ENDING:
            if number in heeded:
                signal.signal(number, _leave)
        made = Path(tempfile.mkdtemp(prefix=".llem-bench-", dir=parent))
        with suppress(OSError):  # it only keeps a concurrent `git add` away
            (made / ".gitignore").write_text("*\n", encoding="utf-8")
        yield made
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)
        try:
            if made is not None:
                shutil.rmtree(made)
        finally:
            for number, handler in heeded.items():
                signal.signal(number, handler)


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
