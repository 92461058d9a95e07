"""The table and the plot of `scale.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

__all__ = ["MOST_GROWTH", "MOST_MB", "draw", "markdown", "show"]

MOST_GROWTH = 1.2
"""The target: processor time per result at the largest size, over that at 10 000."""
MOST_MB = 300
"""The target: the peak of a process, in megabytes."""
_FEW = 10_000

Row = dict[str, Any]


def show(rows: list[Row]) -> Table:
    """Return the measurements as a table of the terminal."""
    heads, lines = _table(rows)
    table = Table(title="processor time per result · wall time · peak", title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line)
    return table


def markdown(rows: list[Row]) -> str:
    """Return the measurements as a table of a document."""
    heads, lines = _table(rows)
    text = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    text += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(text) + "\n"


def growth(rows: Iterable[Row]) -> float | None:
    """Return the processor time per result at the largest size over that at 10 000 results, or None."""
    by_size = {row["results"]: row["cpu_us"] for row in rows}
    largest = max(by_size)
    return by_size[largest] / by_size[_FEW] if _FEW in by_size and largest > _FEW else None


def _table(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the lines: a column for each size, and the growth."""
    sizes = sorted({row["results"] for row in rows})
    heads = ["step", *(f"{size:,}" for size in sizes), "growth"]
    lines = []
    for name in dict.fromkeys(row["step"] for row in rows):
        of_step = [row for row in rows if row["step"] == name]
        by_size = {row["results"]: row for row in of_step}
        cells = [_cell(by_size.get(size)) for size in sizes]
        factor = growth(of_step)
        lines.append([name, *cells, "" if factor is None else f"{factor:.2f}"])
    return heads, lines


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row['cpu_us']:.1f} µs · {row['wall_s']:.2f} s · {row['peak_mb']:.0f} MB"


def draw(rows: list[Row], path: Path) -> None:
    """Draw the processor time per result against the number of results."""
    import matplotlib as mpl  # noqa: PLC0415 - only for the plot

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "llenergymeasure"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 5))
    for name in dict.fromkeys(row["step"] for row in rows):
        of_step = [row for row in rows if row["step"] == name]
        if name.startswith("save one") or name.endswith(" cold"):
            continue  # not a cost per result; the processor time hardly depends on the caches
        axes.plot(
            [row["results"] for row in of_step],
            [row["cpu_us"] for row in of_step],
            marker="o",
            linestyle="-" if of_step[0]["is_ours"] else "--",
            label=name,
        )
    axes.set(xscale="log", yscale="log", xlabel="results", ylabel="processor time per result [µs]")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
