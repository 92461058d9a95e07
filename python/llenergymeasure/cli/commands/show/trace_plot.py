"""A power trace as a plot in the terminal: watts over time."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llenergymeasure.results.timeseries import Timeseries

Point = tuple[float, float]
"""Seconds and watts."""

SYSTEM = -1
"""The `gpu_index` of the whole system."""
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a braille character, by row and column."""
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_POWER_STEPS = 4
_ROWS_A_STEP = 2
_LEAST_COLUMNS = 12
_COLUMNS_A_TICK = 12
_NARROW_BAND = 0.5
"""The axis begins at zero if the least power is below this share of the greatest."""
_UNIT_WIDTH = 4
"""The width of a unit to the right of the times."""
_TIMES = ((3 * 3600, 3600.0, "h"), (600, 60.0, "min"), (0, 1.0, "s"))


def total_power(trace: Timeseries) -> list[Point]:
    """Return the power over time: that of the whole system if the trace has it, else the sum over GPUs.

    GPUs sampled at different times count with their last sample, and GPUs without a power do not count.
    """
    rows: dict[int, list[Point]] = {}
    for time, gpu, power in zip(trace.timestamp_s, trace.gpu_index, trace.power_w, strict=True):
        if power is not None and math.isfinite(power) and math.isfinite(time):
            rows.setdefault(gpu, []).append((time, power))
    for points in rows.values():
        points.sort()
    if SYSTEM in rows:
        return rows[SYSTEM]
    if len(rows) < 2:  # noqa: PLR2004 - nothing to add up
        return next(iter(rows.values()), [])
    begin = max(points[0][0] for points in rows.values())
    times = sorted({time for points in rows.values() for time, _ in points if time >= begin})
    return [(time, sum(_last(points, time) for points in rows.values())) for time in times]


def _last(points: Sequence[Point], time: float) -> float:
    return points[bisect_right(points, (time, math.inf)) - 1][1]


def plot(points: Sequence[Point], width: int, *, is_utf8: bool) -> list[str]:
    """Draw points that are ordered by time, in braille dots or, without UTF-8, in stars.

    Each column of dots covers all points of its time span, so that every peak shows.

    Args:
        points: Two points at least.
        width: The greatest width in columns of the terminal; one that has no room for a plot gets no lines.
        is_utf8: True if the terminal can show braille.
    """
    low, high, step = _power_axis(points)
    steps = round((high - low) / step)
    rows = steps * _ROWS_A_STEP
    labels = [f"{low + step * index:,.{_decimals(step)}f}" for index in range(steps + 1)]
    margin = max(map(len, labels)) + 3
    columns = width - margin - _UNIT_WIDTH
    if columns < _LEAST_COLUMNS:
        return []
    lines = (_braille if is_utf8 else _stars)(points, columns, rows, low, high)
    wall, tick, corner = ("│", "┤", "└") if is_utf8 else ("|", "|", "+")
    text = []
    for row, line in enumerate(lines):
        label = labels[-1 - row // _ROWS_A_STEP] if row % _ROWS_A_STEP == 0 else ""
        text.append(f"{label:>{margin - 2}} {tick if label else wall}{line}".rstrip())
    axis, times = _time_axis(points, columns, "┬" if is_utf8 else "+", "─" if is_utf8 else "-")
    return [
        f"{'W':>{margin - 2}}",
        *text,
        f"{labels[0]:>{margin - 2}} {corner}{axis}",
        f"{'':{margin}}{times}".rstrip(),
    ]


def _power_axis(points: Sequence[Point]) -> tuple[float, float, float]:
    """Return the ends of the axis and the step between its ticks, all round numbers."""
    least, most = min(power for _, power in points), max(power for _, power in points)
    if least >= 0 and least < most * _NARROW_BAND:
        least = 0.0
    step = _nice_step((most - least) or abs(most) or 1.0, _POWER_STEPS)
    low = math.floor(least / step) * step
    high = math.ceil(most / step) * step
    return low, high if high > low else low + step, step


def _nice_step(span: float, count: int) -> float:
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next(nice * power for nice in _NICE if nice * power >= rough * 0.999)


def _decimals(step: float) -> int:
    """Return the decimal places that ticks of a step need."""
    return next(
        (digits for digits in range(9) if math.isclose(step * 10**digits, round(step * 10**digits))), 9
    )


def _time_axis(points: Sequence[Point], columns: int, tick: str, line: str) -> tuple[str, str]:
    begin, end = points[0][0], points[-1][0]
    span = (end - begin) or 1.0
    _, seconds, unit = next(time for time in _TIMES if span >= time[0])
    step = _nice_step(span / seconds, max(2, columns // _COLUMNS_A_TICK))
    axis, labels = [line] * columns, [" "] * (columns + len(unit) + 1)
    number = math.ceil(begin / seconds / step - 1e-9)
    while number * step * seconds <= end + span * 1e-9:
        place = min(columns - 1, max(0, round((number * step * seconds - begin) / span * (columns - 1))))
        axis[place] = tick
        label = f"{number * step:,.{_decimals(step)}f}"
        start = min(max(0, place - len(label) // 2), columns - len(label))
        if all(mark == " " for mark in labels[max(0, start - 1) : start + len(label) + 1]):
            labels[start : start + len(label)] = label
        number += 1
    return "".join(axis), "".join(labels).rstrip() + f" {unit}"


def _levels(
    points: Sequence[Point], columns: int, levels: int, low: float, high: float
) -> list[tuple[int, int] | None]:
    """Return the least and the greatest level of the line in each column of a raster."""
    begin, span = points[0][0], (points[-1][0] - points[0][0]) or 1.0
    raster: list[tuple[int, int] | None] = [None] * columns
    before: tuple[int, int] | None = None
    for time, power in points:
        column = min(columns - 1, int((time - begin) / span * columns))
        level = min(levels - 1, max(0, round((power - low) / (high - low) * (levels - 1))))
        for there, at in _steps(before, (column, level)):
            least, most = raster[there] or (at, at)
            raster[there] = min(least, at), max(most, at)
        before = column, level
    return raster


def _steps(before: tuple[int, int] | None, now: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the points of the raster from one point to the next, a column at a time."""
    if before is not None:
        column, level = before
        for there in range(column + 1, now[0]):
            yield there, round(level + (now[1] - level) * (there - column) / (now[0] - column))
    yield now


def _braille(points: Sequence[Point], columns: int, rows: int, low: float, high: float) -> list[str]:
    tall = len(_DOTS)
    cells = [[0] * columns for _ in range(rows)]
    for place, band in enumerate(_joined(_levels(points, columns * 2, rows * tall, low, high))):
        if band is not None:
            for level in range(band[0], band[1] + 1):
                below = rows * tall - 1 - level
                cells[below // tall][place // 2] |= _DOTS[below % tall][place % 2]
    return ["".join(chr(_BRAILLE + cell) if cell else " " for cell in row) for row in cells]


def _stars(points: Sequence[Point], columns: int, rows: int, low: float, high: float) -> list[str]:
    cells = [[" "] * columns for _ in range(rows)]
    for place, band in enumerate(_levels(points, columns, rows, low, high)):
        if band is not None:
            for level in range(band[0], band[1] + 1):
                cells[rows - 1 - level][place] = "*"
    return ["".join(row) for row in cells]


def _joined(bands: list[tuple[int, int] | None]) -> Iterator[tuple[int, int] | None]:
    """Stretch the band of each column to touch the previous band."""
    before: tuple[int, int] | None = None
    for band in bands:
        if band is None or before is None:
            yield band
        elif band[0] > before[1] + 1:
            yield before[1] + 1, band[1]
        elif band[1] < before[0] - 1:
            yield band[0], before[0] - 1
        else:
            yield band
        before = band
