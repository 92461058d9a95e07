"""Power and thermal samples at any rate, averaged over seconds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial, reduce
from typing import Any

from llenergymeasure._store import Timeseries

__all__ = ["gpu_number", "resample"]

_MEANS = ("power_w", "temperature_c", "memory_used_mb", "memory_total_mb", "sm_utilisation")
"""What is averaged; in the file the last is `sm_utilisation_pct`."""
_LARGEST = 3.4028234663852886e38
"""The largest float32: a column holds no more."""
_LARGEST_MASK = 2**63 - 1
_LARGEST_INDEX = 2**31 - 1
_MOST_EMPTY = 1_000_000
"""Rows that a trace may have beyond its samples: 11 days of one GPU. A wrong timestamp asks for years."""
_NUMBER = "a number"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is put to it where there is one
_MICROSECOND = timedelta(microseconds=1)

_Row = tuple[float | None, float | None, float | None, float | None, float | None, int | None]
_EMPTY: _Row = (None, None, None, None, None, None)


def resample(samples: Iterable[object], gpu_index: int) -> Timeseries:
    """Average samples over the seconds from the earliest of them, for each GPU."""
    times: list[float] = []
    gpus: list[int] = []
    rows: list[_Row] = []
    clock = ""
    for index, sample in enumerate(samples):
        get = sample.get if isinstance(sample, Mapping) else _attributes(sample)
        kind, time = _time(get("timestamp", None), index)
        if kind != clock:
            if clock:
                raise ValueError(
                    f"the timestamp of sample {index} is {kind}, and that of sample 0 is {clock}: "
                    "which of them is earlier cannot be said; give all of one kind"
                )
            clock = kind
        gpu = get("gpu_index", None)
        times.append(time)
        gpus.append(gpu_index if gpu is None else gpu_number(gpu, f"gpu_index of sample {index}"))
        power, temperature, used, total, utilisation = [
            _value(get(name, None), name, index) for name in _MEANS
        ]
        throttle = _mask(get("throttle_reasons", None), index)
        rows.append((power, temperature, used, total, utilisation, throttle))
    if not times:
        return Timeseries(timestamp_s=[], gpu_index=[], power_w=[])

    second = 1 if clock == _NUMBER else 1_000_000
    start, end = min(times), max(times)
    every_gpu = sorted(set(gpus))
    if (end - start) / second * len(every_gpu) > len(times) + _MOST_EMPTY:
        raise ValueError(
            f"from sample {times.index(start)} to sample {times.index(end)} it is "
            f"{(end - start) / second:.0f} s, and more than {_MOST_EMPTY} rows would have no sample: "
            "one of their timestamps must be wrong"
        )
    bins: dict[tuple[int, int], list[_Row]] = {}
    for time, gpu, row in zip(times, gpus, rows, strict=True):
        bins.setdefault((math.floor((time - start) // second), gpu), []).append(row)
    return _table(bins, every_gpu, math.floor((end - start) // second) + 1)


def _table(bins: dict[tuple[int, int], list[_Row]], every_gpu: list[int], length: int) -> Timeseries:
    """Put the means of the bins into columns, a row for every second and GPU."""
    places = [(second, gpu) for second in range(length) for gpu in every_gpu]
    means = [_mean(bins[place]) if place in bins else _EMPTY for place in places]
    power, temperature, used, total, utilisation, throttle = zip(*means, strict=True)
    return Timeseries(
        timestamp_s=[float(second) for second, _ in places],
        gpu_index=[gpu for _, gpu in places],
        power_w=power,
        temperature_c=temperature,
        memory_used_mb=used,
        memory_total_mb=total,
        sm_utilisation_pct=utilisation,
        throttle_reasons=throttle,
    )


def _mean(rows: list[_Row]) -> _Row:
    """Average the quantities of one second, and collect the bits of its masks."""
    *columns, masks = zip(*rows, strict=True)
    present = [[value for value in column if value is not None] for column in columns]
    power, temperature, used, total, utilisation = [
        math.fsum(values) / len(values) if values else None for values in present
    ]
    bits = [mask for mask in masks if mask is not None]
    return power, temperature, used, total, utilisation, reduce(operator.or_, bits) if bits else None


def _attributes(sample: object) -> Callable[[str, None], Any]:
    """Look attributes up as a mapping's keys are."""
    return partial(getattr, sample)


def _time(value: object, index: int) -> tuple[str, float]:
    """Return the kind of a timestamp, and it in seconds, or in whole microseconds where it is a datetime."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return "a naive datetime", (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        return "an aware datetime", (value - _EPOCH.replace(tzinfo=timezone.utc)) // _MICROSECOND
    if value is None:
        raise ValueError(f"sample {index} has no timestamp")
    time = _number(value, "timestamp", index)
    if not math.isfinite(time):
        raise ValueError(f"timestamp of sample {index} is {time}: it must be a finite number, or a datetime")
    return _NUMBER, time


def _value(value: object, name: str, index: int) -> float | None:
    """Return a quantity; None where there is none."""
    if value is None:
        return None
    number = value if type(value) is float else _number(value, name, index)
    if -_LARGEST <= number <= _LARGEST:
        return number
    if math.isnan(number):
        return None
    raise ValueError(f"{name} of sample {index} is {number}: it must be a finite number, and fit a float32")


def _mask(value: object, index: int) -> int | None:
    """Return a bit mask; None where there is none."""
    if value is None:
        return None
    try:
        mask = operator.index(value)  # type: ignore[arg-type]
    except TypeError:  # a table with nulls has its integers as floats
        number = _number(value, "throttle_reasons", index)
        if math.isnan(number):
            return None
        mask = int(number) if number.is_integer() else -1
    if 0 <= mask <= _LARGEST_MASK:
        return mask
    raise ValueError(f"throttle_reasons of sample {index} must be a bit mask: an integer from 0 to 2**63 - 1")


def _number(value: object, name: str, index: int) -> float:
    """Return a number of any type as a float; text is none."""
    if isinstance(value, (str, bytes, bytearray, bool)):
        raise _not_a_number(value, name, index)
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(f"{name} of sample {index} is too large a number") from None
    except (TypeError, ValueError):
        raise _not_a_number(value, name, index) from None


def _not_a_number(value: object, name: str, index: int) -> ValueError:
    return ValueError(f"{name} of sample {index} is not a number, but {type(value).__name__}")


def gpu_number(value: object, what: str) -> int:
    """Return the number of a GPU."""
    try:
        index = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{what} is not an integer, but {type(value).__name__}") from None
    if -1 <= index <= _LARGEST_INDEX:
        return index
    raise ValueError(f"{what} must be a GPU's number, or -1 for the whole system, and below 2**31")
