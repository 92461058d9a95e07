"""A lazy table over the results of a tree, or over their power traces."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llenergymeasure import _store
from llenergymeasure._log import log
from llenergymeasure._store import Batch, Schema
from llenergymeasure._warnings import warn
from llenergymeasure.errors import LLEMError
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._paths import to_path
from llenergymeasure.results._tables import EXPORT_ENDINGS, Tables, is_installed, load_package
from llenergymeasure.results.types import PartitionBy, check_policy

if TYPE_CHECKING:
    import polars as pl

    from llenergymeasure.results._plan import ResultsPlan, TracesPlan
    from llenergymeasure.results.types import Condition, Progress
    from llenergymeasure.types import ResultPath, RootArgument

__all__ = ["EXPORT_ENDINGS", "Batch", "Scan", "Schema", "warn_of_skipped"]

_PARTITION = 4096
"""The most results of a partition, where the caller gives no number of partitions."""
_SHOWN = 20
"""The most columns that `repr` shows."""


class Scan(Tables):
    """A lazy table over a directory of results.

    Each use reads the tree again. Arrow libraries accept a scan: `pyarrow.table(scan)`,
    `polars.DataFrame(scan)`, `duckdb.sql("select ... from scan")`.

    A result is a directory with a `result.json`, at any depth. Rows come in the order of the paths.
    Directories below a result (other than the root) and directories whose names begin with a dot are not
    searched. A symlink to a `result.json` or a sidecar is followed. A symlink to a directory is not, unless
    the store has `follow_links`; the end of a reading warns once with their number. Saves may run during a
    scan: a row is complete or absent.

    Columns of results have dotted paths as names (`energy_breakdown.adjusted_j`) and the types of the schema:

    - Lists of numbers and of strings are list columns. `process_results` is a column of JSON strings, and
      `process_results.gpu_id` is a column of lists with an item per process.
    - `start_time` is the local time without a zone. `start_time.utc` is the instant, or null if the record
      does not have the zone.
    - Non-finite floats are floats. An integer of the schema that exceeds 64 bits is null, with a warning.
    - Absent fields have their defaults. `timeseries` is the name of the sidecar on disk, even if the record
      has none.
    - `path` is the directory relative to the store, `saved_at` is the file system's time of the write, and
      `has_timeseries` is true if the result has a sidecar.

    The type of `effective_config.KEY` follows from its values (schema inference):

    - Integers have 64 bits, unsigned if necessary. Integers and floats together are floats, and so are
      strings of non-finite floats among numbers.
    - Any other mix is a column of JSON strings: values of several kinds, larger integers, integers among
      floats that have no equal float, and lists other than of numbers or of strings.
    - The keys of a nested object are columns of their own. A key is quoted, with the escapes of JSON, if it
      is empty or has a dot, a comma, an operator (`=`, `!`, `<`, `>`, `~`), a quote, a blank at an end or a
      character that is not printable: `effective_config."optimizer.lr"`.
    - Inference reads the whole tree at the first use of the schema, and the columns stay the same after that.
    - A table has at most 10 000 keys. `ResultStore.scan(config=...)` avoids the limit and the inference.

    `print(scan)` shows the columns. A scan can be pickled, and compared: two scans are equal if they read the
    same rows of the same store. It can be divided into `partitions` for other processes.

    Attributes:
        errors: The error of each invalid file at the last reading, by its path. A file is invalid if it is
            empty, truncated, not JSON, of another schema line or unreadable, or if any of its fields is
            invalid, also one that the scan does not return.
    """

    def __init__(
        self,
        plan: ResultsPlan | TracesPlan,
        progress: Progress | None = None,
        *,
        warns_of_links: bool = True,
    ) -> None:
        """Create a scan; see `ResultStore.scan`."""
        self._plan = plan
        self._scan: _store.Scan | _store.Traces = plan.compile()
        self._progress = progress
        self._warns_of_links = warns_of_links
        self.errors: dict[ResultPath, LLEMError] = {}
        self._beyond: list[UserWarning] = []

    def __repr__(self) -> str:
        """Return the root and the columns, with their types where no record must be read for them."""
        known = self._scan.schema
        if known is None:
            columns = list(self._plan.columns)
        else:
            columns = [f"{name}: {kind}" for name, kind in zip(known.names, known.types, strict=True)]
        more = len(columns) - _SHOWN
        lines = [f"<Scan of {str(self._plan.root)!r}{self._plan.extent()}", *columns[:_SHOWN]]
        return "\n  ".join([*lines, *([f"... {more} more columns"] if more > 0 else [])]) + ">"

    def __eq__(self, other: object) -> bool:
        """Return whether the other reads the same rows and columns of the same store."""
        return self._plan == other._plan if isinstance(other, Scan) else NotImplemented

    def __hash__(self) -> int:
        """Hash the root and the columns."""
        return hash((str(self._plan.root), self._plan.columns))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the plan of the scan, without `progress` and the errors of the last reading."""
        return _unpickled, (self._plan, self._warns_of_links)

    @property
    def root(self) -> ResultPath:
        """The root of the store: a `Path`, or a `StorePath` in an object store."""
        root = self._plan.root
        return Path(root) if isinstance(root, str) else root

    @property
    def schema(self) -> Schema:
        """The columns and their types, with `__arrow_c_schema__`."""
        known = self._scan.schema
        return known if known is not None else self._read().schema

    def partitions(self, n: int | None = None, *, by: PartitionBy = "count") -> list[Scan]:
        """Divide the scan into scans that together read each result once, in the order of the paths.

        The store is listed once, here. Each partition reads its own results and nothing else; results that
        are saved later are in no partition, and one that is removed is absent. All have the same columns and
        select the same rows as this scan: if its columns or conditions need the values of the configuration,
        they are read here, once (give their types as `schema` to avoid that).

        A partition can be pickled and sent to another process or host that reaches the root under the same
        path. The pickle has about 50 bytes per result, or 100 in an object store.

        Args:
            n: The number of partitions; fewer if there are fewer results, and at least one. None is as many
                as have 4096 results each.
            by: The weight of a result: `"count"` for partitions of equal numbers of results, or `"bytes"` for
                equal sums of the sizes of their records, which costs a call per result on a file system.

        Raises:
            ValueError: `n` is less than 1, or the scan is one of the first rows.
            TypeError: The scan is one of power traces.
            PersistenceError: The store cannot be listed.

        Warns:
            UserWarning: Symlinks to directories were not followed.
        """
        check_policy("by", by, PartitionBy)
        if n is not None and n < 1:
            raise ValueError(f"n expects at least 1, got {n}")
        scan, plan = self._of_results("partitions")
        if plan.head is not None:
            raise ValueError("expected a scan of all rows, got one of the first; call partitions before head")
        parts, links = scan.divide(n, _PARTITION, by)
        # After the listing, so that the types are those of every listed result.
        known = scan.resolve(progress=self._progress)
        if self._warns_of_links:
            warn_of_links(plan.root, links)
        plans = [replace(plan, part=part, known=known) for part in parts]
        return [Scan(plan, warns_of_links=False) for plan in plans]

    def newest(self, n: int) -> Scan:
        """Return a scan of the results that were saved last, the newest first.

        The time is that of the record's file. The store is listed once, here, and no record is read.
        Conditions select rows of these results.

        Raises:
            ValueError: `n` is negative.
            TypeError: The scan is one of power traces.
            PersistenceError: The store cannot be listed.
        """
        if n < 0:
            raise ValueError(f"n expects at least 0, got {n}")
        scan, plan = self._of_results("newest")
        part, links = scan.newest(min(n, sys.maxsize))
        if self._warns_of_links:
            warn_of_links(plan.root, links)
        return Scan(replace(plan, part=part), self._progress, warns_of_links=False)

    def count(self) -> int:
        """Return the number of rows.

        A listing suffices if the scan has no condition and raises the error of an invalid file (`on_error`):
        then every record counts, and none is read. Otherwise the records are read, without their columns.
        """
        scan, plan = self._of_results("count")
        if plan.is_listing():
            count = sum(map(len, self._listed(scan)))
        else:
            count = sum(map(len, self.derived(plan.columns_that_decide())))
        return count if plan.head is None else min(count, plan.head)

    def names(self) -> list[str]:
        """Return the paths of the rows' results, relative to the store, as the column `path` has them.

        A listing suffices as for `count`.
        """
        scan, plan = self._of_results("names")
        if not plan.is_listing():
            columns = dict.fromkeys(["path", *plan.columns_that_decide()])
            names: list[str] = self.derived(columns).to_pydict()["path"]
            return names
        return [os.fspath(place) for part in self._listed(scan) for place in part.places()][: plan.head]

    def head(self, n: int = 5) -> Scan:
        """Return a scan of the first rows, which stops reading after them.

        Raises:
            ValueError: `n` is negative.
            TypeError: The scan is one of power traces.
        """
        if n < 0:
            raise ValueError(f"n expects at least 0, got {n}")
        _, plan = self._of_results("head")
        least = n if plan.head is None else min(n, plan.head)
        return self._of(replace(plan, head=least))

    def lazy(self) -> pl.LazyFrame:
        """Return a polars lazy frame that reads the tree when it is collected, in batches.

            store.scan().lazy().filter(pl.col("backend") == "vllm").select("path", "total_energy_j").collect()

        The scan reads only the columns of the query. It evaluates the parts of the query's predicate that its
        conditions express, and polars evaluates the whole predicate on the rows that are left: comparisons of
        a column of numbers, texts, times or booleans with a value, `is_in`, `is_between`, `is_null`,
        `is_not_null`, `starts_with`, `ends_with` and `contains(literal=True)`, joined by `&`. A limit before
        any filter stops the reading.

        The types of columns are found at the first use and stay the same. A lazy frame that is pickled or
        serialised takes them with it. `errors` has the invalid files of the last reading, in this process.

        Raises:
            ImportError: polars is not installed.
        """
        load_package("polars", "lazy")
        from llenergymeasure.results._lazy import lazy_frame  # noqa: PLC0415 - needs polars

        return lazy_frame(self)

    def to_delta(self, table: RootArgument, *, mode: Literal["append"] = "append") -> int:
        """Append to a table of Delta Lake the rows that it does not have yet, and return their number.

        A row is in the table if one with the same `path` and `record_sha256` is; the scan gets both columns.
        Each row is appended once, although several processes publish at the same time or are killed: a call
        is one commit, or none. A record that changed is another row; no row is removed.

        The table is created if it does not exist. New columns are added to it, and a column keeps its type:
        integers become floats where the table has floats, and any other type is an error (`schema` of
        `ResultStore.scan` fixes the types of the configuration). Delta has no unsigned integers: `uint64` is
        `decimal(20, 0)`. Names of columns must differ in more than case.

        Memory holds 16 bytes, and what a set needs, for each row of the table.

        Args:
            table: The path of a directory, or the URL of an object store (`s3://`, `gs://`, `az://`); a
                `StorePath` has options and credentials. A URL takes those of this scan's store.
            mode: `"append"`; there is no other.

        Raises:
            ImportError: deltalake or pyarrow is not installed.
            ValueError: A column does not fit the table.
            PersistenceError: The table cannot be read or written. Nothing was appended, or all of it: call
                again.
            LLEMError: A record is invalid, as for any reading.
        """
        if mode != "append":
            raise ValueError(f"mode expects 'append', got {mode!r}")
        self._of_results("to_delta")
        for package in ("pyarrow", "deltalake"):
            load_package(package, "to_delta")
        from llenergymeasure.results._delta import append  # noqa: PLC0415 - needs both

        return append(self, table)

    def _sql_table(self, names: dict[str, str]) -> Any:  # noqa: ANN401 - as of `Tables`
        # DuckDB reads a lazy frame through pyarrow, and pushes columns and filters down to it.
        if not all(map(is_installed, ("polars", "pyarrow"))):
            return super()._sql_table(names)
        changed = {name: unique for name, unique in names.items() if name != unique}
        frame = self.lazy()
        return frame.rename(changed) if changed else frame

    @property
    def is_of_results(self) -> bool:
        """True for a scan of results, and False for one of power traces."""
        return isinstance(self._scan, _store.Scan)

    def resolved(self) -> Scan:
        """Return the same scan with the types that its columns have: no scan derived from it infers them."""
        if not self.is_of_results:
            return self
        scan, plan = self._of_results("resolved")
        return self._of(replace(plan, known=scan.resolve(progress=self._progress)))

    def derived(
        self, columns: Iterable[str], where: Iterable[Condition] = (), head: int | None = None
    ) -> Scan:
        """Return a scan of other columns of this one, and of the rows that meet more conditions.

        `head` is ignored for power traces.
        """
        plan = self._plan.derived(columns, where)
        return self._of(plan) if head is None or not self.is_of_results else self._of(plan).head(head)

    def __iter__(self) -> Iterator[Batch]:
        """Read the rows in batches."""
        reader = self._begin()
        while (read := reader.next()) is not None:
            batch, invalid = read
            self._note(invalid)
            if len(batch) > 0:
                yield batch
        self._warn(reader)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Read the rows as an Arrow stream. `requested_schema` is ignored: the reader converts."""
        reader = self._begin()

        def report(invalid: list[tuple[Path | str, LLEMError | UserWarning]] | None) -> None:
            if invalid is not None:
                self._note(invalid)
            else:
                self._warn(reader)

        return reader.stream(report)

    def __arrow_c_schema__(self) -> object:
        """Export the schema."""
        return self.schema.__arrow_c_schema__()

    def _of_results(self, verb: str) -> tuple[_store.Scan, ResultsPlan]:
        """Return the scan and the plan of a scan of results.

        Raises:
            TypeError: It is one of power traces.
        """
        if isinstance(self._scan, _store.Traces):
            got = "got one of power traces; use ResultStore.scan"
            raise TypeError(f"{verb} expects a scan of results, {got}")
        plan: Any = self._plan
        return self._scan, plan

    def _of(self, plan: ResultsPlan | TracesPlan) -> Scan:
        """Return a scan of another plan."""
        return Scan(plan, self._progress, warns_of_links=self._warns_of_links)

    def _listed(self, scan: _store.Scan) -> list[_store.Part]:
        parts, links = scan.divide(1, _PARTITION, "count")
        if self._warns_of_links:
            warn_of_links(self._plan.root, links)
        return parts

    def _read(self) -> _store.Reader:
        return self._scan.read(progress=self._progress)

    def _begin(self) -> _store.Reader:
        reader = self._read()
        self.errors, self._beyond = {}, []
        return reader

    def _note(self, invalid: list[tuple[Path | str, LLEMError | UserWarning]]) -> None:
        for path, error in invalid:
            if isinstance(error, UserWarning):
                self._beyond.append(error)
            else:
                self.errors[to_path(self._plan.root, path)] = error

    def _warn(self, reader: _store.Reader) -> None:
        if self._beyond:
            more = len(self._beyond) - 1
            warn(f"{self._beyond[0]}{f' ({more} more results have such an integer)' if more else ''}")
        if self._plan.on_error == "skip":
            warn_of_skipped(list(self.errors.values()))
        if self._warns_of_links:
            warn_of_links(self._plan.root, reader.links)


def _unpickled(plan: ResultsPlan | TracesPlan, warns_of_links: bool) -> Scan:  # noqa: FBT001 - of a pickle
    return Scan(plan, warns_of_links=warns_of_links)


def warn_of_skipped(errors: list[LLEMError]) -> None:
    """Warn of invalid files that a reading left out, with their number, and log each."""
    if errors:
        log(f"skipped: {error}" for error in errors)
        were = "file was" if len(errors) == 1 else "files were"
        warn(f"{len(errors)} {were} skipped; the first: {errors[0]}")
