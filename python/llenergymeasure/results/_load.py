"""Load of records, validated against the schema."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._escape import escape
from llenergymeasure._log import log
from llenergymeasure._warnings import warn
from llenergymeasure.domain._origin import forget_origin, mark_loaded, record_of
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import LLEMError, ResultCorruptError, ResultError, SchemaVersionError
from llenergymeasure.results._columns import RECORD_CHECK
from llenergymeasure.results._limit import max_bytes
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._memory import as_memory_error
from llenergymeasure.results._paths import Place, handle, located, to_place
from llenergymeasure.results.types import MissingSidecar, OnUnreadable, check_policy

if TYPE_CHECKING:
    from llenergymeasure._store import Timeseries
    from llenergymeasure.types import PathArgument

_RAISE = ("raise", "error")
"""The two spellings of one policy; see `results.types`."""

_ERRORS = {"corrupt": ResultCorruptError, "other_schema_line": SchemaVersionError, "invalid": ResultError}
"""The error of each class of fault."""


def load_record(
    path: PathArgument, missing_sidecar: MissingSidecar, limit: int | None = None
) -> ExperimentResult:
    """Load a result from its `result.json` or its directory; see `ResultStore.load`."""
    check_policy("missing_sidecar", missing_sidecar, MissingSidecar)
    file, content, has_sidecar = read_record(located(path), max_bytes(limit))
    result, missing = _validate(file, content, missing_sidecar, has_sidecar=has_sidecar)
    if missing is not None:
        warn(missing)
    return result


def loaded_trace(result: ExperimentResult) -> tuple[Timeseries | None, str | None]:
    """Read the power trace of a result that was loaded from disk, or return why it cannot be read.

    Both are None for a result without a trace on disk, and for one that a program made.
    """
    from llenergymeasure.results.timeseries import read_trace  # noqa: PLC0415 - rarely needed

    record = record_of(result)
    if record is None or result.timeseries is None:
        return None, None
    try:
        return read_trace(record, None, None), None
    except FileNotFoundError:  # the load has warned
        return None, None
    except LLEMError as error:
        return None, f"cannot be read: {error}"


def load_tree(
    root: Place,
    *,
    on_error: OnUnreadable,
    missing_sidecar: MissingSidecar,
    limit: int | None,
    follow_links: bool = False,
) -> Iterator[ExperimentResult]:
    """Load the results below a directory, in the order of their paths; see `ResultStore.iter_results`."""
    check_policy("on_error", on_error, OnUnreadable)
    check_policy("missing_sidecar", missing_sidecar, MissingSidecar)
    documents = partial(
        _store.Documents, handle(root), RECORD_CHECK(), max_bytes=max_bytes(limit), follow_links=follow_links
    )
    return _load_tree(root, documents, on_error, missing_sidecar)


def _load_tree(
    root: Place,
    open_documents: Callable[[], _store.Documents],
    on_error: OnUnreadable,
    missing_sidecar: MissingSidecar,
) -> Iterator[ExperimentResult]:
    documents = open_documents()
    skipped, missing = Faults("files were skipped"), Faults("sidecars are missing")
    while (documents_read := documents.next()) is not None:
        for path, content, has_sidecar, fault, error in documents_read:
            try:
                content = _given(content, error)  # noqa: PLW2901
                if fault is not None:
                    raise _reading_error(str(path), content, fault)
                file = to_place(root, str(path))
                result, problem = _validate(file, content, missing_sidecar, has_sidecar=has_sidecar)
            except (OSError, ResultError, ValidationError) as unreadable:
                if on_error == "raise":
                    raise
                skipped.add(unreadable)
                log([f"skipped: {unreadable}"])
                continue
            if problem is not None:
                missing.add(problem)
            yield result
    missing.warn()
    skipped.warn()
    warn_of_links(root, documents.links)


class Faults:
    """The number of faults and the first of them, so that many faults give one warning."""

    def __init__(self, what: str) -> None:
        """Begin to count; `what` follows the number in the warning."""
        self._what = what
        self._count = 0
        self._first = ""

    def add(self, fault: object) -> None:
        """Count a fault."""
        self._first = self._first if self._count else str(fault)
        self._count += 1

    def warn(self) -> None:
        """Warn once of all faults."""
        if self._count:
            warn(str(self))

    def __str__(self) -> str:
        """Return the number of faults and the first; an empty string if there is none."""
        return f"{self._count} {self._what}; the first: {self._first}" if self._count else ""


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: its passes over the results would take twice the time of the validation.

    Results hold no cycles.
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


def read_record(path: Place, most: int) -> tuple[Place, bytes, bool]:
    """Read a valid record; return its path, its bytes, and True if there is a sidecar.

    Raises:
        PersistenceError: The file cannot be read.
        ResultError: The file is not a record.
        pydantic.ValidationError: A field is invalid.
    """
    file, content, has_sidecar, fault = _store.read(handle(path), RECORD_CHECK(), most)
    if fault is not None:
        raise _reading_error(file, content, fault)
    return to_place(path, file), content, has_sidecar


def parse_record(file: Place, content: bytes) -> ExperimentResult:
    """Return the result in the bytes of a valid record, as the record states it."""
    try:
        result = ExperimentResult.model_validate_json(content)
    except Exception:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        raise as_memory_error(error, f"load {file}") from None
    mark_loaded(result, file if isinstance(file, str) else file._origin())  # noqa: SLF001 - not for users
    return result


def _validate(
    file: Place, content: bytes, missing_sidecar: MissingSidecar, *, has_sidecar: bool
) -> tuple[ExperimentResult, str | None]:
    """Return a valid result, and the fault of its sidecar, or None."""
    result = parse_record(file, content)
    if result.timeseries is None:
        return (result.model_copy(update={"timeseries": _store.SIDECAR}) if has_sidecar else result), None
    if not isinstance(file, str) and result.timeseries == _store.SIDECAR and not has_sidecar:
        forget_origin(result)  # on a disk, a look at the file is cheap
    problem = (
        None if missing_sidecar == "ignore" else sidecar_fault(file, result.timeseries, found=has_sidecar)
    )
    fault = problem and f"Timeseries sidecar missing: {file} {problem}"
    if fault is not None and missing_sidecar in _RAISE:
        raise ResultError(fault)
    return result, fault


def sidecar_fault(file: Place, name: str, *, found: bool) -> str | None:
    """Return why the sidecar that a record names is not there, as a phrase, or None.

    `found` is True if the record has a sidecar of the usual name.
    """
    if found and name == _store.SIDECAR and not isinstance(file, str):
        return None  # no request
    return _store.missing_sidecar(handle(file), name)


def _reading_error(file: str, content: bytes, fault: tuple[str, str]) -> Exception:
    """Return the error for an invalid record, with the file and its size.

    Where a field is invalid, it is pydantic's error, unless pydantic would convert the value.
    """
    kind, reason = fault
    where = f"{file} ({len(content)} bytes)"
    if kind == "invalid":
        try:
            ExperimentResult.model_validate_json(content)
        except ValidationError as error:
            details: list[Any] = error.errors(include_url=False)
            if details[0]["type"] == "json_invalid":  # nested too deep, half a surrogate pair
                return ResultCorruptError(f"{where} cannot be read: {details[0]['ctx']['error']}")
            if details[0]["loc"]:
                return _field_error(where, details)
    return _ERRORS[kind](f"{where} {reason}")


def _field_error(where: str, details: list[Any]) -> ValidationError:
    for detail in details:
        detail["loc"] = tuple(escape(part) if isinstance(part, str) else part for part in detail["loc"])
    return ValidationError.from_exception_data(escape(f"ExperimentResult read from {where}"), details)
