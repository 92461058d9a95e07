"""`llem plot`: energy per token against throughput, or the power trace of one result."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llenergymeasure import _store
from llenergymeasure._format import plural
from llenergymeasure.cli.commands.plot.page import pareto_page, power_page
from llenergymeasure.cli.errors import CommandError, UsageError
from llenergymeasure.cli.query.options import FollowLinks, Where, check_path, given, is_url, local
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.query.record import load_record
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.output import check_matplotlib, check_output, write_picture
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.plotting import plot_pareto, plot_power, render
from llenergymeasure.plotting._points import COLUMNS, MODEL, ParetoPoints
from llenergymeasure.plotting._power import curves
from llenergymeasure.results.timeseries import read_timeseries

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

_PICTURES = (".svg", ".png", ".html")


def plot(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            callback=given,
            show_default=False,
            help="A directory of results; or one result's directory or its result.json, for its power trace.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            callback=local,
            help="The picture: .svg, .png or .html.",
        ),
    ] = None,
    where: Where = [],
    follow_links: FollowLinks = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the data of the picture as one JSON object; needs no -o.")
    ] = False,
) -> int:
    """Draw energy per token against throughput, or the power trace of one result.

    For a directory, each result is a mark, coloured by its model; the line is the
    Pareto front. An .html picture describes the mark under the pointer.

    Exit status: 0 drawn, 1 not drawn or incomplete, 2 wrong usage, 130 interrupted.
    """
    _check_usage(path, output, as_json=as_json)
    is_one = _is_one(path)
    if is_one and where:
        raise UsageError(f"--where selects among results, and {path} is one result")
    if output is not None:
        check_matplotlib()
    if is_one:
        return _plot_power(path, output, as_json=as_json)
    reading = Reading(path, COLUMNS, where, optional=[MODEL], follow_links=follow_links)
    return _plot_pareto(path, output, reading, as_json=as_json)


def _is_one(path: str) -> bool:
    """Return True for the path or URL of one result."""
    if not is_url(path):
        return Path(path).is_file() or os.path.lexists(Path(path, _store.RECORD))
    try:
        load_record(path)
    except FileNotFoundError:
        return False
    return True


def _check_usage(path: str, output: str | None, *, as_json: bool) -> None:
    check_path(path)
    if output is not None:
        check_output("--output", output, _PICTURES)
    elif not as_json:
        raise UsageError(f"--output FILE is missing; give one that ends in {', '.join(_PICTURES)}")


def _plot_pareto(directory: str, output: str | None, reading: Reading, *, as_json: bool) -> int:
    data = ParetoPoints(reading.batches())
    reading.report()
    if data.left_out:
        ERR.report(
            f"{plural(data.left_out, 'result')} left out: energy per token or throughput is missing, zero or "
            "not finite"
        )
    if data.points:
        name = (directory if is_url(directory) else Path(directory).resolve().name) or directory
        if output is not None:
            _write(output, plot_pareto(data, name=name), lambda figure: pareto_page(figure, data, name))
    if as_json:
        document = {
            "directory": directory,
            "file": output if data.points else None,
            "left_out": data.left_out,
            "points": data.as_rows(),
        }
        OUT.write(to_json(document))
    return reading.status if data.points else 1


def _plot_power(path: str, output: str | None, *, as_json: bool) -> int:
    result = load_record(path)
    try:
        trace = read_timeseries(path)
    except FileNotFoundError:
        name = result.timeseries or _store.SIDECAR
        raise CommandError(f"{path} has no power trace: expected {name} next to the record") from None
    drawn = curves(trace)
    if not any(curve.is_known for curve in drawn):
        raise CommandError(f"the power trace of {path} has no sample with a power")
    for warning in trace.warnings:
        ERR.report(f"the power trace of {path}: {warning}")
    model = result.effective_config.get("model", "unknown")
    name = f"{model}, {result.backend}"
    if output is not None:
        figure = plot_power(trace, name=name, recorded_j=result.total_energy_j)
        _write(output, figure, lambda figure: power_page(figure, drawn, name))
    if as_json:
        document: dict[str, Any] = {
            "path": path,
            "file": output,
            "model": model,
            "backend": result.backend,
            "recorded_energy_j": result.total_energy_j,
            "energy_j": trace.energy_j,
            "mean_power_w": trace.mean_power_w,
            "duration_s": trace.duration_s,
            "curves": [
                {
                    "gpu_index": curve.gpu_index,
                    "timestamp_s": curve.times,
                    "power_w": [None if math.isnan(power) else power for power in curve.powers],
                }
                for curve in drawn
            ],
        }
        OUT.write(to_json(document))
    return 0


def _write(output: str, figure: Figure, page: Callable[[Figure], bytes]) -> None:
    form = Path(output).suffix[1:].lower()
    write_picture(
        output, page(figure) if form == "html" else render(figure, "svg" if form == "svg" else "png")
    )
