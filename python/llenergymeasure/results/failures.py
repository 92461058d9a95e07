"""Runs that failed: their save, and the reading of those of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._log import log
from llenergymeasure.domain.failure import FailedRun
from llenergymeasure.errors import LLEMError, ResultCorruptError, ResultError, SchemaVersionError
from llenergymeasure.results import _columns
from llenergymeasure.results._durability import warn_once
from llenergymeasure.results._encode import directory_name
from llenergymeasure.results._limit import max_bytes
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._load import Faults
from llenergymeasure.results._paths import Place, handle, joined, to_path
from llenergymeasure.results._plan import scan_results
from llenergymeasure.results.types import OnUnreadable, check_policy

if TYPE_CHECKING:
    from llenergymeasure.results.scan import Scan
    from llenergymeasure.results.types import Condition
    from llenergymeasure.types import ResultPath

__all__ = [
    "StoredFailure",
    "count_failures",
    "encode_failure",
    "load_failure",
    "raw_failures",
    "read_failures",
    "save_encoded",
    "save_failure",
]

_ERRORS = {"corrupt": ResultCorruptError, "other_schema_line": SchemaVersionError, "invalid": ResultError}


class StoredFailure(NamedTuple):
    """A run that failed, and the path of its `failure.json`."""

    path: ResultPath
    run: FailedRun


def save_failure(  # noqa: PLR0913 - the parameters of the method
    root: ResultPath,
    config: object,
    error: BaseException,
    *,
    started: datetime | None = None,
    output: str | bytes | None = None,
    durable: bool = True,
    redact: bool = False,
) -> ResultPath:
    """Save a run that failed; see `ResultStore.save_failure`."""
    run = FailedRun.of(config, error, started=started, output=output)
    if redact:
        from llenergymeasure.domain.secrets import redacted_failure  # noqa: PLC0415 - rarely needed

        run = redacted_failure(run)
    return save_encoded(root, _store.failure_name(directory_name(run)), encode_failure(run), durable=durable)


def encode_failure(run: FailedRun) -> bytes:
    """Return the compact JSON of a failure."""
    return FailedRun.__pydantic_serializer__.to_json(run, warnings="error")


def save_encoded(root: ResultPath, name: str, record: bytes, *, durable: bool) -> ResultPath:
    """Save the bytes of a failure in a directory of a name, or of its next free suffix; return the path."""
    place = str(root) if isinstance(root, Path) else root
    name, _, _ = _store.save(handle(place), name, record, failure=True, durable=durable)
    if durable:
        warn_once(place)
    return root.joinpath(name, _store.FAILURE)


def read_failures(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    *,
    where: Iterable[Condition] | None = None,
    newest: int | None = None,
    on_error: OnUnreadable = "raise",
    limit: int | None = None,
    follow_links: bool = False,
) -> Iterator[StoredFailure]:
    """Read the failures below a root; see `ResultStore.failures`."""
    check_policy("on_error", on_error, OnUnreadable)
    if where is None and newest is None:
        return _read_all(root, on_error, limit, follow_links=follow_links)
    scan = scan_results(
        root, ["path"], where=where, on_error=on_error, limit=limit, follow_links=follow_links, failures=True
    )
    return _read_some(root, scan if newest is None else scan.newest(newest), on_error, limit)


def count_failures(root: Place, *, follow_links: bool = False) -> int:
    """Count the failures below a root by a listing."""
    if isinstance(root, str) and not os.path.lexists(root):
        return 0
    return _store.count(handle(root), 0, follow_links=follow_links)[1]


def raw_failures(
    root: Place, limit: int | None = None, *, follow_links: bool = False
) -> Iterator[tuple[ResultPath, bytes, Exception | None]]:
    """Read the files of the failures below a root, which need not exist, in the order of the paths.

    Returns:
        The path of each, its bytes, and the reason why it is not a failure, or None.

    Warns:
        UserWarning: Some symlinks to directories were not followed.
    """
    if isinstance(root, str) and not os.path.lexists(root):
        return
    documents = _store.Documents(
        handle(root),
        _columns.FAILURE_CHECK(),
        max_bytes=max_bytes(limit),
        follow_links=follow_links,
        failures=True,
    )
    while (read := documents.next()) is not None:
        for path, content, _, fault, error in read:
            reason = None if content is None else _fault(str(path), content, fault)
            yield to_path(root, path), content or b"", error or reason
    warn_of_links(root, documents.links)


def _read_all(
    root: Place, on_error: OnUnreadable, limit: int | None, *, follow_links: bool
) -> Iterator[StoredFailure]:
    skipped = Faults("files were skipped")
    for path, content, fault in raw_failures(root, limit, follow_links=follow_links):
        try:
            if fault is not None:
                raise fault
            run = FailedRun.model_validate_json(content)
        except (LLEMError, ValidationError) as unreadable:
            if on_error == "raise":
                raise
            skipped.add(unreadable)
            log([f"skipped: {unreadable}"])
            continue
        yield StoredFailure(path, run)
    skipped.warn()


def _read_some(root: Place, scan: Scan, on_error: OnUnreadable, limit: int | None) -> Iterator[StoredFailure]:
    for batch in scan:
        for path in batch.to_pydict()["path"]:
            place = joined(root, path)
            try:
                run = load_failure(place, limit)
            except (LLEMError, ValidationError):  # it has changed since the scan
                if on_error == "raise":
                    raise
                continue
            file = joined(place, _store.FAILURE)
            yield StoredFailure(to_path(root, str(file)), run)


def load_failure(place: Place, limit: int | None = None) -> FailedRun:
    """Load the failure of a directory or a `failure.json`.

    Raises:
        PersistenceError: The file cannot be read; a `FileNotFoundError` if it does not exist.
        ResultError: The file is not a failure.
        pydantic.ValidationError: A field is invalid.
    """
    file, content, _, fault = _store.read(
        handle(place), _columns.FAILURE_CHECK(), max_bytes(limit), failure=True
    )
    if (error := _fault(file, content, fault)) is not None:
        raise error
    return FailedRun.model_validate_json(content)


def _fault(file: str, content: bytes, fault: tuple[str, str] | None) -> Exception | None:
    """Return the error of bytes that are not a failure."""
    return None if fault is None else _ERRORS[fault[0]](f"{file} ({len(content)} bytes) {fault[1]}")
