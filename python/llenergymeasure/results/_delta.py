"""Publishing the rows of a scan in a table of Delta Lake, each of them once.

A row is known by `path` and `record_sha256`. A commit carries the number of a transaction (an action `txn` of
Delta's protocol), and Delta refuses one whose number another publisher has used since the table was read:
the loser reads the table again. A publisher that is killed leaves files that no commit names.
"""

from __future__ import annotations

import errno
import hashlib
import random
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import deltalake
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from llenergymeasure.errors import PersistenceError
from llenergymeasure.results._columns import PATH, RECORD_SHA256
from llenergymeasure.results._paths import handle, located

if TYPE_CHECKING:
    from llenergymeasure.results.scan import Scan
    from llenergymeasure.results.store_path import StorePath
    from llenergymeasure.types import RootArgument

_APPLICATION: Final = "llenergymeasure"
_KEY: Final = (PATH, RECORD_SHA256)
_LONGEST_WAIT: Final = 1.0
_UNSIGNED: Final = pa.decimal128(20)
"""Delta has no unsigned integers."""


def append(scan: Scan, table: RootArgument) -> int:
    """Append the rows that a table does not have; return their number. See `Scan.to_delta`."""
    place = located(table, "table")
    url, options = (place, {}) if isinstance(place, str) else (str(place), _options(place, scan))
    rows = _Rows(scan)
    try:
        return _append(rows, url, options)
    except (DeltaError, OSError) as error:
        raise rows.error or _error(error, url, options) from None
    except Exception as error:
        # deltalake raises a bare Exception for an error of its engine.
        if rows.error is None and type(error) is not Exception:
            raise
        raise rows.error or _error(error, url, options) from None


def _append(rows: _Rows, url: str, options: dict[str, str]) -> int:
    wait = 0.01
    while not _commit(rows, _opened(rows, url, options)):
        # Another publisher committed, so that each round makes progress.
        time.sleep(random.uniform(0, wait))  # noqa: S311 - no secret
        wait = min(2 * wait, _LONGEST_WAIT)
    return rows.count


def _commit(rows: _Rows, table: Any) -> bool:  # noqa: ANN401 - a DeltaTable
    """Append the missing rows in one commit; return False if another publisher was faster."""
    transaction = deltalake.Transaction(_APPLICATION, (table.transaction_version(_APPLICATION) or 0) + 1)
    batches = rows.missing_from(table)
    first = next(batches, None)
    if first is None:
        return True
    try:
        deltalake.write_deltalake(
            table,
            pa.RecordBatchReader.from_batches(rows.schema, chain([first], batches)),
            mode="append",
            schema_mode="merge",
            commit_properties=deltalake.CommitProperties(app_transactions=[transaction]),
        )
    except CommitFailedError:
        return False
    return True


class _Rows:
    """The rows of a scan, of the types that Delta has."""

    def __init__(self, scan: Scan) -> None:
        resolved = scan.resolved()
        names = resolved.schema.names
        self._scan = resolved.derived([*(name for name in _KEY if name not in names), *names])
        self._given = pa.schema(self._scan.schema)
        _check_names(self._given.names)
        self.schema = self._given
        self.count = 0
        self.error: Exception | None = None
        """The error of the scan, which an engine would wrap."""

    def empty(self) -> pa.Schema:
        """Return the columns of a new table."""
        return pa.schema([_field(field) for field in self._given])

    def missing_from(self, table: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401
        """Read the rows that are not in a table, as its columns."""
        existing = pa.schema(table.schema().to_arrow())
        if not set(_KEY) <= set(existing.names):
            raise ValueError(
                f"table expects the columns {' and '.join(_KEY)}, got a table without them; "
                "append to one that to_delta made"
            )
        self.schema = pa.schema([_fitting(_field(field), existing) for field in self._given])
        self.count, known = 0, _keys_of(table)
        return self._read(known)

    def _read(self, known: set[bytes]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._scan:
                rows = pa.record_batch(batch)
                rows = rows.filter(pa.array([key not in known for key in _keys(rows)], pa.bool_()))
                if rows.num_rows:
                    self.count += rows.num_rows
                    columns = [_cast(*pair) for pair in zip(rows.columns, self.schema, strict=True)]
                    yield pa.record_batch(columns, schema=self.schema)
        except Exception as error:
            self.error = error
            raise


def _opened(rows: _Rows, url: str, options: dict[str, str]) -> Any:  # noqa: ANN401 - a DeltaTable
    try:
        return deltalake.DeltaTable(url, storage_options=options)
    except TableNotFoundError:
        try:
            deltalake.DeltaTable.create(url, rows.empty(), mode="error", storage_options=options)
        except DeltaError:
            # Another publisher may have created it.
            if not deltalake.DeltaTable.is_deltatable(url, options):
                raise
        return deltalake.DeltaTable(url, storage_options=options)


def _keys_of(table: Any) -> set[bytes]:  # noqa: ANN401
    batches = table.to_pyarrow_dataset().scanner(columns=list(_KEY)).to_batches()
    return {key for batch in batches for key in _keys(batch)}


def _keys(rows: pa.RecordBatch) -> Iterator[bytes]:
    """Return 16 bytes that stand for the path and the sha256 of each row."""
    for path, digest in zip(*(rows.column(name).to_pylist() for name in _KEY), strict=True):
        yield hashlib.blake2b(f"{digest} {path}".encode(), digest_size=16).digest()


def _check_names(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"expected columns that differ in more than case, as Delta does, got {other} and {name}; "
                "name the columns of the scan"
            )


def _field(field: pa.Field) -> pa.Field:
    """Return the field of a new table: later rows may lack any column but the key."""
    kind = _UNSIGNED if pa.types.is_uint64(field.type) else field.type
    return field.with_type(kind).with_nullable(field.name not in _KEY)


def _fitting(field: pa.Field, existing: pa.Schema) -> pa.Field:
    """Return a field with the type that it has in a table.

    Raises:
        ValueError: Values of the column's type may not fit.
    """
    index = existing.get_field_index(field.name)
    if index < 0 or existing.field(index).type == field.type:
        return field
    kind = existing.field(index).type
    is_wider = pa.types.is_integer(field.type) and (pa.types.is_float64(kind) or kind == _UNSIGNED)
    if not is_wider and str(kind) != str(field.type).replace("item:", "element:"):
        raise ValueError(
            f"{field.name} expects values of the table's type {kind}, got {field.type}; "
            "give its type as schema= of ResultStore.scan, or append to another table"
        )
    return field.with_type(kind)


def _cast(values: pa.Array, field: pa.Field) -> pa.Array:
    try:
        return values if values.type == field.type else values.cast(field.type)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{field.name} expects values of the table's type {field.type}: {error}") from None


def _options(place: StorePath, scan: Scan) -> dict[str, str]:
    """Return the options of a location for deltalake, which has the same names for them."""
    handle(place)  # an unknown option is an error here
    if not isinstance(scan.root, Path):
        place = scan.root._find(place)  # noqa: SLF001 - access of its own, or that of the store
    access = place._access  # noqa: SLF001 - users have no need of it
    options = {"allow_http": "true", **(access.options or {})}
    if access.credential_provider is not None:
        given = access.credential_provider()
        options |= {name: str(value) for name, value in given.items() if name != "expires_at" and value}
    return options


def _error(error: Exception, url: str, options: dict[str, str]) -> PersistenceError:
    text = str(error)
    for name, value in options.items():
        if any(part in name for part in ("secret", "token", "key", "password", "sas", "credential")):
            text = text.replace(value, "***")
    return PersistenceError(getattr(error, "errno", None) or errno.EIO, text, url, "append")
