"""The records of this package: a directory of results, or files of JSON in any form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._format import plural, printable
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Imported, Item, NotImported
from llenergymeasure.importers._json_texts import json_texts
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._text import open_utf8
from llenergymeasure.results._columns import RECORD_CHECK
from llenergymeasure.results._field_errors import first_of

TITLE = "results of this package"

MARKS = {"experiment_id", "measurement_config_hash", "total_energy_j"}
_LONGEST_MESSAGE = 300
_PIECE = 1 << 16
_FAILURE_MARKS = {"error_type", "traceback"}
_COPY = "llem push and ResultStore.copy_from copy failures"


def matches(path: Path) -> bool:
    """Return True for the JSON of results, or a directory with results at any depth."""
    shape = shape_of(path)
    if shape.kind == "directory":
        return next(path.rglob(_store.RECORD), None) is not None
    return shape.kind == "json" and "measurement_config_hash" in shape.keys


def read(path: Path) -> Iterator[Item]:
    """Read the records, each with the power trace next to it."""
    if not path.is_dir():
        yield from _read(path, None)
        return
    for record in sorted(path.rglob(_store.RECORD)):
        sidecar = record.with_name(_store.SIDECAR)
        place = f"{record.relative_to(path).as_posix()}: "
        try:
            for item in _read(record, sidecar if sidecar.is_file() else None):
                yield NotImported(place + item.message, item.line) if isinstance(item, NotImported) else item
        except NotImportableError as error:
            yield NotImported(f"{place}{error}")
    failures = sum(1 for _ in path.rglob(_store.FAILURE))
    if failures:
        yield NotImported(f"expected results, got also {plural(failures, 'run')} that failed; {_COPY}")


def _read(path: Path, trace: Path | None) -> Iterator[Item]:
    if shape_of(path).keys >= _FAILURE_MARKS:
        raise NotImportableError(f"expected a result, got a run that failed; {_COPY}")
    content, fault = _content(path)
    found = list(json_texts(content))
    if not found:
        raise fault or NotImportableError("expected a result, got an empty file")
    for number, (line, text) in enumerate(found, 1):
        try:
            result = result_of(text)
        except NotImportableError as error:  # noqa: PERF203 - a broken record
            # The end of a damaged file is half of a record, which the fault of the file says.
            if fault is None or number < len(found):
                yield NotImported(str(error), line)
        else:
            yield Imported(result=result, trace=trace, line=line, version=SCHEMA_VERSION)
    if fault is not None:
        yield NotImported(str(fault))


def _content(path: Path) -> tuple[bytes, NotImportableError | None]:
    """Return the text of a file, as far as it can be decompressed, and what is wrong with the rest."""
    content = bytearray()
    try:
        with open_utf8(path) as file:
            while piece := file.read1(_PIECE):  # type: ignore[attr-defined]
                content += piece
    except NotImportableError as error:
        return bytes(content), error
    return bytes(content), None


def result_of(content: bytes) -> ExperimentResult:
    """Return the result of a record.

    Raises:
        NotImportableError: The bytes are not a valid record; the message is one line.
    """
    fault = RECORD_CHECK().diagnose(content)
    if fault is None:
        return ExperimentResult.model_validate_json(content)
    _, reason = fault
    text = printable(_explain(reason, content))
    if len(text) > _LONGEST_MESSAGE:
        text = text[: _LONGEST_MESSAGE - 1] + "…"
    raise NotImportableError(text)


def _explain(reason: str, content: bytes) -> str:
    """Return the reason on one line: the first error of a field, and the number of others."""
    try:
        ExperimentResult.model_validate_json(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        if details[0]["loc"]:
            return first_of(details)
    reason = reason.removeprefix("is not a complete result: ").removeprefix("is not a result: ")
    is_several = "trailing characters" in reason or reason.startswith("expected a JSON object")
    return f"{reason}; write one result per line" if is_several else reason
