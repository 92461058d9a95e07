"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from llenergymeasure.cli.query.columns import COLUMN_HELP
from llenergymeasure.cli.query.where import WHERE_HELP

Directory = Annotated[
    str, typer.Argument(metavar="DIR", show_default=False, help="The directory of the results, at any depth.")
]
Where = Annotated[
    list[str], typer.Option("--where", "-w", metavar="EXPR", show_default=False, help=WHERE_HELP)
]
Columns = Annotated[
    list[str],
    typer.Option(
        "--columns",
        "-c",
        metavar="COLUMN,...",
        show_default=False,
        help=f"The columns, in their order. {COLUMN_HELP}",
    ),
]
