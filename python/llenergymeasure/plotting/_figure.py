"""The common parts of all figures: palette, title, scales and legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llenergymeasure._format import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's palette for the colour-blind, without its yellow, which is faint on white paper.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F5200")
BLACK, GREY = "#000000", "#999999"

_LOG_FROM = 20
"""The ratio of the greatest to the least value from which an axis is logarithmic."""
_POWERS_OF_TEN_FROM = 1e4
"""The ratio from which only powers of ten have room for labels."""


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, and its axes; unlike pyplot, it needs no display."""
    from llenergymeasure.plotting._notebook import NotebookFigure  # noqa: PLC0415

    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def shown(text: str, longest: int) -> str:
    """Return any text as a figure can show it: printable, valid Unicode, and shortened in its middle."""
    text = printable(text).encode("utf-8", "replace").decode()
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[-half:]}"


def set_title(axes: Axes, title: str, subtitle: str) -> None:
    """Set a title above the axes, and a smaller line below it."""
    axes.set_title(f"{title}\n", loc="left", fontsize=13)
    axes.annotate(
        subtitle,
        xy=(0, 1),
        xytext=(0, 7),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=9.5,
        color="#444444",
    )


def set_plain(axis: Axis) -> None:
    """Label the ticks of an axis with plain numbers."""
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def set_scales(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Scale each axis, logarithmically for a wide range, and label its ticks with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    for axis, values, set_scale in ((axes.xaxis, x, axes.set_xscale), (axes.yaxis, y, axes.set_yscale)):
        ratio = max(values) / min(values)
        if ratio >= _LOG_FROM:
            set_scale("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < _POWERS_OF_TEN_FROM else (1,)))
            axis.set_minor_locator(NullLocator())
        set_plain(axis)


def set_legend(figure: Figure, title: str | None = None, size: float = 9, **options: Any) -> Any:  # noqa: ANN401
    """Put a legend to the right of the axes, and return it; `size` is that of its font, in points."""
    return figure.legend(
        loc="outside right upper",
        frameon=False,
        fontsize=size,
        title=title,
        title_fontsize=max(size, 8.5),
        alignment="left",
        **options,
    )
