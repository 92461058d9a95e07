"""Samples of the rows of `csv.DictReader`, whose cells are texts as a tool wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.results._log_cells import (
    MICROSECONDS,
    Moment,
    integer_of,
    moment_of,
    number_of,
    watts_of,
)
from llenergymeasure.results._log_columns import columns_of

__all__ = ["plain_samples"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def plain_samples(samples: Iterable[object], extra: Iterable[str] = ()) -> Iterable[object]:
    """Return samples as they are, but those of a `csv.DictReader` with numbers and times for its texts."""
    # The module csv is not imported for this question.
    is_reader = type(samples).__module__ == "csv" and hasattr(samples, "fieldnames")
    return _samples_of(samples, tuple(extra)) if is_reader else samples


def _samples_of(reader: Any, extra: tuple[str, ...]) -> Iterator[dict[str, object]]:  # noqa: ANN401 - a csv.DictReader
    """Yield a sample for each power in the rows of a log, by the names of its columns.

    Raises:
        ValueError: The log has no column of the power or of the time, or a cell is not a number or a time.
    """
    header = list(reader.fieldnames or ())
    try:
        columns = columns_of(header)
    except NotImportableError as error:
        raise ValueError(str(error).partition("; ")[0]) from None
    if columns.time is None:
        raise ValueError(f"expected a column of the time, got {', '.join(map(repr, header))}")
    numbers: dict[tuple[str, ...], int] = {}
    rows: Iterable[Mapping[str, Any]] = reader
    for index, row in enumerate(rows):
        cells = [row.get(name) for name in header]
        try:
            moment = moment_of(cells[columns.time], columns.units.get(columns.time, ""))
            others = {
                name: number_of(cells[place], columns.units.get(place, ""))
                for name, place in columns.others.items()
            }
            for place, gpu in columns.powers.items():
                sample = {"timestamp": _time(moment), **others, **{name: row.get(name) for name in extra}}
                sample["power_w"] = watts_of(cells[place], columns.units.get(place, ""))
                identity = (gpu,) if gpu is not None else tuple(str(cells[at]) for at in columns.identity)
                if identity:
                    sample["gpu_index"] = _index(identity, numbers)
                yield sample
        except ValueError as error:
            raise ValueError(f"row {index} {error}") from None


def _index(identity: tuple[str, ...], numbers: dict[tuple[str, ...], int]) -> int:
    """Return the index of a GPU, or its number in the order of the first rows."""
    index = integer_of(identity[0])
    return numbers.setdefault(identity, len(numbers)) if index is None else index


def _time(moment: Moment) -> object:
    if moment.kind == "elapsed":
        return moment.microseconds / MICROSECONDS
    time = _EPOCH + timedelta(microseconds=moment.microseconds)
    return time if moment.kind == "aware" else time.replace(tzinfo=None)
