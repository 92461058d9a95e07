"""`ResultStore`: a directory of results, and its verbs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from llenergymeasure import _store
from llenergymeasure.domain.experiment import ExperimentResult, compute_measurement_config_hash
from llenergymeasure.results._durability import Durability, durability_of, warn_once
from llenergymeasure.results._limit import check_limit, max_bytes
from llenergymeasure.results._load import load_record, load_tree, no_garbage_collection
from llenergymeasure.results._overview import Overview
from llenergymeasure.results._save import absolute, save_record
from llenergymeasure.results.clean import DAY, Cleaning, clean_tree
from llenergymeasure.results.save_many import MAX_PENDING, save_many
from llenergymeasure.results.scan import (
    BATCH_SIZE,
    Scan,
    completed,
    scan_results,
    scan_traces,
)
from llenergymeasure.results.stored import StoredResult
from llenergymeasure.results.types import (
    ArrowStream,
    Condition,
    MissingSidecar,
    OnBadFile,
    OnError,
    OnUnreadable,
    Progress,
    TimeseriesSource,
)
from llenergymeasure.results.verify import Verification, verify_tree
from llenergymeasure.results.writer import Writer

__all__ = ["ArrowStream", "MissingSidecar", "ResultStore", "StoredResult", "TimeseriesSource"]


Config = TypeVar("Config", bound="BaseModel | Mapping[str, Any]")


class ResultStore:
    """A directory of results.

    It holds no open file and no lock: any number of stores, threads, processes and hosts may use one
    directory at once. It can be pickled.

    Args:
        root: The directory. It is made, with its ancestors, by the first save. A relative path is resolved
            here, so that a later `os.chdir` moves no result.
        max_record_bytes: A `result.json` of more bytes is refused and not read, by whatever reads one. None
            is what the environment variable `LLEM_MAX_RECORD_BYTES` says at each reading, or else 256 MiB.

    Raises:
        TypeError: `max_record_bytes` is no integer.
        ValueError: `max_record_bytes` is less than 1.
    """

    _flush_method: str | None = None
    """`"fsync"` or `"syncfs"` makes every barrier of many saves that way, for tests and benches."""

    _max_record_bytes: int | None = None

    def __init__(self, root: str | os.PathLike[str], *, max_record_bytes: int | None = None) -> None:
        """Take a directory, which need not exist yet."""
        self._path = absolute(root)
        self._max_record_bytes = check_limit(max_record_bytes)

    @property
    def _root(self) -> str:
        """The directory, as those take it who ask the system."""
        return str(self._path)

    @property
    def root(self) -> Path:
        """The directory, absolute."""
        return self._path

    @property
    def max_record_bytes(self) -> int:
        """Bytes of a `result.json`, at most: a larger one is refused and not read.

        Raises:
            LLEMError: The environment variable `LLEM_MAX_RECORD_BYTES` counts, and is no number of bytes.
        """
        return max_bytes(self._max_record_bytes)

    @property
    def durability(self) -> Durability:
        """What a durable save is worth on the file system of the directory, or of its nearest ancestor.

        It is a string, `"full"`, `"none"` or `"unknown"`, with a `reason`. `"none"`: memory (tmpfs), an
        overlay that is mounted volatile, a disk without barriers; `"unknown"`: a network file system or FUSE,
        or a system that does not tell. A device that lies about its flushes cannot be seen from here.
        """
        return durability_of(self._root)

    def __repr__(self) -> str:
        """Name the directory, and tell what is in it."""
        return f"<ResultStore {self._root!r}: {Overview.of(self._root, self._max_record_bytes)}>"

    def _repr_html_(self) -> str:
        """Tell what is in the directory, for a notebook."""
        return Overview.of(self._root, self._max_record_bytes).as_html(self._root)

    def __eq__(self, other: object) -> bool:
        """Two stores are equal when they are of one directory path, whatever they are limited to."""
        return isinstance(other, ResultStore) and self._root == other._root

    def __hash__(self) -> int:
        """Hash the directory path."""
        return hash(self._root)

    def save(
        self,
        result: ExperimentResult,
        timeseries_source: TimeseriesSource | None = None,
        *,
        durable: bool = True,
    ) -> Path:
        """Save one result to a new directory, and return the path of its `result.json`.

        The directory is `{model_slug}_{backend}_{timestamp}`, with `_1`, `_2`, ... appended where that is
        taken: nothing that exists is ever overwritten, whoever else is saving. Readers see the whole record
        or none.

        Args:
            result: The result. Where a sidecar is stored, the saved record's `timeseries` names it.
            timeseries_source: The power trace: the path of a Parquet file, which is copied, or any object
                with `__arrow_c_stream__`, which is written as Parquet. The result itself comes first: it is
                saved whatever is wrong with the sidecar.
            durable: Wait until the result would survive a power cut. Without it the save is as atomic, but
                what was saved in the last seconds before a power cut may be gone.

        Returns:
            The absolute path of `result.json`.

        Raises:
            PersistenceError: The result was not saved (`committed` is false) or was saved, but its flush
                failed (`committed` is true).
            SidecarError: The result is safe at `result_path`, its sidecar was not stored.
            TypeError: It is no `ExperimentResult`, or one with fields that the schema does not have.
            ValueError: A field was changed, past validation, to what the schema does not admit.
            KeyboardInterrupt: The save was interrupted before the commit, and nothing of it is there; or
                after, and it is complete.

        Warns:
            UserWarning: `timeseries_source` does not exist; or this is the first durable save in this process
                on a file system that keeps nothing across a power cut (see `durability`). The result was
                saved before the warning.
        """
        return save_record(self._path, result, timeseries_source, durable=durable)

    def save_many(
        self,
        results: Iterable[ExperimentResult],
        *,
        timeseries_sources: Iterable[TimeseriesSource | None] | None = None,
        durable: bool = True,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Save many results, each as `save` does, with flushes that they share.

        Each result is atomic alone; together they are no transaction. What cannot be saved does not stop the
        rest. Records are serialised while others are written, and no more are in memory than are under way.

        Args:
            results: Any iterable; a generator may be longer than memory.
            timeseries_sources: A power trace for each result, or None; as long as `results`. A file must stay
                as it is until this returns.
            durable: Wait until all would survive a power cut.
            progress: Called with the number of results that are done, and with how many there are in all, or
                None where `results` has no length. An exception of it stops the saving as one of `results`
                does: what was taken from `results` is saved first.

        Returns:
            The absolute paths of the `result.json` files, in the order of `results`.

        Raises:
            BulkSaveError: Some results were not saved as they should be; the others are, durably.
            SaveInterrupted: Ctrl-C (it is a `KeyboardInterrupt`): what is durable, it says.
            ValueError: `timeseries_sources` is not as long as `results`; where that shows only at the end,
                the results before it are saved.

        Warns:
            UserWarning: Some sources do not exist: those results were saved without a sidecar. Or as `save`.
        """
        paths = save_many(
            self._root,
            results,
            timeseries_sources,
            durable=durable,
            progress=progress,
            flush_method=self._flush_method,
        )
        if durable:
            warn_once(self._root)
        return paths

    def writer(
        self, *, durable: bool = True, max_pending: int = MAX_PENDING, on_error: OnError = "raise"
    ) -> Writer:
        """Open a writer that saves results in the background; see `Writer`.

        Args:
            durable: Resolve each future only when its result would survive a power cut.
            max_pending: Results that may be under way; `submit` waits for room beyond that, or beyond 64 MiB
                of records.
            on_error: What to do with a result that cannot be saved, beside failing its future: `"raise"` it
                from `flush` and from the end of the `with` block, `"ignore"` it, or call a function with the
                result and the error, in the writer's own thread.

        Raises:
            PersistenceError: No thread could be started.
            ValueError: `max_pending` is less than 1, or `on_error` none of these.

        Warns:
            UserWarning: As `save`, of the file system, before anything is saved.
        """
        if durable:
            warn_once(self._root)
        return Writer(
            self._root,
            durable=durable,
            max_pending=max_pending,
            on_error=on_error,
            flush_method=self._flush_method,
        )

    def scan(
        self,
        columns: Iterable[str] | None = None,
        *,
        where: Iterable[Condition] | None = None,
        on_error: OnBadFile = "raise",
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> Scan:
        """Ask for all results below the directory as one table, a row for each; see `Scan`.

        Columns are named by their dotted path (`energy_breakdown.adjusted_j`) and have the types of the
        schema:

        - Lists of numbers and of strings are list columns; `process_results` is a column of JSON strings,
          and `process_results.gpu_id` a column of lists with an item for each process.
        - A time, `start_time`, is what the clock said, without a zone; the instant is in `start_time.utc`,
          which is null where the record does not tell the zone.
        - Non-finite floats are floats. An integer of the schema that 64 bits do not hold makes its file a
          bad one.
        - Fields that are absent have their defaults, as in a result that is loaded. `timeseries` is the
          name of the sidecar that is there, also where the record has none.
        - `path` is the directory, relative to the store; `saved_at` when the record was written, by the
          file system's clock; `has_timeseries` whether a sidecar lies beside it.

        `effective_config.KEY` has the type of the values that occur. Integers are of 64 bits, unsigned
        where they must be; integers and floats are floats; a value that is not finite, which JSON has as a
        string, is a float among numbers. JSON strings are what is left: values that differ in kind, larger
        integers, integers among floats that no float is equal to, lists of anything but numbers alone or
        strings alone. The keys of a nested object are columns of their own, and a key that has a dot itself
        is quoted. Where all of `effective_config` is read, or any key of it, the first look at the schema
        reads the whole tree, and the columns stay what they were found to be then.

        Args:
            columns: The names of the columns, in the order in which they are wanted; an object's name stands
                for all that is in it. Only what is named is taken out of the files. None is everything.
            where: Conditions that all hold of the wanted rows, each a column, one of `==`, `!=`, `<`, `<=`,
                `>`, `>=`, `in` and `not in`, and a value. Null is neither equal nor unequal to a value;
                compare with None to ask for it.
            on_error: At a file that is no result `"raise"` its error, `"skip"` it and warn once with the
                count, or `"collect"` it in `Scan.errors`.
            batch_size: Rows of a batch, at most.
            progress: Called with the number of results that were read, and None.

        Raises:
            ValueError: There is no such column, or a condition does not fit its column.
            TypeError: As `ValueError`, of what is of the wrong type.
        """
        return scan_results(
            self._root,
            columns,
            where=where,
            on_error=on_error,
            batch_size=batch_size,
            progress=progress,
            limit=self._max_record_bytes,
        )

    def scan_timeseries(
        self,
        columns: Iterable[str] | None = None,
        *,
        where: Iterable[Condition] | None = None,
        on_error: OnBadFile = "raise",
        progress: Progress | None = None,
    ) -> Scan:
        """Ask for the power traces of all results below the directory as one table; see `Scan`.

        Each row of each sidecar is a row, with the `path` of its result, relative to the store, and the
        result's `experiment_id`. The other columns are those of `results.timeseries`; one that a trace lacks
        is null, and `gpu_index` 0. A column of another name can be asked for; then every footer is read
        first, to find its type. Of each file, only the columns that are wanted are read.

        Args:
            columns: The names of the columns, in the order in which they are wanted; None is `path`,
                `experiment_id` and the usual ones.
            where: As for `scan`; a condition on a column of the traces (`("gpu_index", "==", 0)`) holds of
                rows, one on a column of the records (`("backend", "==", "vllm")`) of results.
            on_error: At a file that is no result, or no trace, as for `scan`.
            progress: Called with the number of results that were looked at, and None.

        Raises:
            ValueError: A condition does not fit its column. Asked for its rows: no trace has a column of that
                name, or its types cannot be one.
            TypeError: As `ValueError`, of what is of the wrong type.
            ResultError: Asked for its rows: a trace of more than 2^25 rows, or of 2 GiB, is refused.
        """
        return scan_traces(
            self._root,
            columns,
            where=where,
            on_error=on_error,
            progress=progress,
            limit=self._max_record_bytes,
        )

    def __iter__(self) -> Iterator[StoredResult]:
        """Go over the results below the directory, in the order of their paths."""
        for batch in self.scan(["path"]):
            for path in batch.to_pydict()["path"]:
                directory = os.path.join(self._root, path)  # noqa: PTH118
                yield StoredResult(directory, max_record_bytes=self._max_record_bytes)

    def __getitem__(self, path: str | os.PathLike[str]) -> StoredResult:
        """Return one result by its directory, relative to the store, or its `result.json`; not read yet."""
        path = os.path.join(self._root, os.fsdecode(path))  # noqa: PTH118
        directory = path.removesuffix(f"/{_store.RECORD}")
        return StoredResult(directory, max_record_bytes=self._max_record_bytes)

    def load(
        self, path: str | os.PathLike[str], *, missing_sidecar: MissingSidecar = "warn"
    ) -> ExperimentResult:
        """Load one result and check it against the schema.

        A record that names no sidecar, beside a `timeseries.parquet`, is loaded with that name filled in.

        Args:
            path: A `result.json` or its directory; relative to the store's root, or absolute.
            missing_sidecar: What to do when the record names a sidecar that is not beside it: `"warn"`,
                `"ignore"` or `"error"`. The name is kept.

        Raises:
            PersistenceError: The file cannot be read, or has more than `max_record_bytes`; it is a
                `FileNotFoundError` where there is none.
            ResultCorruptError: The file is empty, truncated, NUL-filled, not UTF-8 or not JSON.
            SchemaVersionError: The file is of another schema line.
            ResultError: The file is JSON, but no object; or its sidecar is missing and that is an error.
            pydantic.ValidationError: A field is wrong; its title names the file.

        Warns:
            UserWarning: The sidecar is missing.
        """
        path = os.path.join(self._root, os.fsdecode(path))  # noqa: PTH118
        return load_record(path, missing_sidecar, self._max_record_bytes)

    def iter_results(
        self, *, on_error: OnUnreadable = "raise", missing_sidecar: MissingSidecar = "warn"
    ) -> Iterator[ExperimentResult]:
        """Load all results below the directory, one after the other, in the order of their paths.

        Each is checked against the schema as `load` does, while the next are read.

        Args:
            on_error: At a file that is no result `"raise"` its error, or `"skip"` it and warn at the end,
                once.
            missing_sidecar: As for `load`; `"warn"` warns at the end, once.

        Raises:
            PersistenceError: The directory, or a file in it, cannot be read, or is too large: see `load`.
            ResultError: A file is no result: see `load`.
            pydantic.ValidationError: A field is wrong; its title names the file.
        """
        return load_tree(
            self._root,
            on_error=on_error,
            missing_sidecar=missing_sidecar,
            limit=self._max_record_bytes,
        )

    def load_all(
        self, *, on_error: OnUnreadable = "raise", missing_sidecar: MissingSidecar = "warn"
    ) -> list[ExperimentResult]:
        """Load all results below the directory; see `iter_results`.

        Python's garbage collector pauses meanwhile.
        """
        with no_garbage_collection():
            return list(self.iter_results(on_error=on_error, missing_sidecar=missing_sidecar))

    def verify(self, *, deep: bool = False, progress: Progress | None = None) -> Verification:
        """Look over everything below the directory, and tell what is not as it should be.

        Each directory is one of: complete, with a whole `result.json`; incomplete, left by a save that was
        cut short, or held by one that is under way; damaged, with a record that is empty, truncated,
        NUL-filled, not JSON, of another schema line or no regular file; foreign, with other things in it and
        no result at any depth. Directories that hold results are none of these. Nothing is changed.

        Args:
            deep: Validate each record against the schema, too, and read each sidecar to its last page: pages
                that are compressed with other than zstd or snappy, those of nested columns, and those of
                strings whose lengths are delta-encoded, are looked over and not unpacked.
            progress: Called with the number of results that were looked at, and None.

        Returns:
            The counts, and each directory with what is wrong; `ok` where every result is whole and has its
            sidecar.

        Raises:
            PersistenceError: The directory itself cannot be read.
        """
        return verify_tree(self._root, deep=deep, progress=progress, limit=self._max_record_bytes)

    def clean(self, *, older_than: timedelta | str = DAY, dry_run: bool = True) -> Cleaning:
        """Remove what saves that were cut short have left below the directory; dry unless told otherwise.

        That is what `verify` calls incomplete, when nothing in it was written to for `older_than` by the file
        system's own clock. A directory with a `result.json` is never removed, nor one with anything that no
        save makes. It is safe beside savers and other cleaners, on this host and others: a save whose
        directory is taken fails as a save does, with nothing committed, or its result stays.

        Limits: a save that is at work for longer than `older_than` without writing loses its directory, and
        fails. For the moment between two renames, a result that is committed at that very time is in
        `.trash-*`; a cleaner that is killed in that moment leaves it there, `verify` tells, and the next
        `clean` puts it back. That is why the default is a day.

        Args:
            older_than: An age: a timedelta, or `"90s"`, `"30m"`, `"12h"`, `"1d"`, `"2w"`.
            dry_run: Only tell what would be removed. It makes and removes an empty directory, to read the
                clock.

        Raises:
            PersistenceError: The directory itself cannot be read.
            ValueError: `older_than` is no age.
        """
        return clean_tree(self._root, older_than=older_than, dry_run=dry_run)

    def completed(self) -> set[str]:
        """Return the `measurement_config_hash` of every result below the directory, which need not exist yet.

        A sweep resumes by leaving out what is there: see `missing`. Each record is looked at no longer than
        it takes to see that it is whole; `verify` looks closer.

        Warns:
            UserWarning: Some files are no results; what they were to hold counts as not there.
        """
        if not os.path.lexists(self._root):
            return set()
        return completed(self._root, limit=self._max_record_bytes)

    def missing(self, configs: Iterable[Config]) -> list[Config]:
        """Return those configurations of which no result is below the directory, in their order.

        Args:
            configs: pydantic models or mappings, as `compute_measurement_config_hash` takes them; results are
                found by that hash.
        """
        done = self.completed()
        return [config for config in configs if compute_measurement_config_hash(config) not in done]
