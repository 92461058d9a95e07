"""Results from imported records: what the records state, what follows from it, and what is unknown."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llenergymeasure.domain._json import NormalObject, to_json_object
from llenergymeasure.domain.experiment import ExperimentResult, compute_measurement_config_hash
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Imported, NotImported, PowerLog
from llenergymeasure.importers._registry import Format, detect, find, items
from llenergymeasure.importers._source import time_of
from llenergymeasure.results._columns import IMPORTED_FROM

if TYPE_CHECKING:
    from llenergymeasure.types import TimeseriesSource

__all__ = ["Built", "build", "read", "records"]

UNKNOWN = "unknown"
"""The backend of a source that names none."""
NOTES = "The numbers were imported: their accuracy is that of"
NO_ENERGY = "the source states no energy: total_energy_j is NaN"
NO_TOKENS = "the source states no tokens: total_tokens is 0"
NO_DURATION = "the source states no duration: total_inference_time_sec is NaN"
NO_TIMES = "the source states no times: end_time is the time at which its file was last changed"


class Built(NamedTuple):
    """A result, its power trace, and the record that it was made of."""

    result: ExperimentResult
    trace: TimeseriesSource | None
    imported: Imported
    format: Format


def read(
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 - the word of the command
    *,
    power: PowerLog | None = None,
) -> Iterator[ExperimentResult]:
    """Read the results of a file that another tool wrote, one at a time.

    Args:
        path: The file.
        format: The name of its format; None detects it by content.
        power: A power log with the energy of results that state none.

    Raises:
        NotImportableError: The file, or a record of it, cannot be imported.
        OSError: The file cannot be read.
        ValueError: There is no such format.
    """
    for item in records(path, format, power=power):
        if isinstance(item, NotImported):
            where = "" if item.line is None else f":{item.line}"
            raise NotImportableError(f"{os.fspath(path)}{where}: {item.message}")
        yield item.result


def records(
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 - the word of the command
    *,
    power: PowerLog | None = None,
) -> Iterator[Built | NotImported]:
    """Read a file as `read`, with the source of each result; a record that fails does not stop the others.

    Raises:
        NotImportableError: The file cannot be imported.
        OSError: The file cannot be read.
        ValueError: There is no such format.
    """
    path = Path(path)
    found = detect(path) if format is None else find(format)
    for item in items(found, path):
        if isinstance(item, NotImported):
            yield item
            continue
        try:
            yield build(item, found, path, power=power)
        except (NotImportableError, ValueError, TypeError, ArithmeticError) as error:
            yield NotImported(_reason(error), item.line)


def build(imported: Imported, source_format: Format, path: Path, *, power: PowerLog | None = None) -> Built:
    """Make the result of a record.

    Raises:
        NotImportableError: The power log does not cover the times of the record.
        pydantic.ValidationError: The record has a value that its field does not accept.
    """
    if imported.result is not None:
        return Built(imported.result, imported.trace, imported, source_format)
    fields = dict(imported.fields)
    warnings = list(imported.warnings)
    has_times = _complete_times(fields, path, warnings)
    trace, measured = imported.trace, None
    if power is not None:
        trace, measured = _add_power(fields, trace, power, warnings, has_times=has_times)
    _complete_numbers(fields, warnings)
    fields.setdefault("experiment_id", path.stem if imported.line is None else f"{path.stem}:{imported.line}")
    fields.setdefault("measurement_methodology", "total")
    meter = "" if measured is None else f", and for the energy that of {measured.get('tool')}"
    fields.setdefault("reproducibility_notes", f"{NOTES} {source_format.title}{meter}.")
    origin: dict[str, Any] = {
        "format": source_format.name,
        "version": imported.version,
        "file": path.name,
        **({} if measured is None else {"power": measured}),
        "data": imported.rest,
    }
    config: object = imported.config
    if not imported.is_normal:
        config = to_json_object(config)
        origin["data"] = to_json_object(imported.rest)
    if not isinstance(config, dict):
        raise TypeError(f"config expects a mapping, got {type(config).__name__}")
    # The hash is that of the configuration alone: repeats have different data.
    config = NormalObject(config)
    if "measurement_config_hash" not in fields:
        fields["measurement_config_hash"] = compute_measurement_config_hash(config)
    if IMPORTED_FROM in config:  # the source was imported before, or has a setting of that name
        origin = {**origin, "before": config[IMPORTED_FROM]}
    config[IMPORTED_FROM] = origin
    fields["effective_config"] = config
    fields["measurement_warnings"] = [*fields.get("measurement_warnings", ()), *warnings]
    return Built(ExperimentResult(**fields), trace, imported, source_format)


def _complete_times(fields: dict[str, Any], path: Path, warnings: list[str]) -> bool:
    """Derive the times from each other and the duration; return False if the source states none."""
    start, end = (_time(name, fields.get(name)) for name in ("start_time", "end_time"))
    seconds: float | None = fields.get("total_inference_time_sec")
    is_known = seconds is not None and math.isfinite(seconds)
    span = timedelta(seconds=seconds if seconds is not None and is_known else 0)
    stated = start is not None or end is not None
    if end is None and start is None:
        end = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
        warnings.append(NO_TIMES if is_known else f"{NO_TIMES}, and so is start_time")
    if start is None and end is not None:
        start = end - span
    elif end is None and start is not None:
        end = start + span
    if seconds is None:
        fields["total_inference_time_sec"] = math.nan
        if start is not None and end is not None and start != end:
            fields["total_inference_time_sec"] = (end - start).total_seconds()
        else:
            warnings.append(NO_DURATION)
    fields["start_time"], fields["end_time"] = start, end
    return stated


def _time(name: str, value: object) -> datetime | None:
    """Return a time that an importer yields, also as ISO 8601."""
    return value if value is None or isinstance(value, datetime) else time_of(name, value)


def _complete_numbers(fields: dict[str, Any], warnings: list[str]) -> None:
    """Derive the rates, and mark the numbers that are unknown."""
    tokens = fields.get("total_tokens")
    if tokens is None:
        fields["total_tokens"] = 0
        warnings.append(NO_TOKENS)
    energy = fields.get("total_energy_j")
    if energy is None or energy != energy:  # noqa: PLR0124 - NaN
        energy = fields["total_energy_j"] = math.nan
        warnings.append(NO_ENERGY)
    if fields.get("avg_tokens_per_second") is None:
        fields["avg_tokens_per_second"] = _ratio(tokens, fields["total_inference_time_sec"])
    if fields.get("avg_energy_per_token_j") is None:
        fields["avg_energy_per_token_j"] = _ratio(energy, tokens)
    fields.setdefault("total_flops", 0.0)
    fields.setdefault("backend", UNKNOWN)


def _ratio(number: float | None, by: float | None) -> float:
    return math.nan if (not number and number != 0) or not by else number / by


def _add_power(
    fields: dict[str, Any],
    trace: TimeseriesSource | None,
    power: PowerLog,
    warnings: list[str],
    *,
    has_times: bool,
) -> tuple[TimeseriesSource | None, Mapping[str, Any] | None]:
    """Add the energy of a power log, unless the source states one.

    Returns:
        The power trace, and the origin of the energy, if it is of the log.
    """
    if not has_times:
        warnings.append("the power log was not used, since the source states no times")
        return trace, None
    start, end = fields["start_time"], fields["end_time"]
    origin = None
    if fields.get("total_energy_j") is None:
        fields["total_energy_j"] = power.energy_j(start, end)
        per_gpu = power.energy_per_gpu_j(start, end)
        if len(per_gpu) > 1:
            fields.setdefault("energy_per_device_j", list(per_gpu.values()))
        warnings.extend(power.warnings_of(start, end))
        origin = power.origin
    if trace is None:
        try:
            trace = power.trace(start, end)
        except NotImportableError as error:
            if origin is not None:
                raise
            # The energy is that of the source: only the trace is lost.
            warnings.append(f"the power log was not used: {str(error).partition(';')[0]}")
    return trace, origin


def _reason(error: Exception) -> str:
    """Return the reason of an error as one sentence."""
    from pydantic import ValidationError  # noqa: PLC0415 - only for errors

    if isinstance(error, NotImportableError):
        return str(error)
    found, more = str(error), ""
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_input=False)
        place = ".".join(map(str, details[0]["loc"]))
        found = f"at {place}: {details[0]['msg'].removeprefix('Value error, ')}"
        more = "" if len(details) == 1 else f" (and {len(details) - 1} more)"
    return f"expected values that a result can hold, got {found}{more}; correct the file"
