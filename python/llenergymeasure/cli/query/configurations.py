"""Configurations of a sweep from a file: JSON, JSON Lines, YAML or CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from llenergymeasure.cli.errors import CommandError, UsageError
from llenergymeasure.domain._json import to_json_object

__all__ = ["read_configurations"]

_STDIN = "-"
_FORMATS = {
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".csv": "csv",
}


def read_configurations(file: str) -> list[dict[str, Any]]:
    """Return the configurations in a file, as JSON objects, in their order.

    Args:
        file: The path; its suffix tells the format. `-` is standard input with JSON or JSON Lines.

    Raises:
        UsageError: The suffix is unknown.
        CommandError: The file cannot be read, or has something else than configurations. The message names
            the place.
    """
    suffix = Path(file).suffix.lower()
    if file != _STDIN and suffix not in _FORMATS:
        raise UsageError(f"expected a file of {', '.join(_FORMATS)}, got {file}; use one of these suffixes")
    text = _text(file)
    kind = _FORMATS.get(suffix) if file != _STDIN else ("json" if text.lstrip()[:1] == "[" else "lines")
    readers = {"json": _from_json, "lines": _from_lines, "yaml": _from_yaml, "csv": _from_csv}
    found = readers[str(kind)](file, text)
    if not found:
        raise CommandError(f"expected configurations in {file}, got none; add one object for each")
    return [_configuration(where, value) for where, value in found]


def _text(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"expected UTF-8 in {file}, got another byte at offset {error.start}; convert the file"
        ) from None


def _configuration(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = {list: "a list", type(None): "nothing"}.get(type(value), f"the value {value!r}")
        raise CommandError(
            f"expected an object as configuration in {where}, got {kind}; write KEY: VALUE pairs"
        )
    try:
        normal = to_json_object(value)
    except ValueError as error:
        raise CommandError(
            f"expected a configuration in {where}, got one that JSON cannot have: {error}"
        ) from None
    return dict(normal)  # type: ignore[call-overload, no-any-return] # it is a dict, as the value


def _from_json(file: str, text: str) -> list[tuple[str, object]]:
    value = _parse(file, text, 1)
    if not isinstance(value, list):
        raise CommandError(
            f"expected a JSON array of configurations in {file}, got {_named(value)}; "
            "write [{...}, {...}], or one object per line in a file of .jsonl"
        )
    return [(f"item {number} of {file}", one) for number, one in enumerate(value, 1)]


def _from_lines(file: str, text: str) -> list[tuple[str, object]]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [(f"{file}:{number}", _parse(file, line, number)) for number, line in lines]


def _parse(file: str, text: str, line: int) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{file}:{line + error.lineno - 1}:{error.colno}"
        raise CommandError(f"expected JSON in {place}, got a fault: {error.msg}; correct the file") from None
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"expected JSON in {file}:{line}, got a fault: {error}; correct the file"
        ) from None


def _from_yaml(file: str, text: str) -> list[tuple[str, object]]:
    try:
        import yaml  # noqa: PLC0415 - optional
    except ImportError:
        raise CommandError(
            f"expected PyYAML to read {file}, got an installation without it; do pip install "
            "'llenergymeasure-store[yaml]', or use JSON"
        ) from None
    try:
        documents: list[Any] = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"
        fault = getattr(error, "problem", None) or " ".join(str(error).split())
        raise CommandError(f"expected YAML in {place}, got a fault: {fault}; correct the file") from None
    if len(documents) == 1:
        documents = documents[0] if isinstance(documents[0], list) else documents
    return [(f"item {number} of {file}", one) for number, one in enumerate(documents, 1) if one is not None]


def _from_csv(file: str, text: str) -> list[tuple[str, object]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    found: list[tuple[str, object]] = []
    try:
        head = next(rows, [])
        if repeated := sorted({name for name in head if head.count(name) > 1}):
            raise CommandError(
                f"expected a name for each column of {file}, got {repeated[0]!r} twice; rename one of them"
            )
        for row in rows:
            if not row:
                continue
            if len(row) != len(head):
                raise CommandError(
                    f"expected {len(head)} cells in {file}:{rows.line_num}, got {len(row)}; correct the line"
                )
            cells = {name: _cell(cell) for name, cell in zip(head, row, strict=True) if cell}
            found.append((f"{file}:{rows.line_num}", cells))
    except csv.Error as error:
        raise CommandError(
            f"expected CSV in {file}:{rows.line_num}, got a fault: {error}; correct the file"
        ) from None
    return found


_BOOLEANS = {"True": True, "TRUE": True, "False": False, "FALSE": False}


def _cell(text: str) -> object:
    """Return the JSON value that a cell is, or its text; Python and spreadsheets write booleans otherwise."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text


def _named(value: object) -> str:
    return "an object" if isinstance(value, dict) else f"the value {value!r}"
