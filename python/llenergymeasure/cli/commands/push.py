"""`llem push`: copy results to an object store."""

from __future__ import annotations

from llenergymeasure.cli.query.copying import AsJson, DryRun, Quiet, copy_store
from llenergymeasure.cli.query.options import Directory, FollowLinks, Redact, Url, Where, check_directory


def push(
    directory: Directory,
    url: Url,
    where: Where = [],
    dry_run: DryRun = False,
    follow_links: FollowLinks = False,
    redact: Redact = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Copy results with their power traces from a directory to an object store.

    Nothing is overwritten: where a name is taken, the copy takes a later one. A
    result is skipped if the store has the same record, so that an interrupted
    copy can be repeated. Each power trace is compared with its source.

    Exit status: 0 the store has all of them, 1 some were not copied, 2 wrong
    usage, 130 interrupted.
    """
    check_directory(directory)
    return copy_store(
        directory,
        url,
        where,
        dry_run=dry_run,
        redact=redact,
        follow_links=follow_links,
        as_json=as_json,
        quiet=quiet,
    )
