"""The power trace of a result: resampled to 1 Hz, written, and read back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic_core import from_json

from llenergymeasure import _store
from llenergymeasure._store import Timeseries
from llenergymeasure.results._limit import max_bytes
from llenergymeasure.results._resample import gpu_number, resample

__all__ = ["Timeseries", "read_timeseries", "write_timeseries_parquet"]


def write_timeseries_parquet(
    samples: Iterable[object], output_path: str | os.PathLike[str], gpu_index: int = 0
) -> Path:
    """Resample power and thermal samples to 1 Hz, and write them as Parquet with zstd.

    A sample is a mapping or an object with some of `timestamp`, `power_w`, `temperature_c`, `memory_used_mb`,
    `memory_total_mb`, `sm_utilisation` and `throttle_reasons`. What is missing, None or NaN is no value. The
    samples may come in any order, from any iterable; all are held in memory until the end.

    Each row is one second of one GPU, by time and then by GPU: `timestamp_s` is 0.0, 1.0, ... from the
    earliest sample of all, and the row has the samples from there until just before the next. It holds the
    arithmetic mean of each quantity, rounded to float32, and every bit that was set in any of its
    `throttle_reasons`; null where there was no value. A second without a sample is a row of nulls: every GPU
    has a row for every second from the first sample to the last.

    The file is written durably, whole or not at all, over whatever has its name, and can be a
    `timeseries_source`. No samples make a file with the columns and no rows.

    Args:
        samples: The samples. `timestamp` is a number of seconds since whenever, or a datetime; all are of
            one kind, and datetimes all aware or all naive. Naive ones are taken as they stand: a change of
            the clocks between them is an hour too much or too little. `throttle_reasons` is an integer of up
            to 63 bits. A table gives its rows as mappings: `frame.to_dict("records")` in pandas,
            `frame.iter_rows(named=True)` in polars.
        output_path: The file; its directory must be there.
        gpu_index: The GPU of every sample that has no `gpu_index` of its own; -1 is the whole system.

    Returns:
        `output_path`.

    Raises:
        ValueError: A sample has no timestamp, or a value that is no finite number or too large for its
            column; or there would be a million rows more than samples, as a wrong timestamp makes them. The
            message names the sample by its place in `samples`, from 0. Nothing was written.
        PersistenceError: The file could not be written, and what was there is unchanged; or (`committed`) it
            is in place and its flush failed.
    """
    path = os.fsdecode(output_path)
    trace = resample(samples, gpu_number(gpu_index, "gpu_index"))
    _store.write_timeseries(path, trace)
    return Path(path)


def read_timeseries(path: str | os.PathLike[str]) -> Timeseries:
    """Read a power trace into memory.

    Any Parquet file with `timestamp_s` and `power_w` is one, compressed with zstd, snappy or not at all. A
    file without `gpu_index` is of GPU 0; the other usual columns are null where they are missing, and columns
    of other names are left out. Numbers of other types become the usual ones where they fit.

    Args:
        path: The Parquet file; or a result's directory or its `result.json` (whatever ends in `.json`), and
            then the sidecar beside it is read.

    Raises:
        PersistenceError: The file cannot be read; it is a `FileNotFoundError` where there is none.
        ResultCorruptError: The file is empty, truncated, no Parquet file, or claims what it does not hold.
        ResultError: The file is whole, but lacks `timestamp_s` or `power_w`, holds what does not fit its
            column, or has more than 2**25 rows.
    """
    return read_trace(path, None)


def read_trace(path: str | os.PathLike[str], limit: int | None) -> Timeseries:
    """Read a power trace, beside a record of at most so many bytes: see `read_timeseries`."""
    path = os.fsdecode(path)
    if path.endswith(".json") or os.path.isdir(path):  # noqa: PTH112
        path = _sidecar(path, max_bytes(limit))
    return _store.read_timeseries(path)


def _sidecar(path: str, limit: int) -> str:
    """Return where the sidecar of a result is, by the name that its record gives it."""
    record, content, _ = _store.read(path, limit)
    try:
        name = from_json(content)["timeseries"]
    except (ValueError, TypeError, LookupError):  # a trace can be read beside a record that cannot
        name = None
    if not isinstance(name, str) or name in ("", ".", "..") or any(mark in name for mark in "/\\\0"):
        name = _store.SIDECAR
    return os.path.join(os.path.dirname(record), name)  # noqa: PTH118, PTH120
