"""`llem verify`: check a store for damage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from llenergymeasure._format import human_seconds, plural, printable
from llenergymeasure.cli.query.options import Directory, FollowLinks, check_directory
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.progress import progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from llenergymeasure.results.verify import Finding, Verification


def verify(
    directory: Directory,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Validate each record against the schema, report implausible numbers and credentials, and "
            "read each power trace to its last page.",
        ),
    ] = False,
    follow_links: FollowLinks = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the findings.")] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print no progress bar and no summary, only damage."),
    ] = False,
) -> int:
    """Check every directory of results, and list damage.

    The leftovers of interrupted saves are listed too, but do not count as
    damage; see llem clean. Nor do the implausible numbers that --deep reports,
    such as a negative energy, and the credentials in configurations, such as the
    value of an api_key.

    Exit status: 0 every result is complete and has its power trace, 1 some are
    not, 2 wrong usage, 130 interrupted.
    """
    check_directory(directory)
    began = time.perf_counter()
    with progress_bar("Verifying", None, wanted=not quiet, done="checked") as bar:
        found = ResultStore(directory, follow_links=follow_links).verify(deep=deep, progress=bar.reach)
    seconds = time.perf_counter() - began
    if as_json:
        OUT.write(to_json(_as_json(found, directory, seconds)))
    else:
        _print(found, seconds, quiet=quiet)
    return 0 if found.ok else 1


def _print(found: Verification, seconds: float, *, quiet: bool) -> None:
    wrong = (("damaged", found.damaged), ("sidecar missing", found.missing_sidecars))
    harmless = (
        ("implausible", found.implausible),
        ("credential", found.secrets),
        ("incomplete", found.incomplete),
        ("foreign", found.foreign),
        ("link", found.links),
    )
    for label, findings in (*wrong, *(() if quiet else harmless)):
        for path, problem in findings:
            OUT.write(f"{label:<15}  {printable(str(path))}: {printable(problem)}\n")
    if quiet:
        return
    seen = plural(found.complete + len(found.damaged), "result")
    depth = "verified to the last page" if found.deep else "verified"
    OUT.write(f"{seen} {depth} in {human_seconds(seconds)}: {found}\n")
    if found.incomplete:
        ERR.write(
            f"Incomplete directories are leftovers of interrupted saves, or saves in progress; "
            f"list the leftovers with: llem clean {printable(str(found.root))}\n"
        )


def _as_json(found: Verification, directory: str, seconds: float) -> dict[str, object]:
    def listed(findings: list[Finding]) -> list[dict[str, str]]:
        return [{"path": str(path), "problem": problem} for path, problem in findings]

    return {
        "directory": directory,
        "ok": found.ok,
        "deep": found.deep,
        "complete": found.complete,
        "failures": found.failures,
        "damaged": listed(found.damaged),
        "missing_sidecars": listed(found.missing_sidecars),
        "implausible": listed(found.implausible),
        "secrets": listed(found.secrets),
        "incomplete": listed(found.incomplete),
        "foreign": listed(found.foreign),
        "links": listed(found.links),
        "seconds": seconds,
    }
