"""Records that are read: checked against the schema, and what is wrong with those that do not pass."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import ValidationError
from pydantic_core import from_json

from llenergymeasure import _store
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.errors import ResultCorruptError, ResultError, SchemaVersionError
from llenergymeasure.results._interrupt import is_interruptible
from llenergymeasure.results._limit import max_bytes
from llenergymeasure.results._warnings import warn

if TYPE_CHECKING:
    from llenergymeasure.results.types import MissingSidecar, OnUnreadable

__all__ = ["load_record", "load_tree", "no_garbage_collection"]


def load_record(
    path: str | os.PathLike[str], missing_sidecar: MissingSidecar, limit: int | None = None
) -> ExperimentResult:
    """Load a result by the path of its `result.json` or its directory; see `ResultStore.load`."""
    _check_choice("missing_sidecar", missing_sidecar, ("warn", "ignore", "error"))
    file, content, has_sidecar = _store.read(os.fsdecode(path), max_bytes(limit))
    result, trouble = _validate(file, content, has_sidecar=has_sidecar, look=missing_sidecar != "ignore")
    if trouble is not None:
        if missing_sidecar == "error":
            _fail(trouble)
        warn(trouble)
    return result


def load_tree(
    root: str, *, on_error: OnUnreadable, missing_sidecar: MissingSidecar, limit: int | None
) -> Iterator[ExperimentResult]:
    """Load the results below a directory, in the order of their paths; see `ResultStore.iter_results`."""
    _check_choice("on_error", on_error, ("raise", "skip"))
    _check_choice("missing_sidecar", missing_sidecar, ("warn", "ignore", "error"))
    return _load_tree(root, on_error, missing_sidecar, max_bytes(limit))


def _load_tree(
    root: str, on_error: OnUnreadable, missing_sidecar: MissingSidecar, most: int
) -> Iterator[ExperimentResult]:
    interruptible = is_interruptible()
    documents = _store.Documents(root, max_bytes=most, interruptible=interruptible)
    look = missing_sidecar != "ignore"
    skipped, missing = _Troubles("files were skipped"), _Troubles("sidecars are missing")
    while (chunk := documents.next()) is not None:
        for path, content, has_sidecar, error in chunk:
            try:
                result, trouble = _validate(
                    str(path), _given(content, error), has_sidecar=has_sidecar, look=look
                )
                if trouble is not None and missing_sidecar == "error":
                    _fail(trouble)
            except (OSError, ResultError, ValidationError) as unreadable:
                if on_error == "raise":
                    raise
                skipped.add(unreadable)
                continue
            if trouble is not None:
                missing.add(trouble)
            yield result
    missing.warn()
    skipped.warn()


class _Troubles:
    """What went wrong with some results: how often, and the first. A warning for each would be a flood."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._count = 0
        self._first = ""

    def add(self, trouble: object) -> None:
        self._first = self._first if self._count else str(trouble)
        self._count += 1

    def warn(self) -> None:
        if self._count:
            warn(f"{self._count} {self._what}; the first: {self._first}")


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector from looking at ever more live objects: that takes twice as long as validating them.

    What is loaded holds no cycles.
    """
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_enabled:
            gc.enable()


def _given(content: bytes | None, error: Exception | None) -> bytes:
    if content is None:
        raise error if error is not None else AssertionError
    return content


def _fail(trouble: str) -> NoReturn:
    raise ResultError(trouble)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        known = ", ".join(map(repr, choices[:-1]))
        raise ValueError(f"{name} is {known} or {choices[-1]!r}, not {value!r}")


def _validate(
    file: str, content: bytes, *, has_sidecar: bool, look: bool
) -> tuple[ExperimentResult, str | None]:
    """Check a record, and, where that is wanted, look for its sidecar; say what is wrong with that."""
    try:
        result = ExperimentResult.model_validate_json(content)
    except ValidationError as error:
        raise _reading_error(file, content, error) from None
    if result.timeseries is None:
        return (result.model_copy(update={"timeseries": _store.SIDECAR}) if has_sidecar else result), None
    return result, _missing_sidecar(file, result.timeseries) if look else None


def _missing_sidecar(record: str, name: str) -> str | None:
    """Say what is wrong with the sidecar that a record names; None where it is there.

    The field is a file name: one that would lead out of the directory is not followed.
    """
    if name in ("", ".", "..") or any(mark in name for mark in ("/", "\\", "\0")):
        return (
            f"Timeseries sidecar missing: {record} names {name!r}, which is not a file name and not followed"
        )
    if os.path.isfile(os.path.join(os.path.dirname(record), name)):  # noqa: PTH113, PTH118, PTH120
        return None
    return f"Timeseries sidecar missing: {record} names {name!r}, and there is no such file beside it"


def _reading_error(file: str, content: bytes, error: ValidationError) -> Exception:
    """Tell what is wrong with a record that does not validate, naming the file and its size."""
    where = f"{file} ({len(content)} bytes)"
    damage = _store.diagnose(content)
    if damage is not None:
        return ResultCorruptError(f"{where} is not a whole result: {damage}")
    try:
        document = from_json(content)
    except ValueError as parser:
        return ResultCorruptError(f"{where} cannot be read: {parser}")
    if not isinstance(document, dict):
        kind = {list: "an array", str: "a string", type(None): "null"}.get(
            type(document), "a number or boolean"
        )
        return ResultError(f"{where} is not a result: it is {kind}, and a result is a JSON object")
    version = document.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        return SchemaVersionError(
            f"{where} is of schema line {version!r}, and this version of llenergymeasure reads "
            f"{SCHEMA_VERSION!r}; read it with the version that wrote it, or a newer one"
        )
    details: list[Any] = error.errors(include_url=False)
    return ValidationError.from_exception_data(f"ExperimentResult read from {where}", details)
