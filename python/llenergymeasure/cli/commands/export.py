"""`llem export`: the results below a directory as one file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from llenergymeasure.cli.query import columns as _names
from llenergymeasure.cli.query import where as _where
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.terminal.json import as_json as document
from llenergymeasure.cli.terminal.stream import (
    ERR,
    OUT,
    UsageError,
    human_bytes,
    human_seconds,
    plural,
    printable,
)
from llenergymeasure.errors import LLEMError
from llenergymeasure.results._columns import all_columns
from llenergymeasure.results.scan import EXPORT_ENDINGS

__all__ = ["export"]

_FORMATS = {".ndjson": "jsonl", ".feather": "arrow", ".ipc": "arrow"}


class _Table(Reading):
    """Results on their way to a file."""

    def write(self, file: str) -> int:
        """Write the rows; return how many columns they have."""
        with self._open:
            self.found = self._scan.export(file)
        return len(self._scan.schema)

    @property
    def is_empty(self) -> bool:
        """Whether there is no result at all, good or bad."""
        return not self._holds_any()


def export(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", show_default=False, help="The results: all that are below it.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", show_default=False, help=f"One of {', '.join(EXPORT_ENDINGS)}."
        ),
    ],
    where: Annotated[
        list[str], typer.Option("--where", "-w", metavar="EXPR", show_default=False, help=_where.HELP)
    ] = [],  # noqa: B006 - typer copies it
    columns: Annotated[
        list[str],
        typer.Option(
            "--columns",
            "-c",
            metavar="COLUMN,...",
            show_default=False,
            help=f"Only these, in this order. {_names.HELP}",
        ),
    ] = [],  # noqa: B006
    as_json: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--json", help="Print one JSON object that says what was exported.")
    ] = False,
) -> int:
    """Write results to one file: Parquet, CSV, Arrow IPC or JSON Lines, by the ending of its name.

    The file is replaced whole or not at all. A file that is no result is named
    on standard error, and does not stop the others.

    Exit status: 0 all exported, 1 some not, 2 wrong usage, 130 interrupted.
    """
    ending = _check_output(output)
    try:
        names = _names.find(columns) if columns else all_columns()
    except ValueError as error:
        raise UsageError("export", str(error)) from None
    if not names:
        raise UsageError("export", "--columns is empty")
    table = _Table("export", directory, names, where)
    began = time.perf_counter()
    try:
        if table.is_empty:
            table.tell()
            return 1
        width = table.write(output)
        size = os.path.getsize(output)  # noqa: PTH202 - Path("") is the working directory
    except ValueError as error:
        raise UsageError("export", str(error)) from None
    except (LLEMError, OSError) as error:
        ERR.write(f"llem export: {printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        ERR.write("llem export: interrupted\n")
        return 130
    seconds = time.perf_counter() - began
    table.tell()
    if as_json:
        said = {
            "directory": directory,
            "file": output,
            "format": _FORMATS.get(ending, ending[1:]),
            "rows": table.found,
            "columns": width,
            "bytes": size,
            "seconds": seconds,
            "failures": [{"path": path, "message": message} for path, message in table.errors.items()],
        }
        OUT.write(document(said))
    else:
        ERR.write(
            f"{plural(table.found, 'result')} exported to {printable(output)}: {human_bytes(size)}, "
            f"{plural(width, 'column')}, in {human_seconds(seconds)}\n"
        )
    return table.status


def _check_output(output: str) -> str:
    """Refuse what no table can be written to; return its ending."""
    ending = Path(output).suffix.lower()
    if ending not in EXPORT_ENDINGS:
        raise UsageError("export", f"--output {output} ends in none of {', '.join(EXPORT_ENDINGS)}")
    if Path(output).is_dir():
        raise UsageError("export", f"--output {output} is a directory")
    if not Path(output).absolute().parent.is_dir():
        raise UsageError("export", f"--output {output} is in a directory that does not exist")
    return ending
