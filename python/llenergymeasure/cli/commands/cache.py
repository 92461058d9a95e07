"""`llem cache`: show the cache of the records of object stores, and make it smaller."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from llenergymeasure._format import human_bytes, plural, printable
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.results import _cache

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def cache(
    prune: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            show_default=False,
            help="Remove the oldest files until at most so many bytes are left, as 500M; 0 removes all.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: directory, files, bytes.")
    ] = False,
) -> int:
    """Show the cache of the records that were read of object stores.

    A reading of an object store fetches only the records that the cache does not
    have. It may be removed at any time. LLEM_CACHE_DIR chooses its directory, and
    LLEM_MAX_CACHE_BYTES the most bytes of each bucket (1 GiB).

    Exit status: 0 shown; 2 wrong usage.
    """
    if prune is not None:
        _cache.prune(_to_bytes(prune))
    used = _cache.usage()
    if as_json:
        OUT.write(to_json({"directory": str(used.directory), "files": used.files, "bytes": used.bytes}))
    else:
        size = f"{human_bytes(used.bytes)} in {plural(used.files, 'file')}"
        OUT.write(f"{printable(str(used.directory))}: {size if used.files else 'empty'}\n")
    return 0


def _to_bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)B?", text, re.ASCII)
    if found is None:
        raise UsageError(f"--prune: expected a number of bytes, as 500M or 2G, got {text!r}")
    return int(float(found[1]) * _UNITS[found[2]])
