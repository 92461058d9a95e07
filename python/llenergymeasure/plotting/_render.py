"""The style of all figures, and their bytes."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure


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
