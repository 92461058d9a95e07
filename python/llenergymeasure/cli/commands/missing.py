"""`llem missing`: print the configurations that a sweep still has to run."""

from __future__ import annotations

import json
import os
import re
from typing import Annotated

import typer

from llenergymeasure._format import plural, printable
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.configurations import read_configurations
from llenergymeasure.cli.query.options import FollowLinks, check_directory, given, is_url
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.results.store import ResultStore

_SHARD = re.compile(r"(\d+)/(\d+)")


def missing(
    configs: Annotated[
        str,
        typer.Argument(
            metavar="CONFIGS",
            show_default=False,
            help="The configurations of the sweep: a JSON array (.json), an object per line (.jsonl), a YAML "
            "list (.yaml), or a table with a column for each key (.csv); - reads JSON from standard input.",
        ),
    ],
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR",
            show_default=False,
            help="The directory of the results, which need not exist; or a URL, as s3://bucket/results.",
            callback=given,
        ),
    ] = None,
    output_dir: Annotated[
        str | None,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            show_default=False,
            help="The same as the argument DIR, as llem save has it.",
            callback=given,
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", "-r", metavar="N", min=1, help="The runs of each configuration.")
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            show_default=False,
            help="Print only part I of N parts of the sweep, counted from 0. The parts of one CONFIGS and "
            "--repeats are disjoint and about equal.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Print runs that failed again; otherwise they are done.")
    ] = False,
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON array, and not an object per line.")
    ] = False,
) -> int:
    """Print the configurations that a sweep still has to run.

    Each line is the JSON of one run, and a configuration that lacks several runs
    has several lines. Results and failures count, by their hash or by an equal
    configuration. In a .csv, a cell is a JSON value (8, 0.5, true, null, [1, 2])
    or else a text, and an empty cell leaves its key out.

    Exit status: 0 printed, also if nothing is missing; 1 CONFIGS or DIR cannot be
    read; 2 wrong usage; 130 interrupted.
    """
    if (directory is None) == (output_dir is None):
        raise UsageError("expected the directory of the results once, as DIR or as --output-dir DIR")
    root = str(directory or output_dir)
    check_directory(root, may_be_missing=True)
    asked = read_configurations(configs)
    part = None if shard is None else _parsed(shard)
    if not is_url(root) and not os.path.lexists(root):
        ERR.report(f"no directory {printable(root)} yet: every run is missing")
    store = ResultStore(root, follow_links=follow_links)
    lacking = store.missing(asked, repeats, part, retry_failed=retry_failed)
    if as_json:
        OUT.write(to_json(lacking))
    else:
        OUT.write("".join(f"{json.dumps(config, ensure_ascii=False)}\n" for config in lacking))
    if OUT.is_terminal:
        ERR.report(f"{plural(len(lacking), 'run')} missing")
    return 0


def _parsed(shard: str) -> tuple[int, int]:
    """Return the number of a shard and the number of shards.

    Raises:
        UsageError: They are not two numbers, or the first is not one of the shards.
    """
    match = _SHARD.fullmatch(shard.strip())
    number, count = (int(part) for part in match.groups()) if match else (0, 0)
    if number >= count:
        last = f" from 0/{count} to {count - 1}/{count}" if count else " such as 3/16"
        raise UsageError(f"--shard expects I/N{last}, got {shard!r}; count the shards from 0")
    return number, count
