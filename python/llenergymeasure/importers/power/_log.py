"""A power log in memory: its energy between two times, and its power trace at 1 Hz."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from llenergymeasure import _store
from llenergymeasure._store import Timeseries
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers.power._samples import Readings, Samples
from llenergymeasure.results._log_cells import MICROSECONDS, moment_of_datetime
from llenergymeasure.results.timeseries import write_trace

__all__ = ["PowerLog"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LONG_GAP = 10
"""A gap is reported if it is so many times the usual interval."""
_GAP = 5 * MICROSECONDS
"""A gap is reported if it is longer than this, too."""
_MAX_ROWS = 10_000_000
"""Rows of a trace, at most: a wrong time adds years."""


@dataclass(frozen=True, kw_only=True)
class PowerLog:
    """A power log.

    Attributes:
        path: The file.
        tool: The tool that wrote it, as far as its columns tell.
        power_columns: The columns of the power.
        gpus: The name of each GPU in the log, by its `gpu_index`.
        kind: `"aware"`, `"naive"` or `"elapsed"`: what the times of the log are.
        zone: The zone of times without one, of the log or of the runs; None is unknown.
        warnings: The reasons to doubt the samples, as sentences.
    """

    path: Path
    tool: str
    power_columns: tuple[str, ...]
    gpus: dict[int, str]
    kind: str
    zone: tzinfo | None
    warnings: tuple[str, ...]
    samples: dict[int, Samples] = field(repr=False)

    @cached_property
    def _readings(self) -> dict[int, Readings]:
        return {gpu: samples.readings() for gpu, samples in self.samples.items()}

    @property
    def start(self) -> datetime | None:
        """The time of the first sample; None of a log without dates."""
        return self._datetime(min(samples.times[0] for samples in self.samples.values()))

    @property
    def end(self) -> datetime | None:
        """The time of the last sample; None of a log without dates."""
        return self._datetime(max(samples.times[-1] for samples in self.samples.values()))

    def energy_j(self, start: datetime | None = None, end: datetime | None = None) -> float:
        """Return the energy of all GPUs between two times, in joules; None is an end of the log.

        The power between two samples is on the line between them, so that the ends of a run are exact. A run
        may begin and end as much as one usual interval outside the log; the power is then that of the nearest
        sample.

        Raises:
            NotImportableError: The log does not cover the time; a GPU has no power; or one of the times has a
                zone and the other none, and `zone` is not known.
        """
        return float(sum(self._exact_energies(start, end).values()))

    def energy_per_gpu_j(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> dict[int, float]:
        """Return the energy of each GPU, by its `gpu_index`, in joules; see `energy_j`."""
        return {gpu: float(energy) for gpu, energy in self._exact_energies(start, end).items()}

    def _exact_energies(self, start: datetime | None, end: datetime | None) -> dict[int, Fraction]:
        found = {}
        for gpu in self.samples:
            readings, begin, stop = self._covering(gpu, start, end)
            found[gpu] = readings.exact_energy_j(begin, stop)
        return found

    def warnings_of(self, start: datetime | None = None, end: datetime | None = None) -> list[str]:
        """Return the reasons to doubt the energy between two times, as sentences."""
        found = list(self.warnings)
        for gpu in self.samples:
            readings, begin, stop = self._covering(gpu, start, end)
            gap = readings.longest_gap(begin, stop)
            if gap > max(_GAP, _LONG_GAP * readings.interval):
                seconds = gap / MICROSECONDS
                found.append(f"the power log has no sample of GPU {gpu} for {seconds:.1f} s of the run")
            outside = max(readings.times[0] - begin, stop - readings.times[-1])
            if outside > 0:
                found.append(
                    f"the power log of GPU {gpu} ends {outside / MICROSECONDS:.3f} s inside the run; its "
                    "power "
                    "there is that of the nearest sample"
                )
        return found

    def trace(self, start: datetime | None = None, end: datetime | None = None) -> Timeseries:
        """Return the samples between two times as a power trace at 1 Hz, one row per second and GPU.

        `timestamp_s` counts from `start`. A row has the mean power of its second, which is the energy of the
        second divided by its length; the last second ends with the run. Other quantities are the means of the
        samples in the second, and null without any. The trace notes the energy of the log, so that its
        `energy_j` is that of `energy_j(start, end)`, and the names of the GPUs.

        Raises:
            NotImportableError: As of `energy_j`.
        """
        begin, stop = self._span(start, end)
        seconds = max(1, -(-(stop - begin) // MICROSECONDS))
        if seconds * len(self.samples) > _MAX_ROWS:
            raise NotImportableError(
                f"expected a trace of at most {_MAX_ROWS:,} rows, got {seconds:,} s of {len(self.samples)} "
                "GPUs; correct a wrong time"
            )
        columns, integrals = {}, {}
        for gpu, readings in self._readings.items():
            powers: list[float | None] = [None] * seconds
            if readings.times:
                _, first, last = self._covering(gpu, start, end)
                ticks = range(begin, begin + seconds * MICROSECONDS, MICROSECONDS)
                powers = list(_mean_powers(readings, ticks, first, last))
                count = seconds - powers.count(None)
                if last > first:
                    integrals[gpu] = (count, readings.energy_j(first, last))
            columns[gpu] = {"power_w": powers} | self._others(gpu, begin, stop, seconds)
        names = sorted({name for rows in columns.values() for name in rows})
        keys = [(second, gpu) for second in range(seconds) for gpu in columns]
        values: dict[str, Any] = {
            name: [columns[gpu][name][second] if name in columns[gpu] else None for second, gpu in keys]
            for name in names
        }
        if "sm_utilisation" in values:
            values["sm_utilisation_pct"] = values.pop("sm_utilisation")
        trace = Timeseries(
            timestamp_s=[float(second) for second, _ in keys], gpu_index=[gpu for _, gpu in keys], **values
        )
        return _store.noted_timeseries(trace, self.warnings, integrals, self.gpus)

    def write(self, path: str | Path, start: datetime | None = None, end: datetime | None = None) -> Path:
        """Write the power trace of `trace` as a Parquet file, durably and atomically; return its path."""
        return write_trace(self.trace(start, end), path)

    @property
    def origin(self) -> dict[str, Any]:
        """The file, the columns and the GPUs, for the configuration of a result."""
        gpus = {str(gpu): name for gpu, name in self.gpus.items()}
        return {"file": self.path.name, "tool": self.tool, "columns": list(self.power_columns), "gpus": gpus}

    def _others(self, gpu: int, begin: int, stop: int, seconds: int) -> dict[str, list[float | None]]:
        """Return the columns of one GPU but its power."""
        samples = self.samples[gpu]
        return {
            name: list(_means(samples, values, begin, stop, seconds))
            for name, values in samples.others.items()
        }

    def _covering(self, gpu: int, start: datetime | None, end: datetime | None) -> tuple[Readings, int, int]:
        """Return the readings of a GPU, which cover a time, and its ends; None is those of the readings."""
        readings = self._readings[gpu]
        if not readings.times:
            raise NotImportableError(
                f"expected a power of GPU {gpu}, got none in {' and '.join(self.power_columns)}; choose "
                "another column with --power-columns power=NAME, or other GPUs with --power-gpus"
            )
        first, last = readings.times[0], readings.times[-1]
        if start is None and end is None:
            return readings, first, last
        begin, stop = self._span(start, end)
        allowed = readings.interval
        if begin < first - allowed or stop > last + allowed or len(readings.times) == 1:
            raise NotImportableError(
                f"expected a power log that covers the run, from {self._said(begin)} to {self._said(stop)}, "
                "got "
                f"one from {self._said(first)} to {self._said(last)}; give the log of the run, or the zone "
                "of "
                "times without one with --power-zone"
            )
        return readings, begin, stop

    def _span(self, start: datetime | None, end: datetime | None) -> tuple[int, int]:
        """Return two times on the clock of the log, in microseconds."""
        begin = (
            min(samples.times[0] for samples in self.samples.values()) if start is None else self._at(start)
        )
        stop = max(samples.times[-1] for samples in self.samples.values()) if end is None else self._at(end)
        if stop < begin:
            raise NotImportableError(
                f"expected a run that ends after its start, got one from {self._said(begin)} to "
                f"{self._said(stop)}; "
                "correct its times"
            )
        return begin, stop

    def _at(self, time: datetime) -> int:
        moment = moment_of_datetime(time)
        if self.kind == "elapsed":
            raise NotImportableError(
                "expected a power log with dates, got seconds since its start; give the time of its first "
                "sample "
                "with --power-start"
            )
        if moment.kind == self.kind:
            return moment.microseconds
        if self.zone is None:
            log, run = ("with", "without") if self.kind == "aware" else ("without", "with")
            raise NotImportableError(
                f"expected the times of the run and of the power log to agree, got a log {log} a time zone "
                "and a run "
                f"{run} one; name the zone of the times without one with --power-zone"
            )
        if self.kind == "aware":
            return moment_of_datetime(time.replace(tzinfo=self.zone)).microseconds
        return moment_of_datetime(time.astimezone(self.zone).replace(tzinfo=None)).microseconds

    def _datetime(self, microseconds: int) -> datetime | None:
        if self.kind == "elapsed":
            return None
        time = _EPOCH + timedelta(microseconds=microseconds)
        return time if self.kind == "aware" else time.replace(tzinfo=None)

    def _said(self, microseconds: int) -> str:
        time = self._datetime(microseconds)
        return f"{microseconds / MICROSECONDS} s" if time is None else time.isoformat()


def _mean_powers(readings: Readings, seconds: range, first: int, last: int) -> Iterator[float | None]:
    """Return the mean power of each second between two times; null in a second outside."""
    for second in seconds:
        left, right = max(second, first), min(second + MICROSECONDS, last)
        if right > left:
            yield readings.energy_j(left, right) * MICROSECONDS / (right - left)
        elif second <= first == last < second + MICROSECONDS:
            yield readings.power_at(first)
        else:
            yield None


def _means(samples: Samples, values: Any, begin: int, stop: int, seconds: int) -> Iterator[float | None]:  # noqa: ANN401 - array[float]
    """Return the mean of the samples of each second; null without any."""
    found: list[list[float]] = [[] for _ in range(seconds)]
    for time, value in zip(samples.times, values, strict=True):
        if begin <= time < stop and not math.isnan(value):
            found[(time - begin) // MICROSECONDS].append(value)
    for each in found:
        yield math.fsum(each) / len(each) if each else None
