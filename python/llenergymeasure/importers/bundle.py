"""The PyPI package `llenergymeasure`: bundles of 0.7 and 0.6, and records of the schema lines before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llenergymeasure import _store
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.errors import LLEMError, NotImportableError
from llenergymeasure.importers._documents import Document, documents, only_document
from llenergymeasure.importers._fit import fit
from llenergymeasure.importers._imported import Imported, Item, Mapped, NotImported
from llenergymeasure.importers._sniff import head_of, shape_of
from llenergymeasure.results._limit import max_trace_bytes

TITLE = "llenergymeasure of PyPI"

RECORD, TRACE, REQUESTS = _store.RECORD, _store.SIDECAR, "requests.parquet"
CONFIG = "config.json"
SYSTEMS = ("system.json", "environment.json")
"""The names in 0.7 and in 0.6."""

_RENAMED = {
    "engine": "backend",
    "engine_version": "backend_version",
    "declared_config_hash": "measurement_config_hash",
}
_IN_CONFIG = ("measurement_methodology", "steady_state_window", "engine_version", "engine", "model_name")
"""Keys of config.json that result.json had in earlier lines."""
_LINE = re.compile(rb'"(schema_version|bundle_version)"\s*:\s*"([^"]{1,20})"')


def matches(path: Path) -> bool:
    """Return True for a record of another schema line than that of this package, or for bundles."""
    shape = shape_of(path)
    if shape.kind == "directory":
        return any(other_line_of(record) for record in _records_in(path))
    return shape.kind == "json" and other_line_of(path) is not None


def other_line_of(path: Path) -> str | None:
    """Return the schema line of a file of records, unless it is that of this package."""
    keys = shape_of(path).keys
    if "experiment_id" not in keys or "total_energy_j" not in keys:
        return None
    found = _LINE.search(head_of(path))
    if found is None or (found[1] == b"schema_version" and found[2].decode() == SCHEMA_VERSION):
        return None
    line = f'"{found[2].decode(errors="replace")}"'
    return line if found[1] == b"schema_version" else f"bundle_version {line}"


def _records_in(directory: Path) -> Iterator[Path]:
    """Yield the records of a bundle, or of the bundles of a study."""
    if (directory / RECORD).is_file():
        yield directory / RECORD
        return
    yield from sorted(directory.rglob(RECORD))


def read(path: Path) -> Iterator[Item]:
    """Read the record of a bundle with the files next to it, the bundles of a study, or a file of records."""
    if not path.is_dir():
        yield from _read(path, "")
        return
    for record in _records_in(path):
        place = record.parent.relative_to(path).as_posix()
        yield from _read(record, "" if place == "." else f"{place}/{RECORD}: ")


def _read(path: Path, place: str) -> Iterator[Item]:
    try:
        for document in documents(path):
            if isinstance(document, NotImported):
                yield NotImported(f"{place}{document.message}", document.line)
                continue
            try:
                yield _imported(document, path)
            except NotImportableError as error:
                yield NotImported(f"{place}{error}", document.line)
    except NotImportableError as error:
        yield NotImported(f"{place}{error}")


def _imported(document: Document, path: Path) -> Imported:
    record = dict(document.value)
    line = _line_of(record)
    # The files next to a record are of that record, and not of the records of a file of several.
    neighbours = path.parent if path.name == RECORD and document.line is None else None
    given = _document_of(neighbours, CONFIG)
    system = next(filter(None, (_document_of(neighbours, name) for name in SYSTEMS)), {})
    merged = {name: given[name] for name in _IN_CONFIG if name in given} | record
    mapping = _Mapping()
    for old, new in _RENAMED.items():
        if old in merged:
            merged[new] = merged.pop(old)
            mapping.note(old, new)
    warnings = _convert(merged, mapping)
    config = _config_of(merged, given, mapping)
    named_trace = merged.pop("timeseries", None) or merged.pop("timeseries_path", None)
    trace = None if neighbours is None else neighbours / TRACE
    if trace is not None and not trace.is_file():
        trace = None
    if named_trace is not None and trace is None:
        warnings.append(f"the record names the power trace {named_trace!r}, which was not next to it")
    for spent in ("schema_version", "bundle_version"):
        merged.pop(spent, None)
    held, rest = fit(ExperimentResult, merged)
    mapping.note_all(held)
    snapshot, left = _snapshot_of(system)
    if snapshot:
        held["environment_snapshot"] = snapshot
        mapping.note("system.json", "environment_snapshot")
    others = {"config": _config_rest(given, record), "system": left, "requests": _requests_of(neighbours)}
    rest |= {name: data for name, data in others.items() if data}
    return Imported(
        fields=held,
        config=config,
        rest=rest,
        version=line,
        mapping=mapping.entries,
        warnings=warnings,
        trace=trace,
        line=document.line,
    )


class _Mapping:
    """The keys that fields hold."""

    def __init__(self) -> None:
        self.entries: list[Mapped] = []
        self._fields: set[str] = set()

    def note(self, key: str, field: str, how: str = "") -> None:
        self.entries.append(Mapped(key, field, how))
        self._fields.add(field)

    def note_all(self, held: Mapping[str, Any]) -> None:
        self.entries.extend(Mapped(name, name) for name in held if name not in self._fields)


def _line_of(record: Mapping[str, Any]) -> str:
    """Return the schema line of a record.

    Raises:
        NotImportableError: It is that of this package, or there is none.
    """
    if "bundle_version" in record:
        return f"bundle_version {record['bundle_version']}"
    line = record.get("schema_version")
    if line == SCHEMA_VERSION:
        raise NotImportableError(
            f"expected a record of another schema line, got one of {SCHEMA_VERSION}; use llem save"
        )
    if not isinstance(line, str):
        raise NotImportableError("expected a record of llenergymeasure, got one without a schema_version")
    return line


def _convert(merged: dict[str, Any], mapping: _Mapping) -> list[str]:
    """Convert the fields that other lines have in another form; return warnings."""
    warnings = []
    throttle = merged.get("throttle")
    if isinstance(throttle, Mapping):
        merged["thermal_throttle"], rest = _throttle_of(throttle)
        merged["throttle"] = rest
        mapping.note("throttle", "thermal_throttle", "parsed")
    breakdown = merged.get("energy_breakdown")
    if merged.get("baseline_power_w") is None and isinstance(breakdown, Mapping):
        merged["baseline_power_w"] = breakdown.get("baseline_power_w")
        mapping.note("energy_breakdown.baseline_power_w", "baseline_power_w")
    output = merged.get("output_tokens")
    if merged.get("total_tokens") is None and isinstance(output, int):
        # A server counts no input tokens, and its energy per token is that of the output.
        merged["total_tokens"] = output
        mapping.note("output_tokens", "total_tokens")
        warnings.append("the source counts output tokens only: total_tokens is their number")
    return warnings


def _throttle_of(throttle: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the throttling of 0.7, which has two axes, in the flags of this schema line, and the rest."""
    thermal, power = (_object(throttle.get(axis)) for axis in ("thermal", "power"))
    flags = {
        "thermal": thermal.get("any", False),
        "sw_thermal": thermal.get("sw", False),
        "hw_thermal": thermal.get("hw", False),
        "power": power.get("any", False),
        "hw_power": power.get("hw", False),
    }
    plain = {key: value for key, value in throttle.items() if key not in ("thermal", "power")}
    # No field says whether the software limited the power.
    return plain | flags, {"power": {"sw": power["sw"]}} if "sw" in power else {}


def _config_of(merged: dict[str, Any], given: Mapping[str, Any], mapping: _Mapping) -> dict[str, Any]:
    """Return the configuration of a record: its own in line 3.0 and before, and else that of config.json."""
    own = merged.pop("effective_config", None)
    declared = given.get("declared_config")
    config = dict(own) if isinstance(own, Mapping) else dict(_object(declared))
    if isinstance(own, Mapping) or declared is not None:
        mapping.note(
            "effective_config" if isinstance(own, Mapping) else f"{CONFIG}: declared_config",
            "effective_config",
        )
    model = merged.pop("model_name", None)
    if model is not None:
        config.setdefault("model", model)
        mapping.note("model_name", "effective_config.model")
    return config


def _config_rest(given: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of config.json that is nowhere else."""
    spent = {*_IN_CONFIG, "declared_config", "bundle_version"}
    return {
        key: value
        for key, value in given.items()
        if key not in spent and not (key in record and record[key] == value)
    }


def _snapshot_of(system: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the environment of system.json, and the rest of the file."""
    if not system:
        return {}, {}
    known = {key: value for key, value in system.items() if key not in ("bundle_version", "schema_version")}
    known.setdefault("installed_packages", [])
    hardware = _object(known.get("hardware"))
    cuda = dict(_object(hardware.get("cuda")))
    if "driver_supported_version" in cuda:
        cuda["version"] = cuda.pop("driver_supported_version")
        known["hardware"] = {**hardware, "cuda": cuda}
    held, rest = fit(EnvironmentSnapshot, known)
    rest.pop("experiment_id", None)
    for name in ("declared_config_hash", "measurement_config_hash"):
        rest.pop(name, None)
    if "hardware" not in held:
        return {}, dict(system)
    return held, {key: value for key, value in rest.items() if value is not None}


def _requests_of(directory: Path | None) -> dict[str, Any]:
    """Return the requests of a server, in columns, and the pairs in the file's footer."""
    if directory is None or not (directory / REQUESTS).is_file():
        return {}
    try:
        batches, skipped, pairs = _store.read_table(directory / REQUESTS, max_trace_bytes(None))
    except LLEMError as error:
        raise NotImportableError(
            f"expected a complete {REQUESTS}, got one that cannot be read ({error})"
        ) from None
    if skipped:
        raise NotImportableError(
            f"expected columns of numbers and texts in {REQUESTS}, got {skipped[0][0]} of {skipped[0][1]}; "
            "report it"
        )
    columns: dict[str, list[Any]] = {}
    for batch in batches:
        for name, values in batch.to_pydict().items():
            columns.setdefault(name, []).extend(values)
    return {"columns": columns, "metadata": dict(pairs)}


def _document_of(directory: Path | None, name: str) -> dict[str, Any]:
    """Return the object of a file next to a record; empty without the file.

    Raises:
        NotImportableError: The file is not one complete object.
    """
    if directory is None or not (directory / name).is_file():
        return {}
    try:
        return only_document(directory / name)
    except NotImportableError as error:
        raise NotImportableError(f"{name} next to the record: {error}") from None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
