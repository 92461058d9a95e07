"""The picture of one result: its power against time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from llenergymeasure.cli.commands.plot.page import page
from llenergymeasure.cli.terminal.numbers import Unit, quantity
from llenergymeasure.plotting._figure import (
    BLACK,
    COLOURS,
    new_figure,
    pixels,
    render,
    set_plain,
    set_title,
    shown,
    style,
)

if TYPE_CHECKING:
    from llenergymeasure.results.timeseries import Timeseries

__all__ = ["Curve", "curves", "draw"]

_JOULE = Unit("J", "all")
_COLOURS = (*COLOURS, "#555555")
_DASHES = ("-", ":", "-.")
_MOST_LABELLED = 16


class Curve(NamedTuple):
    """The power of one GPU, or of the whole system (-1), by rising time."""

    gpu_index: int
    times: list[float]
    """Seconds."""
    powers: list[float]
    """Watts; NaN where there was no sample."""

    @property
    def name(self) -> str:
        """What the legend calls it."""
        return "whole system" if self.gpu_index == -1 else f"GPU {self.gpu_index}"

    @property
    def is_known(self) -> bool:
        """Whether any row has a power."""
        return not math.isnan(self.mean)

    @property
    def mean(self) -> float:
        """Watts, over the rows that have a power; NaN where none has."""
        known = [power for power in self.powers if not math.isnan(power)]
        return math.fsum(known) / len(known) if known else math.nan


def curves(trace: Timeseries) -> list[Curve]:
    """Return the curves of a trace, by GPU; a row without a time is none."""
    rows: dict[int, list[tuple[float, float]]] = {}
    for time, gpu, power in zip(trace.timestamp_s, trace.gpu_index, trace.power_w, strict=True):
        if math.isfinite(time):
            rows.setdefault(gpu, []).append((time, math.nan if power is None else power))
    found = []
    for gpu in sorted(rows):
        ordered = sorted(rows[gpu], key=lambda row: row[0])
        found.append(Curve(gpu, [time for time, _ in ordered], [power for _, power in ordered]))
    return found


def draw(trace: Timeseries, name: str, recorded_j: float, form: str) -> bytes:
    """Draw a trace, as `"svg"`, `"png"` or `"html"`.

    Args:
        trace: At least one row with a time and a power.
        name: What the title calls it.
        recorded_j: The energy that the record tells, joules.
        form: The format.
    """
    drawn = curves(trace)
    with style():
        figure, axes = new_figure(11, 5.2)
        for number, curve in enumerate(drawn):
            axes.plot(
                curve.times,
                curve.powers,
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)],
                linewidth=1.0,
                # One sample is a line of no length.
                marker="." if len(curve.times) == 1 else "",
                label=f"{curve.name}, mean {curve.mean:,.1f} W" if number < _MOST_LABELLED else None,
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
        set_title(axes, f"Power of {shown(name, 80)}", _subtitle(trace, recorded_j))
        figure.legend(
            loc="outside right upper",
            frameon=False,
            fontsize=9,
            title=f"{_MOST_LABELLED} of {len(drawn)} are named" if len(drawn) > _MOST_LABELLED else None,
            title_fontsize=9,
            alignment="left",
        )
        if form != "html":
            return render(figure, form)
        picture = render(figure, "svg")
        marks = [
            (time, power, curve.name)
            for curve in drawn
            for time, power in zip(curve.times, curve.powers, strict=True)
            if not math.isnan(power)
        ]
        places = pixels(figure, axes, [time for time, _, _ in marks], [power for _, power, _ in marks])
        notes = [f"{power:,.5g} W at {time:,.10g} s" for time, power, _ in marks]
        return page(name, picture, places, [(gpu,) for _, _, gpu in marks], notes)


def _subtitle(trace: Timeseries, recorded_j: float) -> str:
    integral = trace.energy_j
    said = f"{quantity(integral, _JOULE)} by the trapezoid rule over {trace.duration_s:,.6g} s"
    said += f"; recorded: {quantity(recorded_j, _JOULE)}"
    if math.isfinite(recorded_j) and recorded_j > 0:
        said += f" (the trace differs by {100 * (integral / recorded_j - 1):+.2f} %)"
    return said
