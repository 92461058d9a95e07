"""The HTML page of `llem plot`: a picture, and a note about the mark under the pointer."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING

from llenergymeasure.plotting import render
from llenergymeasure.plotting._figure import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from llenergymeasure.plotting._points import ParetoPoints
    from llenergymeasure.plotting._power import PowerCurve

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0; background: #fff; font: 14px/1.4 system-ui, sans-serif; }}
#picture {{ position: relative; max-width: 1300px; margin: 0 auto; }}
#picture > svg {{ display: block; width: 100%; height: auto; }}
#ring {{ position: absolute; width: 16px; height: 16px; margin: -9px 0 0 -9px; border: 1.5px solid #000;
  border-radius: 50%; pointer-events: none; }}
#note {{ position: absolute; max-width: 34em; padding: 6px 10px; background: #fff; border: 1px solid #888;
  border-radius: 4px; box-shadow: 0 2px 8px #0003; pointer-events: none; white-space: pre-wrap;
  overflow-wrap: anywhere; }}
[hidden] {{ display: none; }}
</style>
</head>
<body>
<div id="picture">{picture}<div id="ring" hidden></div><div id="note" hidden></div></div>
<script type="application/json" id="marks">{marks}</script>
<script>{script}</script>
</body>
</html>
"""
_SCRIPT = """
"use strict";
const marks = JSON.parse(document.getElementById("marks").textContent);
const picture = document.getElementById("picture"), svg = picture.querySelector("svg");
const ring = document.getElementById("ring"), note = document.getElementById("note");
const width = svg.viewBox.baseVal.width;
const hide = () => { ring.hidden = note.hidden = true; };
picture.addEventListener("pointerleave", hide);
picture.addEventListener("pointermove", event => {
  const box = svg.getBoundingClientRect(), unit = box.width / width;
  const x = (event.clientX - box.left) / unit, y = (event.clientY - box.top) / unit;
  let nearest = -1, least = 10 * 10;
  for (let i = 0; i < marks.x.length; i++) {
    const distance = (marks.x[i] - x) ** 2 + (marks.y[i] - y) ** 2;
    if (distance < least) { least = distance; nearest = i; }
  }
  if (nearest < 0) { hide(); return; }
  const words = marks.labels.map(label => label.words[label.of[nearest]]).filter(word => word);
  note.textContent = words.concat(marks.notes[nearest]).join("\\n");
  ring.hidden = note.hidden = false;
  const left = marks.x[nearest] * unit, top = marks.y[nearest] * unit;
  ring.style.left = left + "px"; ring.style.top = top + "px";
  const room = picture.clientWidth - note.offsetWidth - 4;
  note.style.left = Math.max(4, Math.min(left + 14, room)) + "px";
  const below = top + 14 + note.offsetHeight < box.height;
  note.style.top = (below ? top + 14 : top - 14 - note.offsetHeight) + "px";
});
"""


def pareto_page(figure: Figure, data: ParetoPoints, name: str) -> bytes:
    """Return the page of a Pareto plot."""
    points = data.points
    labels = [(shown(point.model, 200), shown(point.backend, 80), shown(point.path, 300)) for point in points]
    notes = [f"{point.energy:.4g} J/token, {point.rate:.5g} tokens/s" for point in points]
    return _page(figure, name, [(point.rate, point.energy) for point in points], labels, notes)


def power_page(figure: Figure, curves: Sequence[PowerCurve], name: str) -> bytes:
    """Return the page of a power plot."""
    marks = [
        (time, power, curve.name)
        for curve in curves
        for time, power in zip(curve.times, curve.powers, strict=True)
        if not math.isnan(power)
    ]
    notes = [f"{power:,.5g} W at {time:,.10g} s" for time, power, _ in marks]
    return _page(figure, name, [mark[:2] for mark in marks], [mark[2:] for mark in marks], notes)


def _page(
    figure: Figure,
    title: str,
    points: Sequence[tuple[float, float]],
    labels: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> bytes:
    """Return a page.

    Args:
        figure: The picture.
        title: The title of the page.
        points: The points of the marks, in the units of the axes.
        labels: The lines of text of each mark that others may share, equally many for each.
        notes: The last line of each mark.
    """
    svg = render(figure, "svg").decode()
    places = _pixels(figure, points)
    marks = {
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "labels": [_words(column) for column in zip(*labels, strict=True)],
        "notes": list(notes),
    }
    # Only `</script` and `<!--` have a meaning within a script element.
    data = json.dumps(marks, separators=(",", ":")).replace("<", "\\u003c")
    text = _PAGE.format(
        title=html.escape(shown(title, 200)), picture=svg[svg.index("<svg") :], marks=data, script=_SCRIPT
    )
    return text.encode()


def _pixels(figure: Figure, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the places of points in the rendered SVG, in its units, from its upper left corner."""
    height = figure.get_size_inches()[1] * 72
    unit = 72 / figure.dpi
    places = figure.axes[0].transData.transform(list(points))
    return [(round(across * unit, 1), round(height - up * unit, 1)) for across, up in places]


def _words(column: Sequence[str]) -> dict[str, list[str] | list[int]]:
    """Return each text once, and the index of the text of each mark."""
    words = {word: number for number, word in enumerate(dict.fromkeys(column))}
    return {"words": list(words), "of": [words[word] for word in column]}
