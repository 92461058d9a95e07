"""The failures of a store for a command: their list, and their number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from llenergymeasure._format import ABSENT, plural, printable
from llenergymeasure.cli.query.options import check_directory
from llenergymeasure.cli.query.reading import given_path, usage_errors
from llenergymeasure.cli.query.where import conditions
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.cli.terminal.table import Column, print_table
from llenergymeasure.errors import LLEMError
from llenergymeasure.results._paths import located
from llenergymeasure.results._plan import scan_results
from llenergymeasure.results.failures import count_failures

__all__ = ["list_failures", "report_failures"]

_COLUMNS = ("effective_config.model", "backend", "error_type", "message", "end_time", "host", "path")
_HEADS = ("model", "backend", "error", "message", "when", "host", "path")
_FLEXIBLE = 10


def list_failures(  # noqa: PLR0913 - the options of a command
    directory: str,
    where: Sequence[str],
    *,
    newest: int | None,
    limit: int | None,
    is_reversed: bool,
    follow_links: bool,
    as_json: bool,
) -> int:
    """Print the failures of a directory as a table, and return the exit status; see `llem ls --failed`."""
    check_directory(directory)
    names = (*_COLUMNS, "start_time", "measurement_config_hash", "effective_config") if as_json else _COLUMNS
    with usage_errors():
        scan = scan_results(
            located(directory),
            names,
            where=conditions(directory, where),
            config="json",
            optional=["config.model"],
            on_error="collect",
            full_names=True,
            infer=False,
            follow_links=follow_links,
            failures=True,
        )
        if newest is not None:
            scan = scan.newest(newest)
        rows = [row for batch in scan for row in zip(*batch.to_pydict().values(), strict=True)]
    rows = rows[::-1] if is_reversed else rows
    shown = [dict(zip(names, row, strict=True)) for row in rows[:limit]]
    for row in shown:
        row["path"] = given_path(directory, row["path"])
        row[_COLUMNS[0]] = _loaded(row[_COLUMNS[0]])
        if as_json:
            row["effective_config"] = _loaded(row["effective_config"])
    errors = list(scan.errors.values())
    if as_json:
        OUT.write(to_json([*shown, *({"error": str(error)} for error in errors)]))
    elif shown:
        print_table(
            [
                Column(
                    head, [_cell(row[name]) for row in shown], least=_FLEXIBLE if head != "backend" else None
                )
                for head, name in zip(_HEADS, _COLUMNS, strict=True)
            ]
        )
    for error in errors:
        ERR.report(str(error))
    if len(rows) > len(shown):
        ERR.report(f"{len(shown):,} of {plural(len(rows), 'failure')} shown")
    elif not rows and not errors:
        ERR.report(f"no failure in {printable(directory)}{' meets the conditions' if where else ''}")
    return 1 if errors else 0


def report_failures(directory: str, *, follow_links: bool) -> int:
    """Report the number of failures on standard error if there is one; return it."""
    try:
        count = count_failures(located(directory), follow_links=follow_links)
    except LLEMError:  # the reading has reported it
        return 0
    if count:
        ERR.report(f"{plural(count, 'run')} failed; list with: llem ls --failed {printable(directory)}")
    return count


def _loaded(text: object) -> object:
    return json.loads(text) if isinstance(text, str) else text


def _cell(value: object) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "minutes" if OUT.is_terminal else "seconds")
    return str(value)
