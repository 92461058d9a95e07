"""How `llem bench` shows what it found out: what the directory is on, and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llenergymeasure.cli.commands.bench.contenders import DUMP, DURABLE_FLOOR, FLOOR, LOAD, READ, Way
from llenergymeasure.cli.terminal.stream import OUT, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from llenergymeasure.cli.commands.bench.measurements import Figures, Report

__all__ = ["show"]

_LONGEST_OPTIONS = 120
_FOOT = (
    "floor: mkdir, create, write and rename in Rust's std, one result after the other; the durable floor "
    "also flushes the file, its directory and the one above. dump: pydantic's. batch: the results of one "
    "call of save_many, or between two flushes of a writer. Figures are medians of {rounds} rounds; ratios "
    "are medians of the ratios within a round."
)


def show(report: Report) -> None:
    """Print all of it, within 80 columns where there are no more."""
    from rich.text import Text  # noqa: PLC0415 - slow to load, and --json needs none of it

    doubts = Text("\n".join(map(printable, report.doubts)), style="bold red")
    OUT.print(
        Text("What persistence costs here", style="bold"),
        _about(report),
        *(("", doubts, "") if doubts else ("",)),
        _table(report.figures),
        "",
        _finding(report),
        "",
        Text(_FOOT.format(rounds=report.figures.rounds), style="dim"),
    )


def _about(report: Report) -> Table:
    from rich.table import Table  # noqa: PLC0415

    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for name, text in _facts(report):
        lines.add_row(f"  {name}", printable(text))
    return lines


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    disk, versions = report.disk, report.versions
    yield "directory", str(report.directory)
    if disk.mount is None:
        yield "file system", "unknown"
    else:
        yield "file system", f"{disk.mount.kind} on {disk.mount.device}, mounted at {disk.mount.point}"
        options = f"{disk.mount.options}; {disk.mount.super_options}"
        yield "options", options if len(options) <= _LONGEST_OPTIONS else f"{options[:_LONGEST_OPTIONS]}…"
    yield "one flush", f"takes {_figure(disk.flush_us)} µs"
    yield "one record", f"{report.record_bytes:,} bytes; its dump takes {_figure(report.figures.us(DUMP))} µs"
    yield "system", f"{versions['system']}, {versions['cpus']} CPUs"
    names = ("llenergymeasure", "python", "pydantic")
    yield "versions", ", ".join(f"{name} {versions[name]}" for name in names)


def _table(figures: Figures) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column()
    for head in ("batch", "µs/result", "results/s", "÷ durable\nfloor + dump", "÷ floor\n+ dump"):
        table.add_column(head, justify="right", no_wrap=True)
    for title, durable in (("Durable", True), ("Not durable", False), ("Loading", None)):
        table.add_row(title, style="bold")
        for way in figures.ways:
            if way.durable is durable and way != DUMP:
                table.add_row(*_row(figures, way))
    return table


def _row(figures: Figures, way: Way) -> Iterator[str]:
    us = figures.us(way)
    yield f"  {_label(way)}"
    yield f"{way.batch:,}"
    yield _figure(us)
    yield f"{1e6 / us:,.0f}"
    yield _figure(figures.ratio(way, DURABLE_FLOOR)) if way.durable else ""
    yield _figure(figures.ratio(way, READ if way in (READ, LOAD) else FLOOR))


def _label(way: Way) -> str:
    if way in (FLOOR, DURABLE_FLOOR):
        return "floor + dump"
    if way == READ:
        return "open + read + validate"
    if way.processes > 1:
        return f"{way.processes} processes, a {way.name} each"
    if way.threads > 1:
        return f"{way.name}, {way.threads} threads"
    return way.name


def _finding(report: Report) -> str:
    figures, count = report.figures, report.results
    durable, relaxed = (Way("save", durable=durable) for durable in (True, False))
    bulk = Way("save_many", durable=True, batch=count)
    return (
        f"A durable save takes {_figure(figures.us(durable))} µs, and one that is not "
        f"{_figure(figures.us(relaxed))} µs. Of {count:,} saved durably at once, each takes "
        f"{_figure(figures.us(bulk))} µs: {_figure(figures.ratio(durable, bulk))} times as fast."
    )


def _figure(value: float) -> str:
    """Return three digits, or all that stand before the point, or what three after it show."""
    for least, digits in ((99.95, 0), (9.995, 1), (0.0995, 2)):
        if value >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}"
