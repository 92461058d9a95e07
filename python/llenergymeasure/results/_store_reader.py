"""The verbs of `ResultStore` that read results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results._durability import Durability, durability_of
from llenergymeasure.results._load import load_record, load_tree, no_garbage_collection
from llenergymeasure.results._paths import Place, joined, located
from llenergymeasure.results._plan import BATCH_SIZE, scan_results, scan_traces
from llenergymeasure.results.scan import Scan
from llenergymeasure.results.stored import StoredResult
from llenergymeasure.results.types import (
    Condition,
    ConfigForm,
    MissingSidecar,
    OnBadFile,
    OnUnreadable,
    Progress,
)
from llenergymeasure.results.verify import Verification, verify_tree

if TYPE_CHECKING:
    from llenergymeasure.results.check import StoreCheck
    from llenergymeasure.results.store_path import StorePath
    from llenergymeasure.types import PathArgument, ResultPath


class StoreReader:
    """The verbs that read, for `ResultStore`, and those that examine its location."""

    _path: ResultPath
    _max_record_bytes: int | None = None
    _max_trace_bytes: int | None = None
    _follow_links: bool = False

    @property
    def _root(self) -> Place:
        """The root as `str`, or as the path in an object store."""
        path: Path | StorePath = self._path
        return str(path) if isinstance(path, Path) else path

    @property
    def durability(self) -> Durability:
        """The durability of saves on the file system of a directory or its nearest ancestor, or in a bucket.

        The value is a string, `"full"`, `"none"` or `"unknown"`, with a `reason`. `"none"` is memory (tmpfs),
        a volatile overlay, or a disk without barriers. `"unknown"` is a network file system, FUSE, or a
        system that does not report it. In an object store, it is `"full"` once the store was seen to refuse a
        second PUT of one name, and `"unknown"` before; a service other than the large clouds must also have
        passed `check`. No request is made.

        Limits: a device that ignores flushes is not detected.
        """
        return durability_of(self._root)

    def check(self) -> StoreCheck:
        """Check what an object store can promise, and what the credentials allow.

        It sends races of 16 concurrent PUTs of one name, since a store may refuse a second PUT and still let
        several concurrent ones win. It takes about a second, or a minute on a slow store. Its objects are
        below `.llem-check-*`, which no reader enters, and it removes them.

        A bucket that passed is remembered for this user, so that `durability` can be `"full"`.

        Returns:
            The outcome: `ok`, the requests that the role lacks, and one sentence as `str`.

        Raises:
            PersistenceError: The store cannot be reached, or lets this role create no object.
            ValueError: The store is a directory; see `durability`.

        Warns:
            UserWarning: The outcome cannot be remembered.
        """
        from llenergymeasure.results.check import check_store  # noqa: PLC0415 - rarely needed

        return check_store(self._root)

    def _find(self, path: PathArgument) -> Place:
        """Return a path below the root, or absolute; expand `~` unless the store has that name."""
        root = self._root
        if not isinstance(root, str):
            return root._find(path)  # noqa: SLF001 - not for users
        if isinstance(path, (str, os.PathLike)):
            below = os.path.join(root, os.fsdecode(path))  # noqa: PTH118
            if os.path.lexists(below):
                return below
        place = located(path)
        return os.path.join(root, place) if isinstance(place, str) else place  # noqa: PTH118

    def scan(  # noqa: PLR0913 - a parameter for each choice
        self,
        columns: Iterable[str] | None = None,
        *,
        where: Iterable[Condition] | None = None,
        config: ConfigForm = "columns",
        optional: Iterable[str] = (),
        schema: Mapping[str, str] | None = None,
        on_error: OnBadFile = "raise",
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> Scan:
        """Return a lazy table of all results below the directory, with a row per result; see `Scan`.

        Args:
            columns: The names of the columns in order, as `Scan` describes them; the name of an object stands
                for all of its columns. `config.KEY` and the short names of the command line (`model`, `id`,
                `when`, `energy`, ...) are names, too; the table has a column under the name that was asked
                for. Other fields are not parsed (projection pushdown). None is all.
            where: Conditions that a row must all meet (predicate pushdown): a column, one of `==`, `!=`, `<`,
                `<=`, `>`, `>=`, `~`, `in`, `not in`, and a value.

                - `==` selects the rows with a value, and `!=` all others, null included. None equals null,
                  NaN equals NaN, 1 equals 1.0, and True does not equal 1.
                - The order compares numbers with numbers, texts with texts and times with times. Null and NaN
                  have no order: `<` and `>` do not select them.
                - `~` selects texts, and lists with a text, that contain a text; case does not count.
                - A time as a string stands for the interval that its digits leave open: `"2026-02-18"` equals
                  every time of that day, `"2026-02"` of that month and `"2026"` of that year. A
                  `datetime.date` is its day.
                - A value has the type of its column. Under a key with values of mixed kinds, a value matches
                  values of its own kind. A non-finite float is a number, or a text where the key has texts
                  and no numbers; `==` finds it by its number and by its name.
                - A list is any sequence, an object any mapping; `in` takes any iterable of values.
            config: The form of the column `effective_config`: `"columns"` for a column of each key, `"json"`
                for one column with the JSON text of each configuration, or `"none"` for no column. The last
                two work for any number of keys. `effective_config.KEY` is a column of its own in each form.
            optional: Keys of `effective_config`, such as `config.KEY`, that no result needs to have; their
                columns are then null, and they are among the columns of the whole configuration. Any other
                key that no result has is an error, unless the store is empty.
            schema: The types of keys of `effective_config`, such as `{"config.batch_size": "int64"}`: `bool`,
                `int64`, `uint64`, `double`, `string`, `list<int64>`, `list<double>`, `list<string>`, or
                `json` for JSON strings. The records are not read for these types, no result needs to have the
                keys, and a record with a value of another type is an invalid file.
            on_error: The policy for an invalid file: `"raise"` its error, `"skip"` it and warn once with the
                count, or `"collect"` its error in `Scan.errors`.
            batch_size: The most rows of a batch.
            progress: A function that takes the number of results read, and that of all, or None until it is
                known: a listing that has ended tells it, and a directory of directories corrects it.

        Raises:
            ValueError: A column does not exist, or a condition does not fit its column; when rows are read:
                no result has a key, or the value of a condition is of no kind that the key's values have.
            TypeError: An argument, or the value of a condition, is of a wrong type.
        """
        return scan_results(
            self._root,
            columns,
            where=where,
            config=config,
            optional=optional,
            schema=schema,
            on_error=on_error,
            batch_size=batch_size,
            progress=progress,
            limit=self._max_record_bytes,
            follow_links=self._follow_links,
        )

    def scan_timeseries(
        self,
        columns: Iterable[str] | None = None,
        *,
        where: Iterable[Condition] | None = None,
        on_error: OnBadFile = "raise",
        progress: Progress | None = None,
    ) -> Scan:
        """Return a lazy table of the power traces of all results below the directory; see `Scan`.

        The table has a row per row of each sidecar, with the `path` of the result, relative to the store, and
        its `experiment_id`. The other columns are those of `results.timeseries`; where a trace lacks one, it
        is null, and `gpu_index` is 0. A column of another name is possible; its type requires a read of
        every footer first, and a duration is a number of seconds. Only the selected columns are read.

        Args:
            columns: The names of the columns in order; None is `path`, `experiment_id` and those of
                `results.timeseries`.
            where: As for `scan`. A condition on a column of the traces (`("gpu_index", "==", 0)`) selects
                rows; one on a column of the records (`("backend", "==", "vllm")`) selects results.
            on_error: The policy for an invalid record or trace, as for `scan`.
            progress: A function that takes the number of results read, and that of all, or None until it is
                known: a listing that has ended tells it, and a directory of directories corrects it.

        Raises:
            ValueError: A condition does not fit its column; when rows are read: no trace has a column of that
                name, or its types differ.
            TypeError: An argument, or the value of a condition, is of a wrong type.
            ResultError: When rows are read: a sidecar is not a power trace, as for
                `results.timeseries.read_timeseries`, or a trace needs more than half of `max_trace_bytes`.
        """
        return scan_traces(
            self._root,
            columns,
            where=where,
            on_error=on_error,
            progress=progress,
            limit=self._max_record_bytes,
            trace_limit=self._max_trace_bytes,
            follow_links=self._follow_links,
        )

    def count(self, where: Iterable[Condition] | None = None) -> int:
        """Return the number of results below the directory, which need not exist.

        Without conditions, a listing suffices, and each `result.json` counts.

        Args:
            where: Conditions on the results to count, as for `scan`.

        Raises:
            PersistenceError: The directory cannot be read.
            ValueError: A condition does not fit its column.
            ResultError: A file is not a valid result; only with conditions.

        Warns:
            UserWarning: Some symlinks to directories were not followed.
        """
        scan = self.scan(["path"], where=where)
        root = self._root
        return 0 if isinstance(root, str) and not os.path.lexists(root) else scan.count()

    def __iter__(self) -> Iterator[StoredResult]:
        """Yield a handle of each result below the directory, in the order of the paths."""
        for batch in self.scan(["path"]):
            for path in batch.to_pydict()["path"]:
                yield self._stored(joined(self._root, path))

    def __getitem__(self, path: PathArgument) -> StoredResult:
        """Return a handle of one result, by its directory or `result.json`, relative to the store."""
        place = self._find(path)
        if isinstance(place, str):
            return self._stored(place.removesuffix(f"/{_store.RECORD}"))
        return self._stored(place.parent if place.name == _store.RECORD else place)

    def _stored(self, directory: Place) -> StoredResult:
        return StoredResult(
            directory, max_record_bytes=self._max_record_bytes, max_trace_bytes=self._max_trace_bytes
        )

    def load(self, path: PathArgument, *, missing_sidecar: MissingSidecar = "warn") -> ExperimentResult:
        """Load one result and validate it.

        If the record names no sidecar, but `timeseries.parquet` is next to it, the result has that name.

        Args:
            path: A `result.json` or its directory, relative to the root or absolute. A URL is absolute.
            missing_sidecar: The policy for a named sidecar that does not exist: `"warn"`, `"ignore"` or
                `"raise"` (`"error"` means the same). The result keeps the name.

        Raises:
            PersistenceError: The file cannot be read, or exceeds `max_record_bytes`; a `FileNotFoundError` if
                it does not exist.
            ResultCorruptError: The file is empty, truncated, NUL-filled, not UTF-8 or not JSON.
            SchemaVersionError: The file is of another schema line.
            ResultError: The file is JSON but not an object, or its sidecar is missing (`"raise"`).
            pydantic.ValidationError: A field is invalid; the title of the error names the file.

        Warns:
            UserWarning: The sidecar is missing.
        """
        return load_record(self._find(path), missing_sidecar, self._max_record_bytes)

    def iter_results(
        self, *, on_error: OnUnreadable = "raise", missing_sidecar: MissingSidecar = "warn"
    ) -> Iterator[ExperimentResult]:
        """Load all results below the directory one by one, in the order of the paths.

        Each is validated as in `load`, while the next ones are read.

        Args:
            on_error: The policy for an invalid file: `"raise"` its error, or `"skip"` it and warn once at the
                end.
            missing_sidecar: As for `load`, but `"warn"` warns once at the end.

        Raises:
            PersistenceError: The directory or a file cannot be read; see `load`.
            ResultError: A file is not a result; see `load`.
            pydantic.ValidationError: A field is invalid; the title of the error names the file.
        """
        return load_tree(
            self._root,
            on_error=on_error,
            missing_sidecar=missing_sidecar,
            limit=self._max_record_bytes,
            follow_links=self._follow_links,
        )

    def load_all(
        self, *, on_error: OnUnreadable = "raise", missing_sidecar: MissingSidecar = "warn"
    ) -> list[ExperimentResult]:
        """Load all results below the directory into a list; see `iter_results`.

        Python's garbage collector pauses during the call.
        """
        with no_garbage_collection():
            return list(self.iter_results(on_error=on_error, missing_sidecar=missing_sidecar))

    def verify(self, *, deep: bool = False, progress: Progress | None = None) -> Verification:
        """Check the store for damage, and list the leftovers of interrupted saves; change nothing.

        Each directory has one state, unless it holds results: complete, with a complete `result.json`;
        incomplete, a leftover of an interrupted save or a save in progress; damaged, with a record that is
        empty, truncated, NUL-filled, not JSON, of another schema line or not a regular file; foreign, with
        other files and no result at any depth.

        Args:
            deep: Also validate each record against the schema, report implausible numbers and credentials,
                and read each sidecar to its last page.
            progress: A function that takes the number of results checked, and that of all, or None until the
                listing has ended.

        Returns:
            The counts, each directory with its problem, and each symlink that was not followed; `ok` is true
            if every result is complete and has its sidecar.

        Limits: `deep` does not unpack pages that are compressed with other than zstd or snappy, pages of
        nested columns, and pages of strings with delta-encoded lengths.

        Raises:
            PersistenceError: The directory itself cannot be read.

        Warns:
            UserWarning: Some symlinks to directories were not followed.
        """
        return verify_tree(
            self._root,
            deep=deep,
            progress=progress,
            limit=self._max_record_bytes,
            trace_limit=self._max_trace_bytes,
            follow_links=self._follow_links,
        )
