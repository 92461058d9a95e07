"""`llem plot`: energy per token against throughput, or the power trace of one result."""

from __future__ import annotations

import math
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure.cli.query import where as _where
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.terminal.input import first_of
from llenergymeasure.cli.terminal.json import as_json as document
from llenergymeasure.cli.terminal.stream import ERR, OUT, UsageError, plural, printable
from llenergymeasure.errors import LLEMError
from llenergymeasure.plotting._points import COLUMNS, Cloud
from llenergymeasure.results.persistence import _atomic_write
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.timeseries import read_timeseries

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["plot"]

_PICTURES = (".svg", ".png", ".html")


class _RefusalError(Exception):
    """The command cannot do what it was asked, for a reason that is no wrong usage."""


def plot(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="A directory of results; or one result's directory or its result.json, for its power trace.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", show_default=False, help="The picture: .svg, .png or .html."
        ),
    ] = None,
    where: Annotated[
        list[str], typer.Option("--where", "-w", metavar="EXPR", show_default=False, help=_where.HELP)
    ] = [],  # noqa: B006 - typer copies it
    as_json: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--json", help="Print what is drawn as one JSON object; needs no --output.")
    ] = False,
) -> int:
    """Draw results: energy per token against throughput, or the power trace of one.

    Of a directory, each result is a mark, coloured by its model; the line is the
    Pareto front, beyond which no result is. The .html tells of the mark that the
    pointer is at.

    Exit status: 0 drawn, 1 not, or not all, 2 wrong usage, 130 interrupted.
    """
    _check_usage(path, output, as_json=as_json)
    is_one = Path(path).is_file() or os.path.lexists(Path(path, _store.RECORD))
    if is_one and where:
        raise UsageError("plot", f"--where chooses among results, and {path} is one")
    try:
        _check_drawing(output)
        return (
            _plot_trace(path, output, as_json=as_json)
            if is_one
            else _plot_points(path, output, where, as_json)
        )
    except (_RefusalError, LLEMError, OSError) as error:
        ERR.write(f"llem plot: {printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        ERR.write("llem plot: interrupted\n")
        return 130


def _check_usage(path: str, output: str | None, *, as_json: bool) -> None:
    if not path:
        raise UsageError("plot", "PATH is empty")
    if not os.path.lexists(path):
        raise UsageError("plot", f"{path} does not exist")
    if output is None:
        if not as_json:
            raise UsageError("plot", f"--output FILE is missing: one of {', '.join(_PICTURES)}")
        return
    if Path(output).suffix.lower() not in _PICTURES:
        raise UsageError("plot", f"--output {output} ends in none of {', '.join(_PICTURES)}")
    if Path(output).is_dir():
        raise UsageError("plot", f"--output {output} is a directory")
    if not Path(output).absolute().parent.is_dir():
        raise UsageError("plot", f"--output {output} is in a directory that does not exist")


def _check_drawing(output: str | None) -> None:
    """Find out before the reading whether there will be a picture after it."""
    if output is None:
        return
    try:
        import_module("matplotlib.figure")
    except ImportError:
        raise _RefusalError(
            "the picture needs matplotlib: pip install 'llenergymeasure-store[plot]'"
        ) from None


def _plot_points(directory: str, output: str | None, where: list[str], as_json: bool) -> int:  # noqa: FBT001
    reading = Reading("plot", directory, COLUMNS, where)
    cloud = Cloud(reading.batches())
    reading.tell()
    if cloud.left_out:
        ERR.write(
            f"llem plot: {plural(cloud.left_out, 'result')} left out: energy per token or throughput is "
            "missing, zero or not finite\n"
        )
    if cloud.points:
        from llenergymeasure.plotting._pareto import draw  # noqa: PLC0415 - matplotlib is there by choice

        _write(output, lambda form: draw(cloud, _name_of(directory), form))
    if as_json:
        said = {
            "directory": directory,
            "file": output if cloud.points else None,
            "left_out": cloud.left_out,
            "points": cloud.as_rows(),
        }
        OUT.write(document(said))
    return reading.status if cloud.points else 1


def _plot_trace(path: str, output: str | None, *, as_json: bool) -> int:
    try:
        result = ResultStore(".").load(path, missing_sidecar="ignore")
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _RefusalError(f"{path} is not a result: {first_of(details)}") from None
    try:
        trace = read_timeseries(path)
    except FileNotFoundError:
        raise _RefusalError(
            f"{path} has no power trace: there is no {result.timeseries or _store.SIDECAR} beside the record"
        ) from None
    from llenergymeasure.plotting._power import curves, draw  # noqa: PLC0415

    drawn = curves(trace)
    if not any(curve.is_known for curve in drawn):
        raise _RefusalError(f"the power trace of {path} has no sample with a power")
    model = result.effective_config.get("model", "unknown")
    _write(output, lambda form: draw(trace, f"{model}, {result.backend}", result.total_energy_j, form))
    if as_json:
        said: dict[str, Any] = {
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
        OUT.write(document(said))
    return 0


def _write(output: str | None, draw: Callable[[str], bytes]) -> None:
    if output is not None:
        _atomic_write(draw(Path(output).suffix[1:].lower()), output)
        ERR.write(f"The picture is in {printable(output)}\n")


def _name_of(directory: str) -> str:
    """Return what a person calls a directory, also where it is `.`."""
    return Path(directory).absolute().resolve().name or directory
