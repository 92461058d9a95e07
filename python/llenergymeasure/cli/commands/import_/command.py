"""`llem import`: import the results of other tools into a store."""

from __future__ import annotations

from typing import Annotated

import typer

from llenergymeasure.cli.commands.import_.dry_run import show_files
from llenergymeasure.cli.commands.import_.run import Run
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.options import Redact, check_directory, given, local
from llenergymeasure.cli.query.power_logs import (
    PowerColumns,
    PowerGpus,
    PowerInterval,
    PowerOptions,
    PowerStart,
    PowerZone,
)
from llenergymeasure.importers import find


def import_(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            callback=local,
            show_default=False,
            help="Files that other tools wrote. Their formats are detected by content.",
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
    ] = "",
    format_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            show_default=False,
            help="The format of all files: vllm, sglang, aiperf, genai-perf, optimum-benchmark, codecarbon, "
            "llenergymeasure, results, export, or one of another package.",
        ),
    ] = None,
    power: Annotated[
        str | None,
        typer.Option(
            metavar="TRACE",
            callback=local,
            help="A power log. It gives the energy of results that state none, over their own times.",
        ),
    ] = None,
    power_columns: PowerColumns = None,
    power_gpus: PowerGpus = None,
    power_zone: PowerZone = None,
    power_start: PowerStart = None,
    power_interval: PowerInterval = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Save nothing; show which field each value goes to, and what is left over."
        ),
    ] = False,
    redact: Redact = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress bar and no summary, only errors.")
    ] = False,
) -> int:
    """Import the results of other tools: vLLM, SGLang, AIPerf, optimum-benchmark, CodeCarbon.

    Units are converted exactly. Data without a field is kept in
    effective_config.imported_from. Nothing is invented: energy that a source does
    not state is NaN, unless a power log has it. A file or a record that cannot be
    imported is reported on one line, and does not stop the others.

    Exit status: 0 all imported, 1 some not, 2 wrong usage, 130 interrupted.
    """
    if format_ is not None:
        try:
            find(format_)
        except ValueError as error:
            raise UsageError(f"--from {error}") from None
    if not output_dir and not dry_run:
        raise UsageError("--output-dir is missing; name the root of the store, or use --dry-run")
    if output_dir:
        check_directory(output_dir, "--output-dir", may_be_missing=True)
    options = PowerOptions(power_columns, power_gpus, power_zone, power_start, power_interval)
    if power is None and any(option is not None for option in options):
        raise UsageError("--power is missing; the options of a power log need one")
    log = None if power is None else options.read(power)
    if dry_run:
        return show_files(files, format_, log, as_json=as_json)
    return Run(output_dir, format_, log, redact=redact).save_all(files, as_json=as_json, quiet=quiet)
