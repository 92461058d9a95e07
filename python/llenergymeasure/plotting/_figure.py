"""What the pictures of `llem plot` have in common: their style, their text and their bytes."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llenergymeasure.cli.terminal.stream import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "COLOURS",
    "GREY",
    "new_figure",
    "pixels",
    "render",
    "set_plain",
    "set_scales",
    "set_title",
    "shown",
    "style",
]

# Okabe and Ito's colours, which the colour-blind tell apart, but for the yellow, which white paper swallows.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F5200")
BLACK, GREY = "#000000", "#999999"

_LOG_FROM = 20
"""The greatest is so many times the least: then a linear axis crowds most of what is there into a corner."""
_WHOLE_TENS_FROM = 1e4
"""From this ratio on, there is room for powers of ten alone."""


@contextmanager
def style() -> Iterator[None]:
    """Draw as this package does, whatever the user's own settings of matplotlib are."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to load, and optional

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fonts that lack a character of a name
        mpl.rcdefaults()
        mpl.rcParams["svg.fonttype"] = "none"  # text stays text: to be found, and to be read aloud
        mpl.rcParams["svg.hashsalt"] = "llem"  # the same input, the same bytes
        mpl.rcParams["text.parse_math"] = False  # a $ in a model's name is a $
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of a size in inches; nothing looks for a display, as pyplot would."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def render(figure: Figure, form: str) -> bytes:
    """Return the picture, as `"svg"` or `"png"`."""
    file = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    figure.savefig(file, format=form, dpi=200, metadata=metadata)
    return file.getvalue()


def shown(text: str, longest: int) -> str:
    """Return a stranger's text as a picture can have it: printable, valid Unicode, its middle cut out."""
    text = printable(text).encode("utf-8", "replace").decode()
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[-half:]}"


def set_title(axes: Axes, title: str, subtitle: str) -> None:
    """Put a title over the axes, and a smaller line below it."""
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
    """Make the ticks of an axis plain numbers."""
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def set_scales(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Make each axis logarithmic where its range asks for it, and its ticks plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    for axis, figures, set_scale in ((axes.xaxis, x, axes.set_xscale), (axes.yaxis, y, axes.set_yscale)):
        ratio = max(figures) / min(figures)
        if ratio >= _LOG_FROM:
            set_scale("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < _WHOLE_TENS_FROM else (1,)))
            axis.set_minor_locator(NullLocator())
        set_plain(axis)


def pixels(figure: Figure, axes: Axes, x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Return where points of the axes are in the SVG, in its units from its left upper corner."""
    height = figure.get_size_inches()[1] * 72
    unit = 72 / figure.dpi
    places = axes.transData.transform(list(zip(x, y, strict=True)))
    return [(round(across * unit, 1), round(height - up * unit, 1)) for across, up in places]
