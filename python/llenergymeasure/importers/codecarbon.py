"""CodeCarbon's `emissions.csv`: one run a row, with its energy in kWh and no tokens."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Imported, Item, Mapped, NotImported
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._source import KWH, exact, time_of
from llenergymeasure.importers._text import MARK, open_text

TITLE = "CodeCarbon"

_MARKS = {"emissions", "energy_consumed"}
_OPTIONAL = "country_name"
"""The first column that a run may leave empty."""
_SETTINGS = ("project_name", "tracking_mode")
_SHORT = "codecarbon left out the empty columns of this row: those after the energy are not assigned"


def matches(path: Path) -> bool:
    """Return True for the CSV of CodeCarbon."""
    shape = shape_of(path)
    return shape.kind == "csv" and set(shape.columns) >= _MARKS


def read(path: Path) -> Iterator[Item]:
    """Read the rows; each is a run, or a task of one."""
    with open_text(path) as file:
        text = file.read().lstrip(MARK)
    reader = csv.reader(text.splitlines(keepends=True))
    names = [name.strip() for name in next(reader, [])]
    if missing := _MARKS - set(names):
        raise NotImportableError(
            f"expected the columns {', '.join(sorted(missing))}, got none; run codecarbon"
        )
    # Files that were joined have a header each.
    rows = [
        (line, values)
        for line, values in _rows(reader)
        if [each.lstrip(MARK).strip() for each in values] != names
    ]
    earlier: dict[str, list[dict[str, str]]] = {}
    for (run, line, values), following in _with_following(names, rows):
        is_cut = line == reader.line_num and not text.endswith(("\n", "\r")) and len(values) < len(names)
        try:
            imported = _imported(names, [] if is_cut else values, line)
            if _continues(names, values, following):
                earlier.setdefault(run, []).append(dict(zip(names, values, strict=False)))
                continue
        except NotImportableError as error:
            yield NotImported(str(error), line)
            continue
        if before := earlier.pop(run, None):
            imported = replace(imported, rest={**imported.rest, "earlier_rows": before})
        yield imported


def _id_in(names: list[str]) -> str:
    """Return the column with the id of a run; version 1 calls it `experiment_id`."""
    return "run_id" if "run_id" in names else "experiment_id"


def _runs(names: list[str], rows: list[tuple[int, list[str]]]) -> Iterator[tuple[str, int, list[str]]]:
    """Yield each row with the id of its run; empty where several tasks share it."""
    place = names.index(_id_in(names)) if _id_in(names) in names and "task_name" not in names else len(names)
    for line, values in rows:
        yield values[place] if len(values) > place else "", line, values


def _with_following(
    names: list[str], rows: list[tuple[int, list[str]]]
) -> list[tuple[tuple[str, int, list[str]], list[str]]]:
    """Return each row with the next one of its run; empty without one."""
    following: dict[str, list[str]] = {}
    found = []
    for run, line, values in reversed(list(_runs(names, rows))):
        found.append(((run, line, values), following.get(run, []) if run else []))
        following[run] = values
    return found[::-1]


def _continues(names: list[str], values: list[str], following: list[str]) -> bool:
    """Return True if the next row of a run has the totals of a row, which a flush of the tracker wrote.

    See `EmissionsTracker.flush`: the rows of one run are cumulative.
    """
    if "duration" not in names:
        return False
    duration, energy = names.index("duration"), names.index("energy_consumed")
    if max(duration, energy) >= min(len(values), len(following)):
        return False
    try:
        return exact(following[duration]) > exact(values[duration]) and exact(following[energy]) >= exact(
            values[energy]
        )
    except NotImportableError:  # the next row has no such number
        return False


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise NotImportableError(
                f"expected CSV, got a row that cannot be read ({error}); correct it"
            ) from None
        if values is None:
            return
        if values:
            yield reader.line_num, values  # type: ignore[attr-defined]


def _imported(names: list[str], values: list[str], line: int) -> Imported:
    if len(values) > len(names):
        raise NotImportableError(f"expected {len(names)} columns, got {len(values)}; correct the row")
    known = names
    warnings = []
    rest: dict[str, object] = {}
    if len(values) < len(names):
        known = names[: names.index(_OPTIONAL)] if _OPTIONAL in names else []
        if len(values) < len(known) or not set(known) >= _MARKS:
            got = f"{len(values)}" if values else "a truncated row"
            raise NotImportableError(f"expected {len(names)} columns, got {got}; copy the file again")
        rest["columns_after_energy"] = values[len(known) :]
        warnings.append(_SHORT)
    row = dict(zip(known, values, strict=False))
    fields: dict[str, object] = {}
    mapping = []
    if text := row.get("energy_consumed"):
        fields["total_energy_j"] = exact(text, KWH)
        mapping.append(Mapped("energy_consumed", "total_energy_j", KWH))
    if text := row.get("duration"):
        fields["total_inference_time_sec"] = exact(text)
        mapping.append(Mapped("duration", "total_inference_time_sec"))
    if text := row.get("timestamp"):
        # The tracker reads the clock when it stops.
        fields["end_time"] = time_of("timestamp", text)
        mapping.append(Mapped("timestamp", "end_time", "parsed"))
    if text := row.get(_id_in(names)):
        task = row.get("task_name")
        fields["experiment_id"] = f"{text}/{task}" if task else text
        mapping.append(Mapped(_id_in(names), "experiment_id"))
    config = {}
    for name in _SETTINGS:
        if text := row.get(name):
            config[name] = text
            mapping.append(Mapped(name, f"effective_config.{name}"))
    moved = {"duration", "timestamp", _id_in(names), *config} & {each.key for each in mapping}
    rest = {name: value for name, value in row.items() if name not in moved} | rest
    version = row.get("codecarbon_version") or None
    return Imported(
        fields=fields,
        config=config,
        rest=rest,
        version=version,
        mapping=mapping,
        warnings=warnings,
        line=line,
    )
