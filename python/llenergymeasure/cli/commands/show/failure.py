"""A run that failed, for `llem show`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure._format import ABSENT, human_seconds, printable
from llenergymeasure.cli.query.options import is_url
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.results._paths import located
from llenergymeasure.results.failures import load_failure

if TYPE_CHECKING:
    from llenergymeasure.domain.failure import FailedRun

__all__ = ["is_failure", "show_failure"]


def is_failure(path: str) -> bool:
    """Return True for a `failure.json`, or a directory on a file system with one and without a record."""
    if path.rpartition("/")[2] == _store.FAILURE:
        return True
    names = (_store.RECORD, _store.FAILURE)
    return not is_url(path) and [os.path.lexists(Path(path, name)) for name in names] == [False, True]


def show_failure(path: str, *, as_json: bool) -> int:
    """Print a failure, and return the exit status.

    Raises:
        PersistenceError: The file cannot be read; a `FileNotFoundError` if it does not exist.
        ResultError: The file is not a failure.
    """
    run = load_failure(located(path))
    if as_json:
        document = {"path": path, "failure": run.model_dump(mode="json"), "duration_sec": run.duration_sec}
        OUT.write(to_json(document))
        return 0
    for label, text in _facts(path, run):
        OUT.write(f"{printable(label):<14}  {printable(text)}\n")
    for label, long_text in (("output", run.output), ("traceback", run.traceback)):
        if long_text:
            lines = "".join(f"  {printable(line)}\n" for line in long_text.splitlines())
            OUT.write(f"\n{label}\n{lines}")
    return 0


def _facts(path: str, run: FailedRun) -> list[tuple[str, str]]:
    seconds, config = run.duration_sec, {**run.effective_config}
    config.pop("backend", None)
    return [
        ("failed run", path),
        ("error", run.error_type),
        ("message", run.message),
        ("backend", run.backend),
        *((key, value if isinstance(value, str) else json.dumps(value)) for key, value in config.items()),
        ("host", run.host or ABSENT),
        ("started", ABSENT if run.start_time is None else run.start_time.isoformat(" ")),
        ("ended", run.end_time.isoformat(" ")),
        ("duration", ABSENT if seconds is None or seconds < 0 else human_seconds(seconds)),
        ("hash", run.measurement_config_hash),
    ]
