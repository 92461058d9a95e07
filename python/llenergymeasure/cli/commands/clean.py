"""`llem clean`: remove the leftovers of interrupted saves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from llenergymeasure._format import plural, printable
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.options import Directory, check_directory, is_url
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.results.clean import to_age
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from llenergymeasure.results.clean import Cleaning
    from llenergymeasure.results.verify import Finding


def clean(
    directory: Directory,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            show_default="1d, and 7d in an object store",
            help="Least age of a leftover: 90s, 30m, 12h, 1d, 2w.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Remove them; without this option, only list them.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with the outcome for each leftover.")
    ] = False,
) -> int:
    """Remove the leftovers of interrupted saves; never remove a result.

    Leftovers are empty directories, power traces without a record, and staged
    files. The command is safe while others save.

    Exit status: 0 done, 1 some could not be removed, 2 wrong usage,
    130 interrupted.
    """
    check_directory(directory)
    if older_than is None:
        older_than = "7d" if is_url(directory) else "1d"
    try:
        age = to_age(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None
    cleaning = ResultStore(directory).clean(older_than=age, dry_run=not yes)
    if as_json:
        OUT.write(to_json(_as_json(cleaning, directory, older_than)))
    else:
        _print(cleaning, directory, older_than)
    return 1 if cleaning.kept else 0


def _print(cleaning: Cleaning, directory: str, older_than: str) -> None:
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
            f"{plural(len(cleaning.young), 'directory')} "
            f"younger than {older_than} left alone: a save may still be running there.\n"
        )
    if not (cleaning.removed or cleaning.restored or cleaning.kept):
        OUT.write(f"Nothing to clean in {printable(directory)}.\n")
    elif cleaning.dry_run and (cleaning.removed or cleaning.restored):
        again = f"llem clean {shlex.quote(directory)} --older-than {older_than} --yes"
        ERR.write(f"Nothing was changed. To remove them: {printable(again)}\n")


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
