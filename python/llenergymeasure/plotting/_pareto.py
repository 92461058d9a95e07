"""The picture of a directory: energy per token against throughput."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llenergymeasure.cli.commands.plot.page import page
from llenergymeasure.cli.terminal.stream import plural
from llenergymeasure.plotting._figure import (
    BLACK,
    COLOURS,
    GREY,
    new_figure,
    pixels,
    render,
    set_scales,
    set_title,
    shown,
    style,
)
from llenergymeasure.plotting._points import OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from llenergymeasure.plotting._points import Cloud

__all__ = ["draw"]

_MARKERS = ("o", "s", "^", "D", "v", "P")
_MOST_MODELS = 36
"""Each has a colour and a marker that no other has, and the legend fits the height of the picture."""
_RASTER_FROM = 5_000
"""Marks from which an image of them takes less room than each drawn by itself."""
_SIZES = ((300, 6.5), (2_000, 5.0), (20_000, 3.0))
_SMALLEST = 1.6


def draw(cloud: Cloud, name: str, form: str) -> bytes:
    """Draw results, as `"svg"`, `"png"` or `"html"`.

    Args:
        cloud: At least one result.
        name: What the title calls them.
        form: The format.
    """
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to load, and optional

    with style():
        figure, axes = new_figure(11, 6.6)
        groups = cloud.by_model(_MOST_MODELS)
        rates = [point.rate for point in cloud.points]
        energies = [point.energy for point in cloud.points]
        set_scales(axes, rates, energies)
        _draw_marks(axes, cloud, groups)
        _draw_front(axes, cloud)
        axes.set_xlabel("throughput (tokens/s)")
        axes.set_ylabel("energy per token (J)")
        models = len({point.model for point in cloud.points})
        left_out = (
            f" {plural(cloud.left_out, 'result')} without both figures left out." if cloud.left_out else ""
        )
        set_title(
            axes,
            f"Energy per token against throughput: {shown(name, 48)}",
            f"{plural(len(cloud.points), 'result')}, {plural(models, 'model')}. "
            f"Better is lower, and further right.{left_out}",
        )
        legend = figure.legend(
            loc="outside right upper",
            frameon=False,
            fontsize=8.5 if len(groups) <= 24 else 7.5,  # noqa: PLR2004 - as many lines are as high as the axes
            title="Model (results), by least J/token",
            title_fontsize=8.5,
            alignment="left",
            labelspacing=0.35,
        )
        for handle in legend.findobj(Line2D):
            handle.set(markersize=_SIZES[0][1])
        if form != "html":
            return render(figure, form)
        picture = render(figure, "svg")
        labels = [
            (shown(point.model, 200), shown(point.backend, 80), shown(point.path, 300))
            for point in cloud.points
        ]
        notes = [f"{point.energy:.4g} J/token, {point.rate:.5g} tokens/s" for point in cloud.points]
        return page(name, picture, pixels(figure, axes, rates, energies), labels, notes)


def _draw_marks(axes: Axes, cloud: Cloud, groups: dict[str, list[int]]) -> None:
    count = len(cloud.points)
    size = next((size for most, size in _SIZES if count <= most), _SMALLEST)
    for number, (model, places) in enumerate(groups.items()):
        is_rest = model is OTHER
        axes.plot(
            [cloud.points[place].rate for place in places],
            [cloud.points[place].energy for place in places],
            linestyle="",
            marker="." if is_rest else _MARKERS[number % len(_MARKERS)],
            color=GREY if is_rest else COLOURS[number % len(COLOURS)],
            markersize=size,
            markeredgecolor="white",
            markeredgewidth=0.4 if size > _SIZES[-1][1] else 0,
            alpha=0.85,
            label=f"{shown(model, 40)} ({len(places):,})",
            gid=f"model-{number}",
            rasterized=count > _RASTER_FROM,
            zorder=1.5 if is_rest else 2,
        )


def _draw_front(axes: Axes, cloud: Cloud) -> None:
    """Draw what is the least energy at each throughput or more."""
    front = [cloud.points[place] for place in cloud.front]
    left, top = axes.get_xlim()[0], axes.get_ylim()[1]
    rates = [left, *(point.rate for point in front), front[-1].rate]
    energies = [front[0].energy, *(point.energy for point in front), top]
    axes.autoscale(enable=False)
    axes.plot(
        [point.rate for point in front],
        [point.energy for point in front],
        linestyle="",
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=BLACK,
        gid="front-marks",
        zorder=3,
    )
    axes.plot(
        rates,
        energies,
        drawstyle="steps-pre",
        color=BLACK,
        linewidth=1.1,
        label=f"Pareto front ({len(front):,})",
        gid="front",
        zorder=3,
    )
