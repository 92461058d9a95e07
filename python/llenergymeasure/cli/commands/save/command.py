"""`llem save`: save results from files and directories into a store."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llenergymeasure.cli.commands.save.run import Input, Run, is_directory
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.options import (
    FollowLinks,
    Redact,
    Where,
    check_directory,
    check_path,
    given,
    local,
)
from llenergymeasure.cli.terminal.input import STDIN, Record, total_size
from llenergymeasure.cli.terminal.interrupt import Interrupt
from llenergymeasure.cli.terminal.progress import Bar, progress_bar
from llenergymeasure.cli.terminal.stream import OUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def save(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR",
            callback=given,
            show_default=False,
            help="Results: JSON, one per file, or JSON Lines, one per line; - is standard input. Results of "
            "a directory, at any depth, are copied with their power traces.",
        ),
    ],
    output_dir: Annotated[
        str,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            show_default=False,
            callback=given,
            help="The root of the store.",
        ),
    ],
    timeseries: Annotated[
        str | None,
        typer.Option(metavar="FILE", callback=local, help="The power trace (Parquet) of a single result."),
    ] = None,
    with_sidecars: Annotated[
        bool,
        typer.Option(
            "--with-sidecars",
            help="Also save the power trace next to each file: x.parquet for x.json, "
            "and timeseries.parquet for result.json.",
        ),
    ] = False,
    where: Where = [],
    follow_links: FollowLinks = False,
    redact: Redact = False,
    print_paths: Annotated[
        bool, typer.Option("--print-paths", help="Print the path of each saved result, one per line.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object that lists saved results and failures.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress bar and no summary, only errors.")
    ] = False,
) -> int:
    """Save results durably, each in a directory of its own.

    A result that cannot be read or saved is reported on standard error, and does
    not stop the others. A result that counts as saved survives a power cut. A
    result of a directory is skipped if the store has the same record, so that an
    interrupted copy can be repeated.

    Exit status: 0 all saved, 1 some not, 2 wrong usage, 130 interrupted.
    """
    _check_usage(
        files,
        output_dir,
        timeseries,
        where,
        with_sidecars=with_sidecars,
        two_outputs=print_paths and as_json,
    )
    run = Run(output_dir, print_paths=print_paths, follow_links=follow_links, redact=redact)
    records: Iterable[Input] = run.read(files, where, with_sidecars=with_sidecars)
    # Paths on a terminal show progress, and would break the bar.
    bar_wanted = not quiet and not (print_paths and OUT.is_terminal)
    with (
        Interrupt() as interrupt,
        progress_bar("Saving", total_size(files), wanted=bar_wanted, rate=True) as bar,
    ):
        try:
            if timeseries is not None:
                records = _with_timeseries(records, timeseries)
            with _warnings_as_notes(run, bar):
                run.save_all(records, bar, interrupt)
        except KeyboardInterrupt:
            run.tally.interrupted = True
    run.finish(as_json=as_json, quiet=quiet)
    if run.tally.under_way:
        # A normal exit would wait for saves that the user gave up on.
        os._exit(run.status)
    return run.status


def _check_usage(
    files: list[str],
    output_dir: str,
    timeseries: str | None,
    where: list[str],
    *,
    with_sidecars: bool,
    two_outputs: bool,
) -> None:
    if files.count(STDIN) > 1:
        raise UsageError("- (standard input) can be read only once")
    if two_outputs:
        raise UsageError(
            "--print-paths and --json both write to standard output; use --json, which has the paths"
        )
    check_directory(output_dir, "--output-dir", may_be_missing=True)
    if where and (file := next((name for name in files if not is_directory(name)), None)):
        raise UsageError(f"--where selects results of a directory, got the file {file}")
    if timeseries is None:
        return
    if with_sidecars:
        raise UsageError("--timeseries and --with-sidecars cannot be used together")
    if directory := next((name for name in files if is_directory(name)), None):
        raise UsageError(f"--timeseries expects one result in a file, got the directory {directory}")
    check_path(timeseries, "--timeseries")
    if not Path(timeseries).is_file():
        raise UsageError(f"--timeseries {timeseries} is not a file")


def _with_timeseries(records: Iterable[Input], timeseries: str) -> list[Input]:
    """Give the trace to the only record; several records are wrong usage."""
    taken: list[Input] = []
    is_first = True
    for record in records:
        if isinstance(record, Record):
            if not is_first:
                raise UsageError("--timeseries expects one result, got several")
            is_first = False
            taken.append(Record(record.position, record.content, Path(timeseries)))
        else:
            taken.append(record)
    return taken


@contextmanager
def _warnings_as_notes(run: Run, bar: Bar) -> Iterator[None]:
    """Report each warning of the package as one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: run.warn(bar, str(message))
        yield
