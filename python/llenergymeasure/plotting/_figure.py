"""The common parts of all figures: palette, style, title, scales, legend and rendered bytes."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from llenergymeasure._format import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


def require_matplotlib() -> None:
    """Raise an error that says how to install matplotlib, unless it is installed.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import_module("matplotlib.figure")
    except ImportError:
        raise ImportError(
            "expected matplotlib, got none installed; do: pip install 'llenergymeasure-store[plot]'"
        ) from None


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of this package, independent of the user's settings of matplotlib."""
    require_matplotlib()
    import matplotlib as mpl  # noqa: PLC0415 - slow to load, and optional

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about fonts that lack a character of a name
        mpl.rcdefaults()
        mpl.rcParams["svg.fonttype"] = "none"  # text stays text, for search and screen readers
        mpl.rcParams["svg.hashsalt"] = "llem"  # equal input makes equal bytes
        mpl.rcParams["text.parse_math"] = False  # a model's name may contain $
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, and its axes; unlike pyplot, it needs no display."""
    from llenergymeasure.plotting._notebook import NotebookFigure  # noqa: PLC0415

    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def render(figure: Figure, form: Literal["svg", "png"]) -> bytes:
    """Return a figure as the bytes of an SVG or PNG file; equal figures give equal bytes.

    Args:
        figure: A figure of this module, or any other.
        form: `"svg"`, with text as text, or `"png"`, with 200 dots per inch.

    Raises:
        ImportError: matplotlib is not installed.
    """
    file = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    with style():
        figure.savefig(file, format=form, dpi=200, metadata=metadata)
    return file.getvalue()


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
