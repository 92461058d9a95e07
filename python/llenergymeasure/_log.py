"""The logger `llenergymeasure`: skipped files, requests that are sent again, durability that a save lacks.

`logging` takes 2 ms to import, so the first record imports it and adds the `NullHandler`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llenergymeasure._escape import escape

if TYPE_CHECKING:
    import logging

NAME = "llenergymeasure"


def logger() -> logging.Logger:
    """Return the logger; without a handler of the user, its records go nowhere."""
    import logging  # noqa: PLC0415 - slow to import, and rarely needed

    found = logging.getLogger(NAME)
    if not any(type(handler) is logging.NullHandler for handler in found.handlers):
        found.addHandler(logging.NullHandler())
    return found


def log(messages: Iterable[object]) -> None:
    """Log warnings. Their text cannot steer a terminal; a save or a read goes on if the log fails."""
    try:
        target = logger()
        for message in messages:
            target.warning("%s", escape(str(message)))
    except Exception:  # noqa: BLE001 - the import may find no free descriptor, and a filter may raise anything
        return
