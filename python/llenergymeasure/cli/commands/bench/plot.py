"""The picture of `llem bench`: time per result against batch size, the floors drawn in."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llenergymeasure.cli.commands.bench.contenders import DURABLE_FLOOR, FLOOR, Way
from llenergymeasure.cli.terminal.stream import human_bytes, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llenergymeasure.cli.commands.bench.measurements import Figures, Report

__all__ = ["draw"]

# Okabe and Ito's colours, which the colour-blind tell apart; on paper, markers and dashes do.
_BLUE, _ORANGE, _GREEN, _VERMILION, _BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#000000"
_CURVES: tuple[tuple[str, Way, dict[str, Any]], ...] = (
    ("save_many, durable", Way("save_many", durable=True), {"color": _BLUE, "marker": "o"}),
    ("writer, durable", Way("writer", durable=True), {"color": _ORANGE, "marker": "s"}),
    ("save_many, not durable", Way("save_many", durable=False), {"color": _GREEN, "marker": "^"}),
)
_LEVELS: tuple[tuple[str, Way, dict[str, Any]], ...] = (
    ("save, durable", Way("save", durable=True), {"color": _VERMILION, "linestyle": "--"}),
    ("durable floor + dump", DURABLE_FLOOR, {"color": _BLACK, "linestyle": "--", "linewidth": 1}),
    ("save, not durable", Way("save", durable=False), {"color": _VERMILION, "linestyle": ":"}),
    ("floor + dump", FLOOR, {"color": _BLACK, "linestyle": ":", "linewidth": 1}),
)


def draw(report: Report, form: str) -> bytes:
    """Draw a report, as `"svg"` or `"png"`."""
    # Not pyplot, which looks for a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to load, and optional

    picture = Figure(figsize=(8.4, 4.8), layout="constrained")
    axes = picture.add_subplot()
    _lay_out(axes, report)
    # By height at the largest batch, so that the legend reads as the right edge of the picture does.
    drawn = []
    for label, way, style in _LEVELS:
        drawn.append((report.figures.us(way), axes.axhline(report.figures.us(way), label=label, **style)))
    for label, way, style in _CURVES:
        drawn.append(_draw_curve(axes, report.figures, way, {"label": label, **style}))
    drawn.sort(key=lambda pair: -pair[0])
    picture.legend(handles=[line for _, line in drawn], loc="outside right center", frameon=False, fontsize=9)
    file = io.BytesIO()
    picture.savefig(file, format=form, dpi=200)
    return file.getvalue()


def _lay_out(axes: Axes, report: Report) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415

    disk, figures = report.disk, report.figures
    kind = f"{disk.mount.kind} ({disk.mount.device})" if disk.mount else "an unknown file system"
    outcome = "" if disk.flush_reaches_device else " and does not reach a device"
    axes.set_title(
        f"Saving results on {printable(kind)}, records of {human_bytes(report.record_bytes)}\n", loc="left"
    )
    axes.annotate(
        f"One flush takes {disk.flush_us:,.0f} µs{outcome}. "
        f"Medians of {figures.rounds} rounds; bars: their quartiles.",
        xy=(0, 1),
        xytext=(0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9,
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="batch size (results of one call, or between two flushes of a writer)",
        ylabel="time per result (µs)",
    )
    whole = FuncFormatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_major_locator(FixedLocator(sorted({way.batch for way in figures.ways})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(whole)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(whole)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curve(axes: Axes, figures: Figures, kind: Way, style: dict[str, Any]) -> tuple[float, Any]:
    """Draw the medians of a way over its batches and their quartiles; return its height at the end."""
    ways = [way for way in figures.ways if replace(way, batch=1) == kind]
    middle = [figures.us(way) for way in ways]
    low, high = zip(*(figures.quartiles(way) for way in ways), strict=True)
    bars = [
        [at - least for at, least in zip(middle, low, strict=True)],
        [most - at for at, most in zip(middle, high, strict=True)],
    ]
    curve = axes.errorbar(
        [way.batch for way in ways], middle, yerr=bars, elinewidth=0.9, capsize=2.5, markersize=5, **style
    )
    return middle[-1], curve
