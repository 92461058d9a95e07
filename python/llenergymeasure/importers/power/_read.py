"""Reading of a power log: its rows become the samples of each GPU."""

from __future__ import annotations

import math
import os
from array import array
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from llenergymeasure._format import plural
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers.power._devices import Devices, identity_of
from llenergymeasure.importers.power._log import PowerLog
from llenergymeasure.importers.power._samples import Samples, check_one_device
from llenergymeasure.importers.power._table import Row, Table, read_table
from llenergymeasure.importers.power._zones import in_utc, zone_of
from llenergymeasure.results._log_cells import (
    MICROSECONDS,
    Moment,
    integer_of,
    moment_of,
    moment_of_datetime,
    number_of,
    watts_of,
)
from llenergymeasure.results._log_columns import Columns, columns_of

__all__ = ["read_power"]

_FORMS = 4
"""Cells whose form the last one is compared with."""


def read_power(  # noqa: PLR0913 - what a log may leave open
    path: str | os.PathLike[str],
    *,
    time: str | None = None,
    power: str | None = None,
    gpu: str | None = None,
    gpus: Sequence[int | str] | None = None,
    zone: str | None = None,
    start: datetime | None = None,
    interval_s: float | None = None,
) -> PowerLog:
    """Read a power log: of nvidia-smi, amd-smi, DCGM, Zeus or dmon, or CSV or Parquet of another tool.

    Columns are found by their names. GPUs differ by index, UUID, instance (MIG) and host; `gpu_index`
    is the index where these differ, and else counts the GPUs in the order of their first rows. A cell such as
    `[N/A]` is a sample without a power. The file may be compressed with gzip or zstd, or be UTF-16.

    Args:
        path: The file.
        time: The name of the column of the time.
        power: The name of the column of the power, in watts; a unit in its name or its cells is converted.
        gpu: The name of the column that tells GPUs apart, or the index of the only GPU.
        gpus: The GPUs to read, by `gpu_index` or by name; None is all.
        zone: The time zone of times without one, those of the log or of the runs: `"UTC"`, `"local"`,
            `"+02:00"` or a name such as `"Europe/Paris"`.
        start: The time of the first sample, for a log without dates.
        interval_s: The time between two samples of a GPU, for a log without times.

    Raises:
        NotImportableError: The file is not a power log, or its rows are of several GPUs that nothing tells
            apart.
        OSError: The file cannot be read.
    """
    path = Path(path)
    with read_table(path, power) as table:
        only = integer_of(gpu) if gpu is not None and gpu not in (table.header or ()) else None
        names = {"time": time, "power": power, "gpu": None if only is not None else gpu}
        columns = columns_of(table.header or (), **names)
        reader = _Reader(columns, only, start, interval_s)
        reader.read(table)
    return reader.log(path, table, gpus, zone)


class _Reader:
    """The samples so far."""

    def __init__(
        self, columns: Columns, only: int | None, start: datetime | None, interval_s: float | None
    ) -> None:
        self._columns = columns
        self._only = only
        self._start = None if start is None else moment_of_datetime(start)
        self._interval_s = interval_s
        # The index is the first of the columns that tell GPUs apart.
        has_index = columns.index is not None or any(name for name in columns.powers.values())
        self._devices = Devices(0 if has_index else None)
        self._samples: list[Samples] = []
        self._time_unit = "" if columns.time is None else columns.units.get(columns.time, "")
        self._kind = ""
        self._warnings: list[str] = []
        self._last: tuple[object, int] = (None, 0)
        if columns.time is None and (start is None or interval_s is None):
            raise NotImportableError(
                "expected a log with times, got one without; log with times, or give the time of the first "
                "sample "
                "with --power-start and the distance of the samples with --power-interval"
            )

    def read(self, table: Table) -> None:
        """Take the rows of a table."""
        skipped: list[int] = []
        last: tuple[Row, str] | None = None
        for row, fault in self._take_all(table):
            if fault:
                if last is not None:
                    raise NotImportableError(f"{last[1]} in line {last[0].line}; remove the line")
                last = (row, fault)
            elif last is not None:
                skipped.append(last[0].line)
                last = None
        if last is not None:
            self._warnings.append(f"the last line of the power log is incomplete ({last[1]})")
        if skipped:
            lines = f"{plural(len(skipped), 'line')}, the first in line {skipped[0]}"
            self._warnings.append(f"the power log has {lines}, that are no samples")

    def _take_all(self, table: Table) -> Iterator[tuple[Row, str]]:
        place = next(iter(self._columns.powers))
        before: deque[object] = deque(maxlen=_FORMS)
        for row in table.rows:
            try:
                cell = row.cells[place]
                if row.line in table.open_lines:
                    _check_cut(cell, before, is_last=place == len(row.cells) - 1)
                before.append(cell)
                self._take(row.cells)
            except (ValueError, IndexError) as error:  # noqa: PERF203 - a broken line
                is_short = isinstance(error, IndexError)
                cells = f"{plural(len(row.cells), 'cell')}" if is_short else ""
                yield (
                    row,
                    f"expected {len(self._columns.names)} cells, got {cells}" if is_short else str(error),
                )
            else:
                yield row, ""

    def _take(self, cells: list[Any]) -> None:
        columns = self._columns
        found = []
        for place, gpu in columns.powers.items():
            identity = (gpu,) if gpu is not None else identity_of(cells, columns.identity)
            found.append((identity, watts_of(cells[place], columns.units.get(place, ""))))
        others = {
            name: number_of(cells[place], columns.units.get(place, ""))
            for name, place in columns.others.items()
        }
        moment = None if columns.time is None else self._moment(cells)
        for identity, power in found:
            number = self._devices.number(identity)
            if number == len(self._samples):
                self._samples.append(Samples(others={name: array("d") for name in others}))
            samples = self._samples[number]
            at = self._counted(len(samples.times)) if moment is None else moment
            samples.times.append(at)
            samples.powers.append(math.nan if power is None else power)
            for name, value in others.items():
                samples.others[name].append(math.nan if value is None else value)

    def _moment(self, cells: list[Any]) -> int:
        columns = self._columns
        cell = cells[columns.time] if columns.time is not None else None
        if cell == self._last[0] and columns.date is None:
            return self._last[1]  # the GPUs of one reading share its time
        if columns.date is not None:
            cell = f"{str(cells[columns.date]).strip()} {str(cell).strip()}"
        moment = moment_of(cell, self._time_unit)
        if moment.kind == "elapsed" and self._start is not None:
            moment = Moment(self._start.kind, self._start.microseconds + moment.microseconds)
        if self._kind and moment.kind != self._kind:
            raise ValueError(
                f"expected {_KINDS[self._kind]}, as in the first line, got {_KINDS[moment.kind]}"
            )
        self._kind = moment.kind
        self._last = (cell, moment.microseconds)
        return moment.microseconds

    def _counted(self, count: int) -> int:
        if self._start is None or self._interval_s is None:
            raise ValueError("expected a start and an interval")
        self._kind = self._start.kind
        return self._start.microseconds + round(count * self._interval_s * MICROSECONDS)

    def log(self, path: Path, table: Table, gpus: Sequence[int | str] | None, zone: str | None) -> PowerLog:
        """Return the log of all rows.

        Raises:
            NotImportableError: There is no sample, or a GPU that is asked for is not there.
        """
        if not self._samples:
            raise NotImportableError("expected samples, got a header alone; run the sampler again")
        warnings = list(self._warnings)
        own_zone = None if zone is None else zone_of(zone)
        if self._kind == "naive" and own_zone is not None:
            moved = in_utc([samples.times for samples in self._samples], own_zone)
            for samples, times in zip(self._samples, moved or (), strict=False):
                samples.times = times
            self._kind = self._kind if moved is None else "aware"
        unsorted = [samples.sort() for samples in self._samples]
        if any(unsorted):
            warnings.append(
                "the times of the power log step back; its samples were sorted (name its zone with "
                "--power-zone if its clock was set back at the end of summer time)"
            )
        is_wide = any(name is not None for name in self._columns.powers.values())
        if not self._columns.is_complete and not is_wide and self._only is None:
            for samples in self._samples:
                warnings += check_one_device(samples)
        warnings += dict.fromkeys(doubt for samples in self._samples for doubt in samples.doubts())
        self._check_instances()
        indices = [self._only] if self._only is not None else self._devices.gpu_indices()
        names = self._devices.names()
        known = dict(zip(indices, zip(names, self._samples, strict=True), strict=True))
        wanted = list(known) if gpus is None else [_wanted(each, known) for each in gpus]
        used = [self._columns.names[place].strip() for place in self._columns.powers]
        return PowerLog(
            path=path,
            tool=table.tool,
            power_columns=tuple(used),
            gpus={index: known[index][0] for index in sorted(wanted)},
            kind=self._kind,
            zone=own_zone,
            warnings=tuple(warnings),
            samples={index: known[index][1] for index in sorted(wanted)},
        )

    def _check_instances(self) -> None:
        """Reject instances of one GPU that all have its power, which would count several times."""
        for group in self._devices.instances_of_one():
            first, *others = (self._samples[number] for number in group)
            known = [power for power in first.powers if not math.isnan(power)]
            if known and all(each.powers == first.powers for each in others):
                names = self._devices.names()
                raise NotImportableError(
                    f"expected the power of each instance, got the same of {len(group)} instances of one "
                    "GPU, which "
                    f"is that of the GPU; choose one with --power-gpus {names[group[0]]}"
                )


def _check_cut(cell: object, before: Collection[object], *, is_last: bool) -> None:
    """Reject the last cell of a log whose line does not end, if it lacks what all cells before have."""
    forms = {_form(other) for other in before}
    is_cut = _form(cell) not in forms
    if is_last and forms == {(0, False)} == {_form(cell)}:  # integers: the last digits may be missing
        is_cut = len(str(cell).strip()) < min(len(str(other).strip()) for other in before)
    if len(before) == _FORMS and len(forms) == 1 and is_cut:
        raise ValueError(f"expected a number as those before, got {str(cell).strip()[:40]!r}")


def _form(cell: object) -> tuple[int, bool]:
    """Return the digits after the point of a cell, and whether it has a unit."""
    number, _, unit = str(cell).strip().partition(" ")
    return len(number.partition(".")[2]), bool(unit)


_KINDS = {
    "aware": "a time with a zone or since 1970",
    "naive": "a time without a zone",
    "elapsed": "seconds since the start",
}


def _wanted(gpu: int | str, known: dict[int, tuple[str, Samples]]) -> int:
    index = gpu if isinstance(gpu, int) else integer_of(gpu)
    if index is not None and index in known:
        return index
    for found, (name, _) in known.items():
        if str(gpu) == name or str(gpu) in name.split("/"):
            return found
    listed = ", ".join(
        f"{index} ({name})" if name != str(index) else name for index, (name, _) in known.items()
    )
    raise NotImportableError(
        f"expected a GPU of the power log, {listed}, got {str(gpu)!r}; correct --power-gpus"
    )
