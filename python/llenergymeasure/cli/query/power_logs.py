"""The options of commands that read a power log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NamedTuple

import typer

from llenergymeasure.cli.errors import CommandError, UsageError
from llenergymeasure.cli.query.options import check_path
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers.power import PowerLog, read_power

_NAMES = ("time", "power", "gpu")

PowerColumns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=COLUMN,...",
        show_default=False,
        help="The columns of the power log, as in time=when,power=watts,gpu=card; those that you do not name "
        "are found by their usual names. gpu=0 is the index of the only GPU.",
    ),
]
PowerGpus = Annotated[
    str | None,
    typer.Option(
        metavar="GPU,...",
        show_default=False,
        help="The GPUs of the power log to read, by index, UUID or MIG name; all without it.",
    ),
]
PowerZone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        show_default=False,
        help="The time zone of times without one, of the power log or of the results: UTC, local, +02:00 or "
        "a name as Europe/Paris.",
    ),
]
PowerStart = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        show_default=False,
        help="The time of the first sample, in ISO 8601, for a power log without dates.",
    ),
]
PowerInterval = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        show_default=False,
        help="The time between two samples, for a power log without times.",
    ),
]


class PowerOptions(NamedTuple):
    """The options of a power log, as they were given."""

    columns: str | None = None
    gpus: str | None = None
    zone: str | None = None
    start: str | None = None
    interval: float | None = None

    def read(self, path: str, name: str = "--power") -> PowerLog:
        """Read a power log; `name` is that of its argument or option.

        Raises:
            UsageError: The path does not exist, or an option has no valid form.
            CommandError: The file cannot be read, or is no power log.
        """
        check_path(path, name)
        columns = _columns(self.columns or "")
        gpus = None if self.gpus is None else [gpu.strip() for gpu in self.gpus.split(",") if gpu.strip()]
        try:
            return read_power(
                path, **columns, gpus=gpus, zone=self.zone, start=_time(self.start), interval_s=self.interval
            )
        except NotImportableError as error:
            raise CommandError(f"{path}: {error}") from None
        except OSError as error:
            raise CommandError(f"{path}: cannot be read: {error.strerror or error}") from None


def _columns(text: str) -> dict[str, str]:
    columns = {}
    for part in filter(None, text.split(",")):
        name, is_given, column = part.partition("=")
        if name.strip() not in _NAMES or not is_given or not column.strip():
            raise UsageError(f"--power-columns expects time=, power= or gpu= and a column, got {part!r}")
        columns[name.strip()] = column.strip()
    return columns


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"--power-start expects a time as 2026-05-04T10:00:00, got {text!r}") from None
