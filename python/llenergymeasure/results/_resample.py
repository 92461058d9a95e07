"""Resampling of power and thermal samples to 1 Hz."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial, reduce
from typing import Any

from llenergymeasure._store import Timeseries

_MEANS = ("power_w", "temperature_c", "memory_used_mb", "memory_total_mb", "sm_utilisation")
"""The quantities that are averaged; `sm_utilisation` is `sm_utilisation_pct` in the file."""
_LARGEST = 3.4028234663852886e38
"""The largest float32, which is the type of the columns."""
_LARGEST_MASK = 2**63 - 1
_LARGEST_INDEX = 2**31 - 1
_MAX_EMPTY = 1_000_000
"""Rows without samples, at most: 11 days of one GPU. A wrong timestamp adds years."""
_NUMBER = "a number"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - an aware time gets the zone
_MICROSECOND = timedelta(microseconds=1)

_Row = tuple[float | None, float | None, float | None, float | None, float | None, int | None]
_EMPTY: _Row = (None, None, None, None, None, None)


def resample(samples: Iterable[object], gpu_index: int) -> Timeseries:
    """Return the means of the samples of each second and GPU, from the earliest sample."""
    times: list[float] = []
    gpus: list[int] = []
    rows: list[_Row] = []
    clock = ""
    for index, sample in enumerate(samples):
        get: Callable[[str, None], Any]
        get = sample.get if isinstance(sample, Mapping) else partial(getattr, sample)
        kind, time = _time(get("timestamp", None), index)
        if kind != clock:
            if clock:
                raise ValueError(
                    f"timestamp of sample {index} expects {clock}, as sample 0 has, got {kind}; "
                    "use one kind for all samples"
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
    if (end - start) / second * len(every_gpu) > len(times) + _MAX_EMPTY:
        raise ValueError(
            f"expected at most {_MAX_EMPTY} rows without samples, got {(end - start) / second:.0f} s from "
            f"sample {times.index(start)} to sample {times.index(end)}; correct the wrong timestamp"
        )
    bins: dict[tuple[int, int], list[_Row]] = {}
    for time, gpu, row in zip(times, gpus, rows, strict=True):
        bins.setdefault((math.floor((time - start) // second), gpu), []).append(row)
    return _table(bins, every_gpu, math.floor((end - start) // second) + 1)


def _table(bins: dict[tuple[int, int], list[_Row]], every_gpu: list[int], length: int) -> Timeseries:
    """Return the means as columns, with a row for every second and GPU."""
    keys = [(second, gpu) for second in range(length) for gpu in every_gpu]
    means = [_mean(bins[key]) if key in bins else _EMPTY for key in keys]
    power, temperature, used, total, utilisation, throttle = zip(*means, strict=True)
    return Timeseries(
        timestamp_s=[float(second) for second, _ in keys],
        gpu_index=[gpu for _, gpu in keys],
        power_w=power,
        temperature_c=temperature,
        memory_used_mb=used,
        memory_total_mb=total,
        sm_utilisation_pct=utilisation,
        throttle_reasons=throttle,
    )


def _mean(rows: list[_Row]) -> _Row:
    """Return the means of the quantities of one second, and the bitwise or of its masks."""
    *columns, masks = zip(*rows, strict=True)
    present = [[value for value in column if value is not None] for column in columns]
    power, temperature, used, total, utilisation = [
        math.fsum(values) / len(values) if values else None for values in present
    ]
    bits = [mask for mask in masks if mask is not None]
    return power, temperature, used, total, utilisation, reduce(operator.or_, bits) if bits else None


def _time(value: object, index: int) -> tuple[str, float]:
    """Return the kind of a timestamp, and its value: seconds, or microseconds of a datetime."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return "a naive datetime", (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        return "an aware datetime", (value - _EPOCH.replace(tzinfo=timezone.utc)) // _MICROSECOND
    if value is None:
        raise ValueError(f"sample {index} expects a timestamp, got none")
    time = _number(value, "timestamp", index)
    if not math.isfinite(time):
        raise ValueError(f"timestamp of sample {index} expects a finite number or a datetime, got {time}")
    return _NUMBER, time


def _value(value: object, name: str, index: int) -> float | None:
    """Return a quantity; None if it is missing."""
    if value is None:
        return None
    number = value if type(value) is float else _number(value, name, index)
    if -_LARGEST <= number <= _LARGEST:
        return number
    if math.isnan(number):
        return None
    raise ValueError(f"{name} of sample {index} expects a finite number that fits a float32, got {number}")


def _mask(value: object, index: int) -> int | None:
    """Return a bit mask; None if it is missing."""
    if value is None:
        return None
    try:
        mask = operator.index(value)  # type: ignore[arg-type]
    except TypeError:  # a table with nulls stores integers as floats
        number = _number(value, "throttle_reasons", index)
        if math.isnan(number):
            return None
        mask = int(number) if number.is_integer() else -1
    if 0 <= mask <= _LARGEST_MASK:
        return mask
    raise ValueError(
        f"throttle_reasons of sample {index} expects an integer from 0 to 2**63 - 1, got {value!r}"
    )


def _number(value: object, name: str, index: int) -> float:
    """Return a number of any type as a float; reject text."""
    if isinstance(value, (str, bytes, bytearray, bool)):
        raise _not_a_number(value, name, index)
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(
            f"{name} of sample {index} expects a float, got a number that is too large"
        ) from None
    except (TypeError, ValueError):
        raise _not_a_number(value, name, index) from None


def _not_a_number(value: object, name: str, index: int) -> ValueError:
    return ValueError(f"{name} of sample {index} expects a number, got {type(value).__name__}")


def gpu_number(value: object, what: str) -> int:
    """Return the index of a GPU; `what` names it in messages."""
    try:
        index = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{what} expects an integer, got {type(value).__name__}") from None
    if -1 <= index <= _LARGEST_INDEX:
        return index
    raise ValueError(f"{what} expects a GPU from 0 to 2**31 - 1, or -1 for the whole system, got {index}")
