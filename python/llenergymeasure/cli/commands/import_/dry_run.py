"""`llem import --dry-run`: where each value goes, and the data that is left over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from llenergymeasure._format import format_value, plural, printable
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.cli.terminal.table import Column, print_heading, print_table
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers import Built, NotImported, PowerLog, records


@dataclass
class Preview:
    """One file: its format, the mapping of its first record, and the data that it leaves over."""

    file: str
    format: str | None = None
    title: str | None = None
    version: str | None = None
    records: int = 0
    mapping: list[dict[str, Any]] = field(default_factory=list)
    left_over: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)


def show_files(files: list[str], format_: str | None, power: PowerLog | None, *, as_json: bool) -> int:
    """Show the mapping of each file, and return the exit status."""
    previews = []
    for name in files:
        preview = _preview(name, format_, power)
        previews.append(preview)
        if not as_json:
            _print(preview, is_first=len(previews) == 1)
    if as_json:
        OUT.write(to_json({"files": [asdict(preview) for preview in previews]}))
    return int(any(preview.failures for preview in previews))


def _preview(name: str, format_: str | None, power: PowerLog | None) -> Preview:
    preview = Preview(name)
    try:
        for item in records(name, format_, power=power):
            if isinstance(item, NotImported):
                preview.failures.append({"line": item.line, "message": item.message})
                continue
            preview.records += 1
            if preview.records == 1:
                _describe(preview, item)
    except NotImportableError as error:
        preview.failures.append({"line": None, "message": str(error)})
    except OSError as error:
        preview.failures.append({"line": None, "message": f"cannot be read: {error.strerror or error}"})
    return preview


def _describe(preview: Preview, built: Built) -> None:
    preview.format, preview.title = built.format.name, built.format.title
    preview.version = built.imported.version
    dumped = built.result.model_dump()
    for key, field_, factor in built.imported.mapping:
        preview.mapping.append(
            {"key": key, "factor": factor or None, "field": field_, "value": _at(dumped, field_)}
        )
    preview.mapping.sort(key=lambda entry: _rank(entry["field"]))
    preview.mapping[:0] = _of_power(built)
    preview.left_over = dict(_leaves(built.imported.rest, {entry["key"] for entry in preview.mapping}))
    preview.warnings = built.result.measurement_warnings


def _rank(field_: str) -> int:
    """Return the place of a field: first what was measured, then its parts, then the settings."""
    return 2 if field_.startswith("effective_config") else int("." in field_)


def _of_power(built: Built) -> list[dict[str, Any]]:
    """Return the row for the energy that a power log gave."""
    origin = built.result.effective_config.get("imported_from", {})
    power = origin.get("power") if isinstance(origin, Mapping) else None
    if not isinstance(power, Mapping):
        return []
    energy = built.result.total_energy_j
    return [{"key": power.get("file"), "factor": "integral", "field": "total_energy_j", "value": energy}]


def _at(value: Any, field_: str) -> Any:  # noqa: ANN401 - any value of a result
    """Return the value of a field; a dot in a key of the configuration is part of the key."""
    if not isinstance(value, Mapping):
        return None
    if field_ in value:
        return value[field_]
    first, _, rest = field_.partition(".")
    return _at(value.get(first), rest) if rest else None


def _leaves(value: Mapping[str, Any], mapped: set[str], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values that are left over, by their keys with dots; a list is one value."""
    for key, item in value.items():
        name = f"{above}{key}"
        if name in mapped:
            continue
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, mapped, f"{name}.")
        else:
            yield name, item


def _print(preview: Preview, *, is_first: bool) -> None:
    gap = "" if is_first else "\n"
    if preview.records:
        version = f" {preview.version}" if preview.version else ""
        first = "" if preview.records == 1 else "; the first:"
        count = plural(preview.records, "record")
        OUT.write(gap)
        print_heading(f"{printable(preview.file)}: {preview.title}{version}, {count}{first}")
        OUT.write("\n")
        rows = preview.mapping
        print_table(
            [
                Column("source", [str(row["key"]) for row in rows]),
                Column("", [_factor(row["factor"]) for row in rows]),
                Column("field", [row["field"] for row in rows]),
                Column("value", [_shown(row["value"]) for row in rows], wraps=True, least=12),
            ]
        )
        if left := preview.left_over:
            OUT.write("\n")
            print_heading("kept in effective_config.imported_from, as no field holds it:")
            OUT.write("\n")
            print_table(
                [
                    Column("source", list(left)),
                    Column("value", [_shown(value) for value in left.values()], wraps=True, least=12),
                ]
            )
        for warning in preview.warnings:
            OUT.write("\n")
            print_heading(f"note: {printable(warning)}", style="")
    for failure in preview.failures:
        where = "" if failure["line"] is None else f":{failure['line']}"
        ERR.write(f"{printable(preview.file)}{where}: {printable(failure['message'])}\n")


def _factor(factor: str | None) -> str:
    if factor is None:
        return "->"
    return f"x {int(factor):,} ->" if factor.isdecimal() else f"{factor} ->"


_LONGEST = 60


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return plural(len(value), "value")
    text = format_value(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
