"""The report of `llem bench`: facts about the disk, and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llenergymeasure._format import format_number, printable
from llenergymeasure.cli.commands.bench.contenders import BASELINE, DUMP, DURABLE_BASELINE, LOAD, READ, Way
from llenergymeasure.cli.terminal.stream import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from llenergymeasure.cli.commands.bench.measurements import Measurements, Report

_LONGEST_OPTIONS = 120
_FOOT = (
    "baseline: mkdir, create, write and rename in Rust's std, one result after another; the durable "
    "baseline also flushes the file, its directory and the parent. dump: pydantic's; ratios to a baseline "
    "include it. batch: the results of one call of save_many, or between two flushes of a writer. Times are "
    "medians of {rounds} rounds; ratios are medians of the ratios within a round."
)


def show(report: Report) -> None:
    """Print the report, within 80 columns unless the terminal is wider."""
    from rich.text import Text  # noqa: PLC0415 - slow to load, and --json needs none of it

    doubts = Text("\n".join(map(printable, report.doubts)), style="bold red")
    OUT.print(
        Text("The cost of persistence on this disk", style="bold"),
        _about(report),
        *(("", doubts, "") if doubts else ("",)),
        _table(report.measurements),
        "",
        _finding(report),
        "",
        Text(_FOOT.format(rounds=report.measurements.rounds), style="dim"),
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
    yield "one flush", f"takes {_number(disk.flush_us)} µs"
    yield (
        "one record",
        f"{report.record_bytes:,} bytes; its dump takes {_number(report.measurements.us(DUMP))} µs",
    )
    yield "system", f"{versions['system']}, {versions['cpus']} CPUs"
    names = ("llenergymeasure", "python", "pydantic")
    yield "versions", ", ".join(f"{name} {versions[name]}" for name in names)


def _table(measurements: Measurements) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column()
    for head in ("batch", "µs/result", "results/s", "÷ durable\nbaseline", "÷ baseline"):
        table.add_column(head, justify="right", no_wrap=True)
    for title, durable in (("Durable", True), ("Not durable", False), ("Loading", None)):
        table.add_row(title, style="bold")
        for way in measurements.ways:
            if way.durable is durable and way != DUMP:
                table.add_row(*_row(measurements, way))
    return table


def _row(measurements: Measurements, way: Way) -> Iterator[str]:
    us = measurements.us(way)
    yield f"  {_label(way)}"
    yield f"{way.batch:,}"
    yield _number(us)
    yield f"{1e6 / us:,.0f}"
    yield _number(measurements.ratio(way, DURABLE_BASELINE)) if way.durable else ""
    yield _number(measurements.ratio(way, READ if way in (READ, LOAD) else BASELINE))


def _label(way: Way) -> str:
    if way in (BASELINE, DURABLE_BASELINE):
        return "baseline + dump"
    if way == READ:
        return "open + read + validate"
    if way.processes > 1:
        return f"{way.processes} processes, a {way.name} each"
    if way.threads > 1:
        return f"{way.name}, {way.threads} threads"
    return way.name


def _finding(report: Report) -> str:
    measurements, count = report.measurements, report.results
    durable, relaxed = (Way("save", durable=durable) for durable in (True, False))
    bulk = Way("save_many", durable=True, batch=count)
    return (
        f"A durable save takes {_number(measurements.us(durable))} µs, and one that is not "
        f"{_number(measurements.us(relaxed))} µs. Of {count:,} saved durably at once, each takes "
        f"{_number(measurements.us(bulk))} µs: {_number(measurements.ratio(durable, bulk))} times as fast."
    )


def _number(value: float) -> str:
    return format_number(value, digits=3)
