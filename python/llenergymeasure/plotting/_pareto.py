"""The Pareto plot: energy per token against throughput."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llenergymeasure._format import plural
from llenergymeasure.plotting._figure import (
    BLACK,
    COLOURS,
    GREY,
    new_figure,
    set_legend,
    set_scales,
    set_title,
    shown,
)
from llenergymeasure.plotting._points import COLUMNS, MODEL, OTHER, ParetoPoints
from llenergymeasure.plotting._render import style
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from llenergymeasure.results.scan import Scan

_MARKERS = ("o", "s", "^", "D", "v", "P")
_MOST_MODELS = 36
"""Each model has its own colour and marker, and the legend fits the height of the figure."""
_RASTER_FROM = 5_000
"""Marks from which one image of all marks is smaller than the marks."""
_SIZES = ((300, 6.5), (2_000, 5.0), (20_000, 3.0))
_SMALLEST = 1.6
_SHORT_LEGEND = 24


def plot_pareto(source: ResultStore | Scan | ParetoPoints, *, name: str | None = None) -> Figure:
    """Draw energy per token (joules) against throughput (tokens per second), a mark per result.

    The marks are coloured by model. The line is the Pareto front: no result has both less energy per token
    and more throughput. Results without both values are left out, and the subtitle counts them. A wide range
    makes an axis logarithmic.

    Args:
        source: A store, or a scan of at least the columns `path`, `effective_config.model`, `backend`,
            `avg_tokens_per_second` and `avg_energy_per_token_j`; a scan selects results with `where`, and
            skips invalid files with `on_error`.
        name: The name of the results in the title; by default that of the store's directory.

    Returns:
        A figure with one axes, of 11 by 6.6 inches. The line with the gid `front` is the front.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The scan lacks a column, or no result has both values.
    """
    points, default = _points_of(source)
    if not points.points:
        raise ValueError(
            "expected results with avg_tokens_per_second and avg_energy_per_token_j, got none; "
            "check the directory, and the conditions of the scan"
        )
    return _draw(points, default if name is None else name)


def _points_of(source: ResultStore | Scan | ParetoPoints) -> tuple[ParetoPoints, str]:
    if isinstance(source, ParetoPoints):
        return source, "results"
    if isinstance(source, ResultStore):
        scan = source.scan(COLUMNS, optional=[MODEL])
        return ParetoPoints(batch.to_pydict() for batch in scan), source.root.name
    missing = [column for column in COLUMNS if column not in source.schema.names]
    if missing:
        raise ValueError(f"expected a scan with the column {missing[0]}; do: store.scan({list(COLUMNS)})")
    return ParetoPoints(batch.to_pydict() for batch in source), "results"


def _draw(data: ParetoPoints, name: str) -> Figure:
    with style():
        from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to load, and optional

        figure, axes = new_figure(11, 6.6)
        groups = data.by_model(_MOST_MODELS)
        set_scales(axes, [point.rate for point in data.points], [point.energy for point in data.points])
        _draw_marks(axes, data, groups)
        _draw_front(axes, data)
        axes.set_xlabel("throughput (tokens/s)")
        axes.set_ylabel("energy per token (J)")
        models = len({point.model for point in data.points})
        left_out = (
            f" {plural(data.left_out, 'result')} without both values left out." if data.left_out else ""
        )
        set_title(
            axes,
            f"Energy per token against throughput: {shown(name, 48)}",
            f"{plural(len(data.points), 'result')}, {plural(models, 'model')}. "
            f"Better is lower, and further right.{left_out}",
        )
        legend = set_legend(
            figure,
            "Model (results), by least J/token",
            size=8.5 if len(groups) <= _SHORT_LEGEND else 7.5,
            labelspacing=0.35,
        )
        for handle in legend.findobj(Line2D):
            handle.set(markersize=_SIZES[0][1])
        return figure


def _draw_marks(axes: Axes, data: ParetoPoints, groups: dict[str, list[int]]) -> None:
    count = len(data.points)
    size = next((size for most, size in _SIZES if count <= most), _SMALLEST)
    for number, (model, indices) in enumerate(groups.items()):
        is_rest = model is OTHER
        axes.plot(
            [data.points[index].rate for index in indices],
            [data.points[index].energy for index in indices],
            linestyle="",
            marker="." if is_rest else _MARKERS[number % len(_MARKERS)],
            color=GREY if is_rest else COLOURS[number % len(COLOURS)],
            markersize=size,
            markeredgecolor="white",
            markeredgewidth=0.4 if size > _SIZES[-1][1] else 0,
            alpha=0.85,
            label=f"{shown(model, 40)} ({len(indices):,})",
            gid=f"model-{number}",
            rasterized=count > _RASTER_FROM,
            zorder=1.5 if is_rest else 2,
        )


def _draw_front(axes: Axes, data: ParetoPoints) -> None:
    """Draw the least energy per token at each throughput or more."""
    front = [data.points[index] for index in data.front]
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
