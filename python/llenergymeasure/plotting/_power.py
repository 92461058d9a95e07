"""The power plot: the power trace of one result against time."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llenergymeasure._format import Unit, format_quantity, plural
from llenergymeasure.plotting._figure import (
    BLACK,
    COLOURS,
    new_figure,
    set_legend,
    set_plain,
    set_title,
    shown,
)
from llenergymeasure.plotting._render import style
from llenergymeasure.results.stored import StoredResult
from llenergymeasure.results.timeseries import Timeseries, read_timeseries

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_JOULE = Unit("J", "all")
_COLOURS = (*COLOURS, "#555555")
_DASHES = ("-", ":", "-.")
_MOST_LABELLED = 16
_RECORD_SUFFIX = ".json"


class PowerCurve(NamedTuple):
    """The power of one GPU, or of the whole system (-1), by rising time."""

    gpu_index: int
    times: list[float]
    """Seconds."""
    powers: list[float]
    """Watts; NaN for a row without power."""

    @property
    def name(self) -> str:
        """The name in the legend."""
        return "whole system" if self.gpu_index == -1 else f"GPU {self.gpu_index}"

    @property
    def label(self) -> str:
        """The name and the mean power."""
        return f"{self.name}, mean {self.mean:,.1f} W" if self.is_known else f"{self.name}, power unknown"

    @property
    def is_known(self) -> bool:
        """True if any row has a power."""
        return not math.isnan(self.mean)

    @property
    def mean(self) -> float:
        """The mean in watts over the rows that have a power; NaN without such a row."""
        known = [power for power in self.powers if not math.isnan(power)]
        return math.fsum(known) / len(known) if known else math.nan


def curves(trace: Timeseries) -> list[PowerCurve]:
    """Return the curves of a trace, by GPU, without rows that have no time."""
    rows: dict[int, list[tuple[float, float]]] = {}
    for time, gpu, power in zip(trace.timestamp_s, trace.gpu_index, trace.power_w, strict=True):
        if math.isfinite(time):
            rows.setdefault(gpu, []).append((time, math.nan if power is None else power))
    found = []
    for gpu in sorted(rows):
        ordered = sorted(rows[gpu], key=lambda row: row[0])
        found.append(PowerCurve(gpu, [time for time, _ in ordered], [power for _, power in ordered]))
    return found


def plot_power(
    source: Timeseries | StoredResult | str | os.PathLike[str],
    *,
    name: str | None = None,
    recorded_j: float | None = None,
) -> Figure:
    """Draw power (watts) against the time from the first sample (seconds), a line per GPU.

    A dashed line marks the mean of each GPU. The subtitle compares the integral of the trace, by the
    trapezoid rule, with the energy of the record, and counts the warnings of the trace.

    Args:
        source: A power trace; or a result with a power trace: a `StoredResult`, its directory or its
            `result.json`; or a Parquet file.
        name: The name in the title; by default the model and the backend of the record.
        recorded_j: The energy of the record in joules; by default that of the record, if there is one.

    Returns:
        A figure with one axes, of 11 by 5.2 inches. The line with the gid `gpu-N` is the N-th GPU of the
        trace, and `mean-N` its mean.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No sample has a power.
        PersistenceError: The file cannot be read; a `FileNotFoundError` if it does not exist.
        ResultError: The file is not a valid result or power trace.
    """
    trace, default, recorded = _trace_of(source)
    drawn = curves(trace)
    if not any(curve.is_known for curve in drawn):
        raise ValueError("expected a power trace with a power_w, got none; check the samples of the trace")
    recorded = recorded if recorded_j is None else recorded_j
    return _draw(drawn, default if name is None else name, _subtitle(trace, recorded))


def _trace_of(
    source: Timeseries | StoredResult | str | os.PathLike[str],
) -> tuple[Timeseries, str, float | None]:
    """Return a trace, the name of its result, and the energy of its record in joules."""
    if isinstance(source, Timeseries):
        return source, "a result", None
    if not isinstance(source, StoredResult):
        path = Path(source)
        if not path.is_dir() and path.suffix != _RECORD_SUFFIX:
            return read_timeseries(path), path.name, None
        source = StoredResult(path if path.is_dir() else path.parent)
    result = source.load(missing_sidecar="ignore")
    model = result.effective_config.get("model", "unknown")
    return source.timeseries(), f"{model}, {result.backend}", result.total_energy_j


def _draw(drawn: list[PowerCurve], name: str, subtitle: str) -> Figure:
    with style():
        figure, axes = new_figure(11, 5.2)
        for number, curve in enumerate(drawn):
            axes.plot(
                curve.times,
                curve.powers,
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)],
                linewidth=1.0,
                # One sample alone has no line.
                marker="." if len(curve.times) == 1 else "",
                label=curve.label if number < _MOST_LABELLED else None,
                gid=f"gpu-{number}",
            )
        known = [curve for curve in drawn if curve.is_known]
        for number, curve in enumerate(known):
            axes.axhline(
                curve.mean,
                color=BLACK,
                linestyle=(0, (6, 4)),
                linewidth=0.9,
                label="mean" if number == len(known) - 1 else None,
                gid=f"mean-{number}",
                zorder=3,
            )
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.margins(x=0.01)
        for axis in (axes.xaxis, axes.yaxis):
            set_plain(axis)
        axes.set_xlabel("time from the first sample (s)")
        axes.set_ylabel("power (W)")
        set_title(axes, f"Power of {shown(name, 80)}", subtitle)
        is_cut = len(drawn) > _MOST_LABELLED
        set_legend(figure, f"{_MOST_LABELLED} of {len(drawn)} are named" if is_cut else None)
        return figure


def _subtitle(trace: Timeseries, recorded_j: float | None) -> str:
    integral = trace.energy_j
    known = (
        "energy unknown" if integral is None else f"{format_quantity(integral, _JOULE)} by the trapezoid rule"
    )
    text = f"{known} over {trace.duration_s:,.6g} s"
    if recorded_j is not None:
        text += f"; recorded: {format_quantity(recorded_j, _JOULE)}"
        if integral is not None and math.isfinite(recorded_j) and recorded_j > 0:
            text += f" (the trace differs by {100 * (integral / recorded_j - 1):+.2f} %)"
    count = len(trace.warnings)
    return f"{text}; {plural(count, 'warning')} in trace.warnings" if count else text
