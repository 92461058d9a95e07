"""The types of importers: records of other tools, in the fields and the units of a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.types import TimeseriesSource

__all__ = ["Imported", "Importer", "Item", "Mapped", "NotImported", "PowerLog"]


class Mapped(NamedTuple):
    """One key of the source, and the field that holds its value.

    Attributes:
        key: The key, with dots between levels.
        field: The field of `ExperimentResult`, with dots between levels.
        factor: A number, `"3600000"` from kWh to J, by which the value was multiplied; or a word on another
            conversion, as `"parsed"` or `"sum"`. Empty if the field holds the value itself.
    """

    key: str
    field: str
    factor: str = ""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One measurement of a file, as an importer yields it.

    `build` makes the result. It derives the hash of `config`, and throughput, duration, times and energy per
    token if `fields` lack them; energy that is not there is NaN, and a warning in the result says so.

    Attributes:
        fields: Values of fields of `ExperimentResult`, in its units. A nested model is a dictionary.
        config: The configuration; `"model"` names the model.
        rest: All data of the source that no field holds. It goes to `effective_config.imported_from.data`.
        version: The version of the tool or of the format that wrote the source, if the source names it.
        mapping: The fields and their sources, for `llem import --dry-run`.
        warnings: Sentences for `measurement_warnings`.
        trace: The power trace: a Parquet file or a table with the columns of a sidecar.
        line: The line of the record in its file, from 1; None if the file is one record.
        is_normal: True if `config` and `rest` hold only finite JSON values; it saves their check.
        result: A complete result; the other attributes but `trace` and `line` are then unused.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    mapping: Sequence[Mapped] = ()
    warnings: Sequence[str] = ()
    trace: TimeseriesSource | None = None
    line: int | None = None
    is_normal: bool = False
    result: ExperimentResult | None = None


@dataclass(frozen=True)
class NotImported:
    """A record that cannot be imported; the others of its file can.

    Attributes:
        message: One sentence, `expected X, got Y; do Z`.
        line: The line of the record in its file, from 1, if known.
    """

    message: str
    line: int | None = None


Item: TypeAlias = "Imported | NotImported"
"""One record of a file."""


class Importer(Protocol):
    """A module or an object that reads one format.

    It may have `TITLE`, the name of the format for people. The registry has the name of the format.
    """

    def matches(self, path: Path) -> bool:
        """Return True if a file has this format, by its content; the file may be broken or truncated."""
        ...

    def read(self, path: Path) -> Iterator[Item]:
        """Read the records of a file, one at a time.

        Raises:
            NotImportableError: The file cannot be read as this format at all.
        """
        ...


class PowerLog(Protocol):
    """A power log, as `llenergymeasure.importers.power.read_power` returns it."""

    def energy_j(self, start: datetime, end: datetime) -> float:
        """Return the energy between two times, over all GPUs, in joules.

        Raises:
            NotImportableError: The log does not cover the time.
        """
        ...

    def energy_per_gpu_j(self, start: datetime, end: datetime) -> Mapping[int, float]:
        """Return the energy of each GPU between two times, by its `gpu_index`, in joules."""
        ...

    def warnings_of(self, start: datetime, end: datetime) -> Sequence[str]:
        """Return the reasons to doubt the energy between two times, as sentences."""
        ...

    def trace(self, start: datetime, end: datetime) -> TimeseriesSource:
        """Return the samples between two times as a power trace at 1 Hz, one row per second and GPU."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """The file, the columns and the GPUs, for `effective_config.imported_from.power`."""
        ...
