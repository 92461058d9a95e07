"""Power traces: write of resampled samples, and read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure._store import Timeseries
from llenergymeasure.results._limit import check_limit, max_trace_bytes
from llenergymeasure.results._limit import max_bytes as max_record_bytes
from llenergymeasure.results._paths import Place, handle, local_path, located, to_place
from llenergymeasure.results._resample import resample
from llenergymeasure.results._values import gpu_number, named

if TYPE_CHECKING:
    from llenergymeasure.types import PathArgument

__all__ = ["Timeseries", "read_timeseries", "write_timeseries_parquet"]


def write_timeseries_parquet(
    samples: Iterable[object],
    output_path: str | os.PathLike[str],
    gpu_index: int = 0,
    *,
    extra: Iterable[str] = (),
) -> Path:
    """Resample power and thermal samples to 1 Hz, and write them as Parquet with zstd.

    A sample is a mapping or an object with some of `timestamp`, `gpu_index`, `power_w`, `temperature_c`,
    `memory_used_mb`, `memory_total_mb`, `sm_utilisation` and `throttle_reasons`. A value that is absent, None
    or NaN is missing. The samples may come in any order, from any iterable, and are held in memory.

    A row is one second of one GPU; rows are sorted by time, then by GPU. `timestamp_s` is 0.0, 1.0, ... from
    the earliest sample, and a row covers the samples from its `timestamp_s` to just before the next; times
    count in whole microseconds. A row holds the arithmetic mean of each quantity, rounded to float32, and the
    bitwise or of `throttle_reasons`; null where all values are missing. Every GPU has a row for every second
    from the first sample to the last, so a second without samples is a row of nulls.

    The write is durable and atomic, and replaces a file of the same name. The file is a valid
    `timeseries_source`. Without samples, it has the columns and no rows. If the clock stepped back between
    samples, or samples occur twice, the file says so in the `warnings` of the trace that is read from it.

    Args:
        samples: The samples. `timestamp` is a number of seconds from any origin, a datetime, or the timedelta
            since the start, also of numpy and pandas in any unit. All are of one kind, and datetimes are all
            aware or all naive. `throttle_reasons` is an integer of up to 63 bits. A table gives its rows as
            mappings: `frame.to_dict("records")` in pandas, `frame.iter_rows(named=True)` in polars. The
            columns of a `csv.DictReader` may have the names of nvidia-smi or another tool, and its cells
            units and `[N/A]`.
        output_path: The file, in an existing directory.
        gpu_index: The GPU of the samples without a `gpu_index` of their own; -1 is the whole system.
        extra: The names of more columns to write. The numbers of a second become their mean (float64),
            booleans their or, and texts the last one. `read_timeseries` omits these columns;
            `ResultStore.scan_timeseries` reads them.

    Returns:
        `output_path`.

    Raises:
        ValueError: A sample has no timestamp; a value that is not a number, not finite, or too large for its
            column; or a key that is neither a field nor in `extra` (an object may have attributes of its own,
            but no misspelt field). Samples without a `gpu_index` have one timestamp and different values, so
            that they are of several devices. The rows would exceed the samples by a million, which a wrong
            timestamp causes. The message has the index of the sample, from 0. Nothing was written.
        TypeError: `extra` is not a list of names.
        PersistenceError: The file could not be written, and the old one is unchanged; or (`committed`) the
            new file is in place and its flush failed.

    Limits: naive datetimes are compared as they are, so a change of the clocks shifts them by an hour.
    """
    path = local_path(output_path, "output_path")
    resampled = resample(samples, named(gpu_number, gpu_index, "gpu_index"), extra)
    _store.write_timeseries(path, *resampled)
    return Path(path)


def write_trace(trace: Timeseries, output_path: str | os.PathLike[str]) -> Path:
    """Write a power trace with its notes; see `write_timeseries_parquet`."""
    path = local_path(output_path, "output_path")
    _store.write_timeseries(path, trace)
    return Path(path)


def read_timeseries(path: PathArgument, *, max_bytes: int | None = None) -> Timeseries:
    """Read a power trace into memory.

    A power trace is a Parquet file with `timestamp_s` and `power_w`, compressed with zstd, snappy or not at
    all. Without `gpu_index`, the GPU is 0, and the energy is None if rows of one time have different powers:
    they are of several devices. Other columns of `Timeseries` that are absent are null, and columns of other
    names are omitted. `Timeseries.warnings` reports doubtful clocks and an unknown energy.

    Numbers of all types (integers, floats, decimals, also in dictionaries) are converted to those of
    `Timeseries`: an integer exactly or not at all, a fraction to the nearest float. `timestamp_s` may be a
    duration of any unit. Every reader of power traces converts in this way: `scan_timeseries`,
    `verify(deep=True)`, `llem show` and `llem plot`, too.

    All reads of the process together use `max_bytes` of memory; a read waits until there is room.

    Args:
        path: The Parquet file, a result's directory, or its `result.json` (any path that ends in `.json`).
            For a result, its sidecar is read. In an object store, a Parquet file has a name that ends in
            `.parquet`.
        max_bytes: The memory of all power traces that are read at once, in bytes; one trace may have half of
            it. None is the value of the environment variable `LLEM_MAX_TRACE_BYTES`, or else 1 GiB.

    Raises:
        PersistenceError: The file cannot be read; a `FileNotFoundError` if it does not exist.
        ResultCorruptError: The file is empty, truncated, not Parquet, or inconsistent.
        ResultError: The file is complete, but lacks `timestamp_s` or `power_w`; has a column that is not one
            of numbers (a timestamp, a boolean, a text, a list) or a value that does not fit its column (a
            fraction as `gpu_index`, an integer that no float equals, a number too large for a float32); or
            needs more memory than it may have.
        TypeError: `max_bytes` is not an integer.
        ValueError: `max_bytes` is less than 1.
    """
    return read_trace(path, None, check_limit(max_bytes, "max_bytes"))


def read_trace(path: PathArgument, limit: int | None, trace_limit: int | None) -> Timeseries:
    """Read a power trace; see `read_timeseries`. `limit` is the largest record in bytes."""
    place = located(path)
    if _is_of_result(place):
        place = to_place(place, _store.sidecar_path(handle(place), max_record_bytes(limit)))
    return _store.read_timeseries(handle(place), max_trace_bytes(trace_limit))


def _is_of_result(place: Place) -> bool:
    """Return True for a result's directory or record, and False for a Parquet file."""
    if isinstance(place, str):
        return place.endswith(".json") or os.path.isdir(place)  # noqa: PTH112
    return place.suffix != ".parquet"
