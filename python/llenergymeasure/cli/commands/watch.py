"""`llem watch`: show how far a sweep is, until Ctrl-C."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llenergymeasure._format import ABSENT, format_number, plural, printable
from llenergymeasure.cli.query.options import Directory, FollowLinks, check_directory
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.results._paths import located
from llenergymeasure.results._progress import SweepProgress

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHOWN = 5
_COLUMNS = ("path", "experiment_id", "effective_config.model", "total_energy_j", "avg_energy_per_token_j")
_SHARE = 10
"""A listing takes one part in so many of the time."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def watch(
    directory: Directory,
    total: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default=False, help="The runs of the sweep, for the time that is left."
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="The time between two listings, at least.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the state once, and end.")] = False,
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object on a line for each change.")
    ] = False,
) -> int:
    """Show how far a sweep is, until Ctrl-C.

    It shows the number of results and failures, the results per minute, the time
    that is left of --total runs, and the last five results. A listing counts them,
    and only the newest records are read; a large store is listed less often.
    Elsewhere than on a terminal, a line is printed for each change.

    Exit status: 0 with --once, or where the reader of the lines ends; 1 the store
    cannot be read; 2 wrong usage; 130 ended by Ctrl-C.
    """
    check_directory(directory, may_be_missing=True)
    root = located(directory)

    def look() -> tuple[SweepProgress, float]:
        began = time.monotonic()
        progress = SweepProgress.of(root, _COLUMNS, shown=_SHOWN, follow_links=follow_links)
        return progress, max(interval, _SHARE * (time.monotonic() - began))

    if as_json or once or not OUT.is_terminal:
        return _print_changes(directory, total, look, once=once, as_json=as_json)
    from rich.live import Live  # noqa: PLC0415 - slow to load

    with Live(console=OUT.console(), auto_refresh=False) as live:
        while True:
            progress, pause = look()
            live.update(_screen(directory, progress, total), refresh=True)
            time.sleep(pause)


def _print_changes(
    directory: str,
    total: int | None,
    look: Any,  # noqa: ANN401 - a function of this module
    *,
    once: bool,
    as_json: bool,
) -> int:
    last: tuple[int, int] | None = None
    while True:
        progress, pause = look()
        if (progress.results, progress.failures) != last:
            last = progress.results, progress.failures
            line = json.dumps(_as_json(directory, progress, total)) if as_json else _line(progress, total)
            OUT.write(f"{line}\n")
        if once or OUT.is_gone:
            return 0
        time.sleep(pause)


def _line(progress: SweepProgress, total: int | None) -> str:
    now = datetime.now(timezone.utc).astimezone().isoformat(" ", "seconds")
    newest = f"; last: {printable(progress.newest[0]['experiment_id'])}" if progress.newest else ""
    return f"{now}  {_summary(progress, total)}{newest}"


def _summary(progress: SweepProgress, total: int | None) -> str:
    done = plural(progress.results, "result")
    parts = [done, f"{progress.failures:,} failed"]
    if progress.per_second is not None:
        parts.append(f"{format_number(60 * progress.per_second)} results/min")
    if total is not None:
        share = 100 * (progress.results + progress.failures) // total
        left = progress.seconds_left(total)
        parts.append(f"{share} % of {total:,} runs")
        parts.append("time left unknown" if left is None else f"{_duration(left)} left" if left else "done")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        hours, minutes = divmod(round(seconds / _MINUTE), 60)
        return f"{hours} h {minutes:02} min"
    return f"{seconds / _DAY:.1f} days"


def _screen(directory: str, progress: SweepProgress, total: int | None) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415 - slow to load
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False)
    for head in ("newest results", "model", "energy [J]", "J/token"):
        is_number = head not in ("newest results", "model")
        table.add_column(head, justify="right" if is_number else "left", overflow="ellipsis", no_wrap=True)
    for row in progress.newest:
        _, name, model, energy, per_token = (row[column] for column in _COLUMNS)
        texts = (printable(name), ABSENT if model is None else printable(_plain(model)))
        table.add_row(*map(Text, texts), format_number(energy), format_number(per_token))
    title = Text(f"{printable(directory)}: {_summary(progress, total)}")
    return Group(title, table) if progress.newest else title


def _plain(text: str) -> str:
    """Return the text of a setting, which a scan without types has as JSON."""
    value = json.loads(text)
    return value if isinstance(value, str) else text


def _as_json(directory: str, progress: SweepProgress, total: int | None) -> dict[str, Any]:
    return {
        "directory": directory,
        "results": progress.results,
        "failures": progress.failures,
        "results_per_second": progress.per_second,
        "total": total,
        "seconds_left": None if total is None else progress.seconds_left(total),
        "newest": [{"path": row["path"], "experiment_id": row["experiment_id"]} for row in progress.newest],
    }
