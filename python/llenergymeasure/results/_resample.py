"""Resampling of power and thermal samples to 1 Hz."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

from llenergymeasure import _store
from llenergymeasure._store import Timeseries
from llenergymeasure.results._log_samples import plain_samples
from llenergymeasure.results._samples import FIELDS, MEANS, Fields, check_samples
from llenergymeasure.results._values import (
    MICROSECONDS,
    Time,
    gpu_number,
    is_missing,
    named,
    to_extra,
    to_float32,
    to_mask,
    to_time,
)

_MAX_EMPTY = 1_000_000
"""Rows without samples, at most: 11 days of one GPU. A wrong timestamp adds years."""
_ADD_INDEX = "add the gpu_index of its device to each sample"

_Row: TypeAlias = tuple[Any, ...]
"""The values of a sample: the means, the throttle reasons, and the extra columns; None is missing."""


class Resampled(NamedTuple):
    """A power trace at 1 Hz."""

    trace: Timeseries
    extra: list[tuple[str, list[Any]]]
    """The columns that the caller has named: booleans, numbers or texts."""
    warnings: list[str]
    """The reasons to doubt the samples."""
    energies: dict[int, float]
    """The energy of each GPU whose samples lie within one second, in joules."""


def resample(samples: Iterable[object], gpu_index: int, extra: Iterable[str] = ()) -> Resampled:
    """Return the means of the samples of each second and GPU, from the earliest sample."""
    fields = Fields(extra)
    samples = plain_samples(samples, fields.extra)
    check_samples(samples)
    times: list[int] = []
    gpus: list[int] = []
    rows: list[_Row] = []
    names = (*MEANS, "throttle_reasons", *fields.extra)
    instants = _Instants(names)
    clock = ""
    converters = (*[to_float32] * len(MEANS), to_mask, *[to_extra] * len(fields.extra))
    for index, sample in enumerate(samples):
        get = fields.of(sample, index)
        time = _time(get("timestamp"), index)
        if time.kind != clock:
            if clock:
                raise ValueError(
                    f"timestamp of sample {index} expects {clock}, as sample 0 has, got {time.kind}; "
                    "use one kind for all samples"
                )
            clock = time.kind
        values = [get(name) for name in names]
        try:
            row = tuple([convert(value) for convert, value in zip(converters, values, strict=True)])
        except ValueError:
            for convert, value, name in zip(converters, values, names, strict=True):
                named(convert, value, f"{name} of sample {index}")
            raise
        gpu = get("gpu_index")
        gpus.append(gpu_index if gpu is None else named(gpu_number, gpu, f"gpu_index of sample {index}"))
        if gpus[-1] == gpu_index:
            instants.add(time, index, row, is_named=gpu is not None)
        times.append(time.microseconds)
        rows.append(row)
    _check_types(rows, fields.extra)
    if not times:
        empty: list[tuple[str, list[Any]]] = [(name, []) for name in fields.extra]
        return Resampled(Timeseries(timestamp_s=[], gpu_index=[], power_w=[]), empty, [], {})

    start, end = min(times), max(times)
    every_gpu, seconds = sorted(set(gpus)), (end - start) // MICROSECONDS
    if (seconds + 1) * len(every_gpu) > len(times) + _MAX_EMPTY:
        raise ValueError(
            f"expected at most {_MAX_EMPTY} rows without samples, got {seconds} s from "
            f"sample {times.index(start)} to sample {times.index(end)}; correct the wrong timestamp"
        )
    bins: dict[tuple[int, int], list[_Row]] = {}
    for time_us, gpu, row in zip(times, gpus, rows, strict=True):
        bins.setdefault(((time_us - start) // MICROSECONDS, gpu), []).append(row)
    keys = [(second, gpu) for second in range(seconds + 1) for gpu in every_gpu]
    trace, columns = _table(keys, bins, fields.extra)
    elapsed = [(time_us - start) / MICROSECONDS for time_us in times]
    warnings = [f"samples of {text}" for text in _store.clock_warnings(elapsed, gpus)]
    energies = _short_energies(
        Timeseries(timestamp_s=elapsed, gpu_index=gpus, power_w=[row[0] for row in rows])
    )
    return Resampled(trace, columns, [*warnings, *instants.warnings()], energies)


def _short_energies(samples: Timeseries) -> dict[int, float]:
    """Return the energy of each GPU whose samples with a power lie within one second."""
    seconds: dict[int, set[int]] = {}
    for time, gpu, power in zip(samples.timestamp_s, samples.gpu_index, samples.power_w, strict=True):
        if power is not None:
            seconds.setdefault(gpu, set()).add(int(time))
    energies = samples.energy_per_gpu_j
    return {
        gpu: energy for gpu in seconds if len(seconds[gpu]) == 1 and (energy := energies[gpu]) is not None
    }


class _Instants:
    """The samples without a GPU of their own, by their time: several at one time are of several devices."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._first: dict[object, tuple[int, list[Any]]] = {}
        self._repeated: set[object] = set()
        self._named: dict[object, tuple[int, _Row]] = {}

    def add(self, time: Time, index: int, row: _Row, *, is_named: bool) -> None:
        """Add a sample without a GPU, or one that names the GPU which such samples belong to.

        Raises:
            ValueError: Another sample without a GPU has the same time and another value.
        """
        if is_named:
            self._named.setdefault(time.exact, (index, row))
            return
        earlier, known = self._first.setdefault(time.exact, (index, list(row)))
        if earlier == index:
            return
        for place, value in enumerate(row):
            if value is None or known[place] is None:
                known[place] = value if known[place] is None else known[place]
                continue
            self._repeated.add(time.exact)
            if value != known[place]:
                raise ValueError(
                    f"sample {index} expects another timestamp than sample {earlier}, got the same and "
                    f"another {self._names[place]} ({known[place]!r}, then {value!r}); {_ADD_INDEX}"
                )

    def warnings(self) -> list[str]:
        """Return a warning of samples that occur twice.

        Raises:
            ValueError: Most of the times occur several times, or one occurs with and without a GPU.
        """
        for time, (index, known) in self._first.items() if self._named else ():
            other, row = self._named.get(time, (index, ()))
            if any(None not in pair and pair[0] != pair[1] for pair in zip(known, row, strict=False)):
                raise ValueError(
                    f"sample {index} expects a gpu_index, as sample {other} of the same timestamp has, "
                    f"got none and other values; {_ADD_INDEX}"
                )
        repeated, total = len(self._repeated), len(self._first)
        if repeated > 1 and repeated > total / 2:
            raise ValueError(
                f"expected one sample for each timestamp, got several for {repeated} of {total} timestamps, "
                f"which are of several devices; {_ADD_INDEX}"
            )
        if not repeated:
            return []
        first = min(self._first[time][0] for time in self._repeated)
        return [f"samples: {repeated} of {total} timestamps have several equal samples, first sample {first}"]


def _time(value: object, index: int) -> Time:
    if not isinstance(value, float) and is_missing(value):
        raise ValueError(f"sample {index} expects a timestamp, got none")
    return named(to_time, value, f"timestamp of sample {index}")


def _check_types(rows: list[_Row], extra: tuple[str, ...]) -> None:
    """Reject an extra column of several types."""
    for place, name in enumerate(extra, len(FIELDS) - 2):
        types: dict[type, int] = {}
        for index, row in enumerate(rows):
            if row[place] is not None:
                types.setdefault(type(row[place]), index)
        if len(types) > 1:
            (one, first), (other, second), *_ = types.items()
            raise ValueError(
                f"{name} of sample {second} expects {one.__name__}, as sample {first} has, "
                f"got {other.__name__}; use one type for all samples"
            )


def _table(
    keys: list[tuple[int, int]], bins: dict[tuple[int, int], list[_Row]], extra: tuple[str, ...]
) -> tuple[Timeseries, list[tuple[str, list[Any]]]]:
    """Return the means as columns, with a row for every second and GPU."""
    empty: _Row = (None,) * (len(MEANS) + 1 + len(extra))
    columns = list(zip(*[_summary(bins[key]) if key in bins else empty for key in keys], strict=True))
    power, temperature, used, total, utilisation, throttle = columns[: len(MEANS) + 1]
    trace = Timeseries(
        timestamp_s=[float(second) for second, _ in keys],
        gpu_index=[gpu for _, gpu in keys],
        power_w=power,
        temperature_c=temperature,
        memory_used_mb=used,
        memory_total_mb=total,
        sm_utilisation_pct=utilisation,
        throttle_reasons=throttle,
    )
    added = columns[len(MEANS) + 1 :]
    return trace, [(name, list(column)) for name, column in zip(extra, added, strict=True)]


def _summary(rows: list[_Row]) -> _Row:
    """Return one row for the rows of one second and GPU."""
    columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    return tuple(_summary_of(values) if values else None for values in columns)


def _summary_of(values: list[Any]) -> Any:  # noqa: ANN401 - the type of the values
    """Return the mean of numbers, the bitwise or of masks and booleans, or the last text."""
    if isinstance(values[0], float):
        return math.fsum(values) / len(values)
    return values[-1] if isinstance(values[0], str) else reduce(operator.or_, values)
