"""`llem export`: write the results below a directory to one file."""

from __future__ import annotations

import os
import time
from enum import Enum
from typing import Annotated

import typer

from llenergymeasure._format import human_bytes, human_seconds, plural, printable
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.columns import split_names
from llenergymeasure.cli.query.options import Columns, Directory, FollowLinks, Where, local
from llenergymeasure.cli.query.reading import Reading, usage_errors
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.output import check_output
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.results._columns import all_columns
from llenergymeasure.results.scan import EXPORT_ENDINGS


class ConfigForm(str, Enum):
    """The forms of the configuration; typer makes the choices of an option of them."""

    columns = "columns"
    json = "json"
    none = "none"


_FEWER_KEYS = (
    "name some with -c, or use --config json for one column of JSON texts, or --config none for no column"
)
_FORMATS = {".ndjson": "jsonl", ".feather": "arrow", ".ipc": "arrow"}


class _Table(Reading):
    """Results that are written to a file."""

    is_written = False
    """False if there were no rows, and an old file is kept."""

    def write(self, file: str, *, excel: bool) -> int:
        """Write the rows, and return the number of columns."""
        with self._open, usage_errors(_FEWER_KEYS):
            self.found, self.is_written = self._scan.write_file(file, excel=excel)
        return len(self._scan.schema)

    @property
    def is_empty(self) -> bool:
        """True if there is no result file, valid or invalid."""
        return not self._has_results()


def export(
    directory: Directory,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=local,
            show_default=False,
            help=f"The file: {', '.join(EXPORT_ENDINGS)}.",
        ),
    ],
    where: Where = [],
    columns: Columns = [],
    follow_links: FollowLinks = False,
    config: Annotated[
        ConfigForm,
        typer.Option(
            "--config",
            help="The configuration: a column for each key, one column of JSON texts, or none.",
        ),
    ] = ConfigForm.columns,
    excel: Annotated[
        bool,
        typer.Option(
            "--excel",
            help="For a .csv that a spreadsheet opens: put an apostrophe before a text that begins with "
            "= + - @ or a tab, so that it is not a formula. Numbers stay numbers.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object that describes the export; bytes is null if an old file is kept.",
        ),
    ] = False,
) -> int:
    """Write results to one file: Parquet, CSV, Arrow IPC or JSON Lines, by its suffix.

    The file is replaced completely or not at all, and never by a table without
    rows. An invalid result file is reported on standard error, and does not stop
    the others.

    Exit status: 0 all exported; 1 some not, or nothing to replace the file with;
    2 wrong usage; 130 interrupted.
    """
    ending = check_output("--output", output, EXPORT_ENDINGS)
    names = split_names(columns) if columns else all_columns()
    if not names:
        raise UsageError("--columns is empty")
    if excel and ending != ".csv":
        raise UsageError(f"--excel expects a file that ends in .csv, got {output}")
    table = _Table(directory, names, where, config=config.value, follow_links=follow_links)
    began = time.perf_counter()
    try:
        if table.is_empty:
            table.report()
            return 1
        width = table.write(output, excel=excel)
        size = os.path.getsize(output)  # noqa: PTH202 - Path("") is the working directory
    except ValueError as error:
        raise UsageError(str(error)) from None
    seconds = time.perf_counter() - began
    table.report()
    if as_json:
        document = {
            "directory": directory,
            "file": output,
            "format": _FORMATS.get(ending, ending[1:]),
            "rows": table.found,
            "columns": width,
            "bytes": size if table.is_written else None,
            "seconds": seconds,
            "failures": [{"path": path, "message": message} for path, message in table.errors.items()],
        }
        OUT.write(to_json(document))
    if not table.is_written:
        ERR.report(f"nothing exported: there are no rows; {output} is unchanged")
        return 1
    if not as_json:
        ERR.write(
            f"{plural(table.found, 'result')} exported to {printable(output)}: {human_bytes(size)}, "
            f"{plural(width, 'column')}, in {human_seconds(seconds)}\n"
        )
    return table.status
