"""`llem check`: state what an object store can promise."""

from __future__ import annotations

from typing import Annotated

import typer

from llenergymeasure._format import printable
from llenergymeasure.cli.query.options import Url
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.results.store import ResultStore


def check(
    url: Url,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the outcome.")] = False,
) -> int:
    """State what an object store can promise, and what a role lacks.

    Some stores overwrite objects that they are asked to create, and some let
    several of many concurrent saves of one name win. The command runs races with
    objects of its own below .llem-check-*, which it removes. A bucket that passed
    is remembered for this user, so that saves to it warn no more.

    Exit status: 0 results can be saved and none is overwritten, 1 not so, or the
    store cannot be used, 2 wrong usage, 130 interrupted.
    """
    found = ResultStore(url).check()
    if as_json:
        fields = (
            "overwrites",
            "savers",
            "races",
            "winners",
            "keeps_metadata",
            "lists_at_once",
            "lacks",
            "left",
        )
        outcome = {name: getattr(found, name) for name in fields}
        OUT.write(to_json({"url": url, "ok": found.ok, "promise": str(found)} | outcome))
    else:
        OUT.write(f"{printable(str(found))}\n")
    return 0 if found.ok else 1
