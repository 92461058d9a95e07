"""`llem clean`: what saves that were cut short have left goes away."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llenergymeasure.cli.terminal.stream import ERR, OUT, UsageError, plural, printable
from llenergymeasure.errors import PersistenceError
from llenergymeasure.results.clean import to_age
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from llenergymeasure.results.clean import Cleaning
    from llenergymeasure.results.verify import Finding

__all__ = ["clean"]


def clean(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", show_default=False, help="Where the results are, at any depth.")
    ],
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE", help="How long nobody wrote to it: 90s, 30m, 12h, 1d, 2w."
        ),
    ] = "1d",
    yes: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--yes", "-y", help="Really remove it. Without this, only say what would go.")
    ] = False,
    as_json: Annotated[  # noqa: FBT002
        bool, typer.Option("--json", help="Print one JSON object that says what became of what was found.")
    ] = False,
) -> int:
    """Remove what saves that were cut short have left; results are never removed.

    That is: empty directories, power traces without a record, temporary
    files. It is safe while others save.

    Exit status: 0 all done, 1 some of it could not be removed, 2 wrong usage,
    130 interrupted.
    """
    if not Path(directory).is_dir():
        raise UsageError("clean", f"{directory} is not a directory")
    try:
        age = to_age(older_than)
    except ValueError as error:
        raise UsageError("clean", f"--older-than: {error}") from None
    try:
        cleaning = ResultStore(directory).clean(older_than=age, dry_run=not yes)
    except PersistenceError as error:
        ERR.write(f"llem clean: {printable(str(error))}\n")
        return 1
    if as_json:
        OUT.write(json.dumps(_as_json(cleaning, directory, older_than), indent=2) + "\n")
    else:
        _tell(cleaning, directory, older_than)
    return 1 if cleaning.kept else 0


def _tell(cleaning: Cleaning, directory: str, older_than: str) -> None:
    would = "would " if cleaning.dry_run else ""
    lines = (
        ("would remove" if cleaning.dry_run else "removed", cleaning.removed),
        (f"{would}put back", cleaning.restored),
        ("kept", cleaning.kept),
    )
    for label, findings in lines:
        for path, what in findings:
            OUT.write(f"{label}  {printable(str(path))}: {printable(what)}\n")
    if cleaning.young:
        ERR.write(
            f"{plural(len(cleaning.young), 'directory').replace('directorys', 'directories')} "
            f"younger than {older_than} left alone: a save may be at work there.\n"
        )
    if not (cleaning.removed or cleaning.restored or cleaning.kept):
        OUT.write(f"Nothing to clean in {printable(directory)}.\n")
    elif cleaning.dry_run and (cleaning.removed or cleaning.restored):
        again = f"llem clean {shlex.quote(directory)} --older-than {older_than} --yes"
        ERR.write(f"Nothing was changed. To do it: {printable(again)}\n")


def _as_json(cleaning: Cleaning, directory: str, older_than: str) -> dict[str, object]:
    def listed(findings: list[Finding]) -> list[dict[str, str]]:
        return [{"path": str(path), "what": what} for path, what in findings]

    return {
        "directory": directory,
        "dry_run": cleaning.dry_run,
        "older_than": older_than,
        "removed": listed(cleaning.removed),
        "restored": listed(cleaning.restored),
        "young": listed(cleaning.young),
        "kept": listed(cleaning.kept),
    }
