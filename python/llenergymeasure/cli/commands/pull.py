"""`llem pull`: copy results from an object store."""

from __future__ import annotations

from typing import Annotated

import typer

from llenergymeasure.cli.query.copying import AsJson, DryRun, Quiet, copy_store
from llenergymeasure.cli.query.options import Redact, Url, Where, check_directory, local


def pull(
    url: Url,
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            show_default=False,
            help="The directory to copy to; it is created where it is missing.",
            callback=local,
        ),
    ],
    where: Where = [],
    dry_run: DryRun = False,
    redact: Redact = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Copy results with their power traces from an object store to a directory.

    Nothing is overwritten: where a name is taken, the copy takes a later one. A
    result is skipped if the directory has the same record, so that an
    interrupted copy can be repeated. Each power trace is compared with its source.

    Exit status: 0 the directory has all of them, 1 some were not copied, 2 wrong
    usage, 130 interrupted.
    """
    check_directory(directory, may_be_missing=True)
    return copy_store(
        url,
        directory,
        where,
        dry_run=dry_run,
        redact=redact,
        follow_links=False,
        as_json=as_json,
        quiet=quiet,
    )
