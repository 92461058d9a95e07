"""The report of the long form of the crash tests: counts by layer, durations and skipped tests."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

REPORT = Path(__file__).parents[2] / ".make" / "crash-report.md"


class Measurements:
    """Counts of states, faults and findings, by layer, row and column."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, dict[str, int | str]]] = {}

    def note(self, layer: str, row: str, column: str, value: int | str) -> None:
        """Keep a measurement."""
        self.layers.setdefault(layer, {}).setdefault(row, {})[column] = value

    def count(self, layer: str, row: str, column: str, number: int) -> None:
        """Add to a measurement."""
        before = self.layers.get(layer, {}).get(row, {}).get(column, 0)
        self.note(layer, row, column, int(before) + number)


def write_report(measurements: Measurements, terminal: Any, exit_status: int) -> None:
    """Write the report of a session, and print where it is."""
    stats: dict[str, list[Any]] = terminal.stats
    reports = [report for kind in ("passed", "failed", "error", "skipped") for report in stats.get(kind, [])]
    seconds: dict[str, float] = {}
    for report in reports:
        name = report.nodeid.partition("::")[0]
        seconds[name] = seconds.get(name, 0) + report.duration
    skips = sorted({f"{report.nodeid}: {report.longrepr[2]}" for report in stats.get("skipped", [])})
    command = f"LLEM_CRASH=long python -m pytest {' '.join(terminal.config.invocation_params.args)}"
    counts = {kind: len(stats[kind]) for kind in ("passed", "failed", "error", "skipped") if kind in stats}
    tests = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    system = f"{platform.system()} {platform.release()}"
    lines = [
        "# Crash tests, the long form",
        "",
        f"- `{command}`, exit status {int(exit_status)}: {tests}",
        f"- {system}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"- {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "",
    ]
    for layer, rows in measurements.layers.items():
        lines += [f"## {layer}", "", *_table(rows), ""]
    lines += _mutation_score(measurements.layers.get("Mutants", {}))
    rows = {name: {"seconds": f"{spent:.1f}"} for name, spent in sorted(seconds.items())}
    lines += ["## Durations", "", *_table(rows), "", "## Skipped", ""]
    lines += [f"- {skip}" for skip in skips] or ["Nothing."]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n")
    terminal.write_line(f"the report is in {REPORT.relative_to(REPORT.parents[1])}")


def _mutation_score(mutants: Mapping[str, Mapping[str, int | str]]) -> list[str]:
    kinds = [str(verdict).partition(" ")[0] for row in mutants.values() for verdict in row.values()]
    if not kinds:
        return []
    caught, harmless = kinds.count("caught:"), kinds.count("no")
    score = f"{caught} of {len(kinds) - harmless} caught; {harmless} more lose nothing where they are"
    return [f"Mutation score: {score}.", ""]


def _table(rows: Mapping[str, Mapping[str, int | str]]) -> list[str]:
    """Lay out measurements as a table of Markdown."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    cells = ((name, (str(row.get(column, "")) for column in columns)) for name, row in rows.items())
    return lines + [f"| {name} | {' | '.join(values)} |" for name, values in cells]
