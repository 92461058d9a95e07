"""The picture of `llem bench`: time per result against batch size, with the baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llenergymeasure._format import human_bytes, printable
from llenergymeasure.cli.commands.bench.contenders import BASELINE, DURABLE_BASELINE, Way
from llenergymeasure.plotting._figure import (
    BLACK,
    COLOURS,
    new_figure,
    set_plain,
    set_title,
)
from llenergymeasure.plotting._render import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from llenergymeasure.cli.commands.bench.measurements import Measurements, Report

_BLUE, _ORANGE, _GREEN, _VERMILION = COLOURS[:4]
_CURVES: tuple[tuple[str, Way, dict[str, Any]], ...] = (
    ("save_many, durable", Way("save_many", durable=True), {"color": _BLUE, "marker": "o"}),
    ("writer, durable", Way("writer", durable=True), {"color": _ORANGE, "marker": "s"}),
    ("save_many, not durable", Way("save_many", durable=False), {"color": _GREEN, "marker": "^"}),
)
_LEVELS: tuple[tuple[str, Way, dict[str, Any]], ...] = (
    ("save, durable", Way("save", durable=True), {"color": _VERMILION, "linestyle": "--"}),
    ("durable baseline + dump", DURABLE_BASELINE, {"color": BLACK, "linestyle": "--", "linewidth": 1}),
    ("save, not durable", Way("save", durable=False), {"color": _VERMILION, "linestyle": ":"}),
    ("baseline + dump", BASELINE, {"color": BLACK, "linestyle": ":", "linewidth": 1}),
)


def draw(report: Report) -> Figure:
    """Draw a report."""
    with style():
        figure, axes = new_figure(8.4, 4.8)
        _lay_out(axes, report)
        # The legend lists the lines by their height at the largest batch, as the right edge shows them.
        drawn = []
        for label, way, options in _LEVELS:
            height = report.measurements.us(way)
            drawn.append((height, axes.axhline(height, label=label, **options)))
        for label, way, options in _CURVES:
            drawn.append(_draw_curve(axes, report.measurements, way, {"label": label, **options}))
        drawn.sort(key=lambda pair: -pair[0])
        figure.legend(
            handles=[line for _, line in drawn], loc="outside right center", frameon=False, fontsize=9
        )
        return figure


def _lay_out(axes: Axes, report: Report) -> None:
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator  # noqa: PLC0415

    disk, measurements = report.disk, report.measurements
    kind = f"{disk.mount.kind} ({disk.mount.device})" if disk.mount else "an unknown file system"
    outcome = "" if disk.flush_reaches_device else " and does not reach a device"
    set_title(
        axes,
        f"Saving results on {printable(kind)}, records of {human_bytes(report.record_bytes)}",
        f"One flush takes {disk.flush_us:,.0f} µs{outcome}. "
        f"Medians of {measurements.rounds} rounds; bars: their quartiles.",
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="batch size (results of one call, or between two flushes of a writer)",
        ylabel="time per result (µs)",
    )
    axes.xaxis.set_major_locator(FixedLocator(sorted({way.batch for way in measurements.ways})))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        set_plain(axis)


def _draw_curve(
    axes: Axes, measurements: Measurements, kind: Way, style: dict[str, Any]
) -> tuple[float, Any]:
    """Draw the medians and quartiles of a way over its batches; return the last median and the curve."""
    ways = [way for way in measurements.ways if replace(way, batch=1) == kind]
    middle = [measurements.us(way) for way in ways]
    low, high = zip(*(measurements.quartiles(way) for way in ways), strict=True)
    bars = [
        [at - least for at, least in zip(middle, low, strict=True)],
        [most - at for at, most in zip(middle, high, strict=True)],
    ]
    curve = axes.errorbar(
        [way.batch for way in ways], middle, yerr=bars, elinewidth=0.9, capsize=2.5, markersize=5, **style
    )
    return middle[-1], curve
