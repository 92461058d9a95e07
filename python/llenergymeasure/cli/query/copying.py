"""The copies of `llem push` and `llem pull`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from llenergymeasure._format import human_seconds, printable
from llenergymeasure.cli.query.reading import usage_errors
from llenergymeasure.cli.query.where import conditions
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.progress import progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.results._field_errors import first_of
from llenergymeasure.results.copying import Copying, CopyInterrupted
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from llenergymeasure.types import ResultPath

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Copy nothing; list the results that would be copied.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object with the outcome for each result.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress bar, no list and no summary, only failures.")
]


def copy_store(  # noqa: PLR0913 - the options of two commands
    origin: str,
    target: str,
    where: list[str],
    *,
    dry_run: bool,
    redact: bool,
    follow_links: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Copy the results of one root to another, print the outcome, and return the exit status."""
    began = time.perf_counter()
    source, store = ResultStore(origin, follow_links=follow_links), ResultStore(target)
    unconfirmed: dict[ResultPath, ResultPath] | None = None
    with progress_bar("Copying", None, wanted=not quiet, rate=True, done="copied") as bar:
        try:
            with usage_errors():
                chosen = conditions(origin, where)
                copying = store.copy_from(
                    source, where=chosen, redact=redact, dry_run=dry_run, progress=bar.reach
                )
        except CopyInterrupted as interrupt:
            copying, unconfirmed = interrupt.copying, interrupt.unconfirmed
    seconds = time.perf_counter() - began
    if as_json:
        OUT.write(to_json(_as_json(copying, origin, target, seconds, unconfirmed)))
    _print(copying, target, seconds, unconfirmed, listed=not (as_json or quiet))
    if unconfirmed is not None:
        return 130
    return 0 if copying.ok else 1


def _print(
    copying: Copying,
    target: str,
    seconds: float,
    unconfirmed: dict[ResultPath, ResultPath] | None,
    *,
    listed: bool,
) -> None:
    if listed:
        labels = ("would copy", "would copy") if copying.dry_run else ("copied", "renamed")
        for path, copy in copying.copied.items():
            label = labels[path in copying.renamed]
            OUT.write(f"{label:<10}  {_shown(path)}" + ("\n" if copying.dry_run else f" -> {_shown(copy)}\n"))
        for path, reason in copying.skipped.items():
            OUT.write(f"{'skipped':<10}  {_shown(path)}: {printable(reason)}\n")
        for path, copy in (unconfirmed or {}).items():
            OUT.write(f"{'in flight':<10}  {_shown(path)} -> {_shown(copy)}\n")
    for path, error in copying.failed.items():
        ERR.report(f"{_shown(path)}: {printable(_reason(error))}")
    renamed = f" ({len(copying.renamed):,} renamed)" if copying.renamed else ""
    summary = f"{copying}{renamed} in {human_seconds(seconds)}, to {printable(target)}\n"
    if unconfirmed is not None:
        in_flight = f"{len(unconfirmed):,} in flight may be there; " if unconfirmed else ""
        ERR.write(f"Interrupted: {in_flight}{summary}")
    elif listed:
        OUT.write(summary if copying.copied or copying.skipped or copying.failed else "No results to copy.\n")


def _shown(path: ResultPath) -> str:
    return printable(str(path.parent))


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_of(error.errors(include_url=False, include_input=False))
    return str(error)


def _as_json(
    copying: Copying,
    origin: str,
    target: str,
    seconds: float,
    unconfirmed: dict[ResultPath, ResultPath] | None,
) -> dict[str, object]:
    return {
        "from": origin,
        "to": target,
        "ok": copying.ok and unconfirmed is None,
        "dry_run": copying.dry_run,
        "interrupted": unconfirmed is not None,
        "copied": [
            {"path": str(path), "copy": None if copying.dry_run else str(copy)}
            for path, copy in copying.copied.items()
        ],
        "renamed": {str(path): name for path, name in copying.renamed.items()},
        "skipped": [{"path": str(path), "reason": reason} for path, reason in copying.skipped.items()],
        "unconfirmed": [{"path": str(path), "copy": str(copy)} for path, copy in (unconfirmed or {}).items()],
        "failed": [{"path": str(path), "error": _reason(error)} for path, error in copying.failed.items()],
        "seconds": seconds,
    }
