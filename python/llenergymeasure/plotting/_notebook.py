"""A figure that notebooks show; the only module that imports matplotlib at its top."""

from __future__ import annotations

from matplotlib.figure import Figure

from llenergymeasure.plotting._render import render

__all__ = ["NotebookFigure"]


class NotebookFigure(Figure):
    """A figure that a notebook shows as PNG, without pyplot."""

    def _repr_png_(self) -> bytes:
        return render(self, "png")
