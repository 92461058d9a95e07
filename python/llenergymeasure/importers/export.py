"""Flat exports of this package, Parquet, CSV or JSON Lines: a column for each field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from llenergymeasure import _store
from llenergymeasure._format import plural
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import LLEMError, NotImportableError
from llenergymeasure.importers._documents import documents
from llenergymeasure.importers._fit import model_in
from llenergymeasure.importers._imported import Imported, Item, NotImported
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._text import MARK, open_text
from llenergymeasure.results._field_errors import first_of
from llenergymeasure.results._limit import max_trace_bytes

TITLE = "an export of llenergymeasure"

_CONFIG = "effective_config"
_UTC = ".utc"
_DERIVED = {"path", "has_timeseries", "saved_at", "saved_at.utc", "record_sha256", "timeseries"}
"""Columns of a file, not of a result; a file of rows has no power traces."""
_MARKS = {"experiment_id", "measurement_config_hash"}
_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^,\r\n"]*))(,|\r?\n|$)')
_STEP = re.compile(r'"(?:[^"\\]|\\.)*"|[^.]+')
_LONG = 18
"""Digits of an integer that a column of numbers holds, at most."""


def matches(path: Path) -> bool:
    """Return True for an export: its columns are fields of results, with dots between levels."""
    shape = shape_of(path)
    if shape.kind == "json":
        # A nested record has the key of each level, too.
        return shape.keys >= _MARKS and ("start_time.utc" in shape.keys or _is_flat(shape.keys))
    if shape.kind == "parquet":
        try:
            return bool(_MARKS & set(_table(path)[0]))
        except NotImportableError:
            return False
    return shape.kind == "csv" and bool(_MARKS & set(shape.columns)) and "total_energy_j" in shape.columns


def _is_flat(keys: Iterable[str]) -> bool:
    known = set(keys)
    return _CONFIG not in known and any(key.startswith(f"{_CONFIG}.") for key in known)


def read(path: Path) -> Iterator[Item]:
    """Read the rows of an export."""
    kind = shape_of(path).kind
    if kind == "parquet":
        names, rows = _table(path)
        numbered: Iterable[tuple[int | None, Mapping[str, Any] | NotImported]] = enumerate(rows, 1)
        _check_columns(names)
    elif kind == "csv":
        numbered = _csv(path)
    else:
        numbered = _lines(path)
    for line, row in numbered:
        if isinstance(row, NotImported):
            yield row
            continue
        try:
            yield Imported(result=_result(row, is_text=kind == "csv"), line=line)
        except ValidationError as error:
            yield NotImported(first_of(error.errors(include_url=False, include_input=False)), line)
        except ValueError as error:
            yield NotImported(str(error), line)


def _check_columns(names: Iterable[str]) -> None:
    """Check that an export has the fields that a result needs.

    Raises:
        NotImportableError: A field is missing.
    """
    known = set(names)
    required = [name for name, field in ExperimentResult.model_fields.items() if field.is_required()]
    missing = [name for name in required if name not in known]
    if missing:
        raise NotImportableError(
            f"expected an export with every required field, got one without {', '.join(missing)}; "
            "export again without --columns"
        )


def _lines(path: Path) -> Iterator[tuple[int | None, Mapping[str, Any] | NotImported]]:
    found = list(documents(path))
    rows = [document.value for document in found if not isinstance(document, NotImported)]
    if rows:
        _check_columns(rows[0])
    _parse_settings(rows)
    for document in found:
        yield document.line, document if isinstance(document, NotImported) else document.value


def _csv(path: Path) -> Iterator[tuple[int | None, Mapping[str, Any] | NotImported]]:
    with open_text(path) as text:
        rows = _rows(text.read().lstrip(MARK))
    _, header = next(rows, (0, []))
    names = [name or "" for name in header]
    _check_columns(names)
    for line, cells in rows:
        if len(cells) == len(names):
            yield line, dict(zip(names, cells, strict=True))
        elif cells != [None]:
            message = f"expected {plural(len(names), 'cell')}, got {len(cells)}; copy the file again"
            yield line, NotImported(message, line)


def _rows(text: str) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the rows of CSV by RFC 4180, each with its line; an empty cell is a null, and `""` an empty text.

    The module csv reads both as an empty text.
    """
    cells: list[str | None] = []
    line, at = 1, 0
    while at < len(text):
        match = _CELL.match(text, at)
        if match is None:
            raise NotImportableError(
                f"expected CSV, got a text without its closing quote from line {line} on; copy the file again"
            )
        quoted, plain, end = match.groups()
        cells.append(plain or None if quoted is None else quoted.replace('""', '"'))
        at = match.end()
        if end != ",":
            yield line, cells
            cells = []
        elif at == len(text):
            cells.append(None)
        line += text.count("\n", match.start(), at)
    if cells:
        yield line, cells


def _table(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and the rows of a Parquet file."""
    try:
        batches, skipped, _ = _store.read_table(path, max_trace_bytes(None))
    except LLEMError as error:
        raise NotImportableError(str(error)) from None
    if skipped:
        name, kind = skipped[0]
        raise NotImportableError(f"expected columns of an export, got {name!r} of {kind}; export it again")
    columns = [batch.to_pydict() for batch in batches]
    names = list(columns[0]) if columns else []
    rows = [
        dict(zip(names, values, strict=True))
        for part in columns
        for values in zip(*part.values(), strict=True)
    ]
    _parse_settings(rows)
    return names, rows


def _parse_settings(rows: list[dict[str, Any]]) -> None:
    """Replace texts of the configuration by their values where a column has JSON: that of mixed types has."""
    names = {name: None for row in rows for name in row if name.startswith(_CONFIG)}
    for name in names:
        texts = {place: row[name] for place, row in enumerate(rows) if isinstance(row.get(name), str)}
        if not any(text[:1] in ("{", "[", '"') or len(text) > _LONG for text in texts.values()):
            continue
        try:
            parsed = {place: json.loads(text) for place, text in texts.items()}
        except ValueError:
            continue
        for place, value in parsed.items():
            rows[place][name] = value


def _result(row: Mapping[str, Any], *, is_text: bool) -> ExperimentResult:
    """Return the result of a row; a null is an absent value.

    Raises:
        pydantic.ValidationError: A value does not fit its field.
        ValueError: The name of a column has no valid form.
    """
    record: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or name in _DERIVED or name.endswith(_UTC):
            continue
        path = _path_of(name)
        if path[0] == _CONFIG:
            value = _setting(value, whole=len(path) == 1) if is_text else value  # noqa: PLW2901
        elif isinstance(value, str) and _is_list(path):
            value = json.loads(value)  # noqa: PLW2901
        if (utc := row.get(f"{name}{_UTC}")) is not None:
            value = _aware(value, utc)  # noqa: PLW2901
        at = record
        for step in path[:-1]:
            at = at.setdefault(step, {})
        at[path[-1]] = value
    return ExperimentResult.model_validate(record)


def _path_of(name: str) -> list[str]:
    """Split the name of a column; a key of the configuration that has a dot is in quotes."""
    steps = [match[0] for match in _STEP.finditer(name)]
    return [json.loads(step) if step.startswith('"') else step for step in steps]


@cache
def _list_fields(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if "list" in str(field.annotation) or "tuple" in str(field.annotation)
    )


def _is_list(path: list[str]) -> bool:
    model: type[BaseModel] | None = ExperimentResult
    for step in path[:-1]:
        field = None if model is None else model.model_fields.get(step)
        model = None if field is None else model_in(field.annotation)
    return model is not None and path[-1] in _list_fields(model)


def _setting(value: object, *, whole: bool) -> object:
    """Return a value of the configuration from the text of a cell: JSON where it is, and else the text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        if whole:
            raise
        return value


def _aware(local: object, utc: object) -> datetime:
    """Return a time with its zone, from the clock of the zone and the time in UTC."""
    clock, universal = _time(local).replace(tzinfo=timezone.utc), _time(utc)
    if universal.tzinfo is None:
        universal = universal.replace(tzinfo=timezone.utc)
    minutes = round((clock - universal) / timedelta(minutes=1))
    zone = timezone.utc if minutes == 0 else timezone(timedelta(minutes=minutes))
    return clock.replace(tzinfo=zone)


def _time(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
