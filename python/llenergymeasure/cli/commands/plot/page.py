"""A picture in a page of its own, which tells of the mark that the pointer is at; it loads nothing."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

from llenergymeasure.plotting._figure import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["page"]

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


def page(
    title: str,
    picture: bytes,
    places: Sequence[tuple[float, float]],
    labels: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> bytes:
    """Return the page.

    Args:
        title: Of the page.
        picture: The SVG.
        places: Where each mark is in it.
        labels: The lines of text of each mark that other marks may have too, as many for each.
        notes: The last line of each mark.
    """
    svg = picture.decode()
    marks = {
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "labels": [_words(column) for column in zip(*labels, strict=True)],
        "notes": list(notes),
    }
    # Within a script element nothing but `</script` and `<!--` has a meaning, and both begin with this.
    data = json.dumps(marks, separators=(",", ":")).replace("<", "\\u003c")
    text = _PAGE.format(
        title=html.escape(shown(title, 200)), picture=svg[svg.index("<svg") :], marks=data, script=_SCRIPT
    )
    return text.encode()


def _words(column: Sequence[str]) -> dict[str, list[str] | list[int]]:
    """Return each text once, and which one each mark has."""
    words = {word: number for number, word in enumerate(dict.fromkeys(column))}
    return {"words": list(words), "of": [words[word] for word in column]}
