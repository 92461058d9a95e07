"""`ResultStore`: a directory of results, or a prefix of a bucket, and its verbs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results._durability import warn_once
from llenergymeasure.results._limit import check_limit, max_bytes
from llenergymeasure.results._overview import Overview
from llenergymeasure.results._paths import absolute, file_system_path, with_access
from llenergymeasure.results._save import resolved, save_record
from llenergymeasure.results._store_sweep import StoreSweep
from llenergymeasure.results.clean import Cleaning, clean_tree
from llenergymeasure.results.copying import Copying, copy_results
from llenergymeasure.results.save_many import MAX_PENDING, save_many
from llenergymeasure.results.stored import StoredResult
from llenergymeasure.results.types import (
    ArrowStream,
    Condition,
    MissingSidecar,
    OnError,
    Progress,
    TimeseriesSource,
)

if TYPE_CHECKING:
    from llenergymeasure.errors import PersistenceError
    from llenergymeasure.results.writer import Writer
    from llenergymeasure.types import CredentialProvider, Options, ResultPath, RootArgument

__all__ = ["ArrowStream", "MissingSidecar", "ResultStore", "StoredResult", "TimeseriesSource"]


class ResultStore(StoreSweep):
    """A directory of results, or a prefix of a bucket in an object store.

    A store holds no open file and no lock: any number of stores, threads, processes and hosts may use one
    directory at the same time. It can be pickled; the pickle has the options and the credential provider that
    the user passed, and nothing of the environment.

    Args:
        root: The directory. The first save creates it and its ancestors. A relative path is resolved here,
            so a later `os.chdir` has no effect. As in every path of this package, a leading `~` is expanded.
            An object store is a URL (`s3://bucket/prefix`, `gs://...`, `az://...`), a `StorePath`, or a store
            of the package obstore. A `file://` URL is a directory.
        options: Settings of an object store, as `{"endpoint": "http://127.0.0.1:9000"}`. They take
            precedence over the variables of the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
        credential_provider: A function without arguments that returns the credentials of an object store, as
            a mapping with `expires_at`; it is called again before they expire.
        cache: Keep the records that are read of an object store in a cache of the user, so that a later
            reading fetches only new ones: `scan`, `completed`, `load_all`, `verify` and `llem`. A record
            comes from the cache only while the listing shows its size and etag. `llem cache` shows its size.
        cache_dir: The directory of the cache. None is the value of the environment variable `LLEM_CACHE_DIR`,
            or else that of the system for caches. `LLEM_MAX_CACHE_BYTES` bounds each bucket (1 GiB).
        max_record_bytes: The largest `result.json` that any verb reads, in bytes; a larger one is an error.
            None is the value of the environment variable `LLEM_MAX_RECORD_BYTES`, or else 256 MiB.
        max_trace_bytes: The memory of all power traces that a scan or a check reads at once, in bytes; one
            trace may have half of it, and a larger one is an error. None is the value of the environment
            variable `LLEM_MAX_TRACE_BYTES`, or else 1 GiB.
        follow_links: Let the readers of the tree (`scan`, `load_all`, `completed`, `verify`, ...) follow
            symlinks to directories, and enter each directory once. Otherwise they skip those links, and
            warn once with their number. They follow a symlink to a `result.json` or a `timeseries.parquet`
            in any case, `clean` follows none, and a root that is a symlink is followed.

    Raises:
        TypeError: An argument is of a wrong type.
        ValueError: `max_record_bytes` or `max_trace_bytes` is less than 1; `root` is another URL, or in an
            unknown home directory; an option is unknown, or given for a directory; or `root` is in an object
            store, and this build of the package has none.
    """

    _flush_method: str | None = None
    """`"fsync"` or `"syncfs"`: the flush method of bulk saves in tests and benches."""

    def __init__(  # noqa: PLR0913 - a parameter for each choice
        self,
        root: RootArgument,
        *,
        options: Options | None = None,
        credential_provider: CredentialProvider | None = None,
        cache: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        max_record_bytes: int | None = None,
        max_trace_bytes: int | None = None,
        follow_links: bool = False,
    ) -> None:
        """Create a store of a directory, which need not exist, or of a prefix; no request is made."""
        path = absolute(root, "root")
        if options is not None or credential_provider is not None or not isinstance(path, Path):
            kept = cache and cache_dir is not None and str(absolute(cache_dir, "cache_dir"))
            path = with_access(path, options, credential_provider, kept or (None if cache else False))
        self._path = path
        self._max_record_bytes = check_limit(max_record_bytes)
        self._max_trace_bytes = check_limit(max_trace_bytes, "max_trace_bytes")
        self._follow_links = follow_links

    @property
    def root(self) -> ResultPath:
        """The absolute path of the directory, or the `StorePath` of the prefix."""
        return self._path

    def __fspath__(self) -> str:
        """Return the absolute path of the directory, so that `os.listdir(store)` and `Path(store)` work.

        Raises:
            TypeError: The store is in an object store.
        """
        return file_system_path(self._root, "a store")

    @property
    def max_record_bytes(self) -> int:
        """The largest `result.json` that is read, in bytes.

        Raises:
            LLEMError: The limit is that of `LLEM_MAX_RECORD_BYTES`, which is not a number of bytes.
        """
        return max_bytes(self._max_record_bytes)

    @property
    def follow_links(self) -> bool:
        """True if the readers follow symlinks to directories."""
        return self._follow_links

    def __repr__(self) -> str:
        """Return the directory and an overview of its results."""
        return f"<ResultStore {str(self._root)!r}: {self._overview()}>"

    def _repr_html_(self) -> str:
        """Return an overview of the results as HTML, for a notebook."""
        return self._overview().as_html(self._root)

    def _overview(self) -> Overview:
        return Overview.of(self._root, self._max_record_bytes, follow_links=self._follow_links)

    def __eq__(self, other: object) -> bool:
        """Compare the paths or URLs; limits, options and credentials do not count."""
        return isinstance(other, ResultStore) and self._root == other._root

    def __hash__(self) -> int:
        """Return the hash of the path or URL."""
        return hash(self._root)

    def save(
        self,
        result: ExperimentResult,
        timeseries_source: TimeseriesSource | None = None,
        *,
        durable: bool = True,
        redact: bool = False,
    ) -> ResultPath:
        """Save one result to a new directory, and return the path of its `result.json`.

        The directory is `{model_slug}_{backend}_{timestamp}`, with `_1`, `_2`, ... if the name is taken. A
        save never overwrites a result, even if others save at the same time. Readers see the complete record
        or none.

        Args:
            result: The result. If a sidecar is stored, the record's `timeseries` has its name.
            timeseries_source: The power trace: the path of a Parquet file, which is copied, or an object with
                `__arrow_c_stream__`, which is written as Parquet. The result is saved even if the sidecar
                fails.
            durable: Wait until the result would survive a power cut. Otherwise the save is still atomic, but
                a power cut may lose the results of the last seconds.
            redact: Write `"***"` for the value of each credential in a configuration; see `domain.secrets`.
                The hash is that of the configuration before, and the object in memory is unchanged.

        Returns:
            The absolute path of `result.json`: a `Path`, or a `StorePath` in an object store.

        Raises:
            PersistenceError: The result was not saved (`committed` is false), or was saved, but its flush
                failed (`committed` is true), or no answer came from an object store (`committed` is None; see
                `resolve`).
            SidecarError: The result is safe at `result_path`; its sidecar was not stored.
            TypeError: `result` is not an `ExperimentResult`, or has fields that the schema does not have.
            ValueError: A field was set, without validation, to a value that the schema does not allow.
            KeyboardInterrupt: An interrupt before the commit leaves nothing; one after it leaves a complete
                result.

        Warns:
            UserWarning: `timeseries_source` does not exist; or it has no column `timestamp_s`, so that it is
                not a power trace; or a column of its table was left out or stored as another type, because
                Parquet has no place for its type; or the result was loaded from disk with a power trace, and
                is saved without one (see `copy_from`); or this is the first durable save of this process on a
                file system where a power cut loses it, or in an object store that may not keep the promises
                (see `durability`). The result was saved before the warning.
        """
        return save_record(self._path, result, timeseries_source, durable=durable, redact=redact)

    def resolve(self, error: PersistenceError) -> ResultPath | None:
        """Return the path of the result of a save that failed, or None if it was not saved.

        Where `committed` of the error is None, the object store is asked, by the random id of that save.

        Limits: None is the answer of this moment. A request that was lost may arrive minutes later, so save
        again only if a second copy does no harm, and ask again before.

        Raises:
            PersistenceError: The object store cannot be asked.
            TypeError: `error` is not a `PersistenceError`.
            ValueError: The save was to another store.
        """
        return resolved(self._root, error)

    def save_many(
        self,
        results: Iterable[ExperimentResult],
        *,
        timeseries_sources: Iterable[TimeseriesSource | None] | None = None,
        durable: bool = True,
        redact: bool = False,
        progress: Progress | None = None,
    ) -> Sequence[ResultPath]:
        """Save many results as `save` does, with shared flushes (group commit).

        Each result is atomic, but the results together are not a transaction: a failed result does not stop
        the others. Memory holds only the results in flight, and about 70 bytes for each path.

        Args:
            results: Any iterable; a generator may exceed memory.
            timeseries_sources: A power trace or None per result. Do not change the files until `save_many`
                returns.
            durable: Wait until all results would survive a power cut.
            redact: As for `save`.
            progress: A function that takes the number of finished results and their total, or None if
                `results` has no length. An exception of `progress` or of `results` stops the submission, and
                is raised after the submitted results are saved.

        Returns:
            The absolute paths of the `result.json` files, in the order of `results`; `list(paths)` makes a
            list of them.

        Raises:
            BulkSaveError: Some results failed; the others are saved.
            SaveInterrupted: Ctrl-C, a `KeyboardInterrupt` with the state of each result.
            ValueError: `timeseries_sources` and `results` differ in length. If one of them has no length, the
                results before its end are saved.

        Warns:
            UserWarning: Some sources do not exist, and their results were saved without a sidecar; or some
                results were loaded from disk with a power trace, and are saved without one; or as `save`.
        """
        paths = save_many(
            self._root,
            results,
            timeseries_sources,
            durable=durable,
            redact=redact,
            progress=progress,
            flush_method=self._flush_method,
        )
        if durable:
            warn_once(self._root)
        return paths

    def copy_from(  # noqa: PLR0913 - a parameter for each choice
        self,
        other: ResultStore | RootArgument,
        *,
        where: Iterable[Condition] | None = None,
        durable: bool = True,
        redact: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Copying:
        """Copy whole results, records and power traces, from another store; either may be in an object store.

        A record keeps its values; one that a save wrote keeps its bytes. A sidecar is copied as by `save`,
        and is called `timeseries.parquet`. A directory whose name a save gave keeps that name, with `_1`,
        `_2`, ... if it is taken; from or to an object store, it keeps its own suffix where it can: there,
        suffixes are odd for results with a power trace, and even for the others. Each copy is atomic, and
        copies share their flushes as in `save_many`. From or to an object store, each copied sidecar is
        compared with its source: its length, and its MD5 where a service reports that.

        Failures are copied in the same way (see `save_failure`). A condition on a field that a failure does
        not have selects none of them.

        A result is skipped if it is in this store's own tree, or if this store has the same record. So a copy
        can be repeated, and finishes what an interrupted one left.

        Args:
            other: The other store, or its root.
            where: Conditions on the results to copy, as for `scan`.
            durable: Wait until all copies would survive a power cut.
            redact: As for `save`; a record without credentials keeps its bytes.
            dry_run: Copy nothing; return the results that would be copied.
            progress: A function that takes the number of copied results, and None.

        Returns:
            The results that were copied, renamed, skipped, and failed. A file that is not a valid result, or
            a result that was not saved, does not stop the others.

        Raises:
            PersistenceError: The root of the other store cannot be read.
            CopyInterrupted: Ctrl-C, a `SaveInterrupted` with the state of each result, by the path of its
                source, and `copying`: what was copied, renamed, skipped and failed until then.
            ValueError: A condition does not fit its column.

        Warns:
            UserWarning: Some results failed; some records name a sidecar that does not exist, and were copied
                without one; some symlinks to directories were not followed; the credentials do not allow the
                comparison of the sidecars; or as `save`.
        """
        source = other if isinstance(other, ResultStore) else ResultStore(absolute(other, "other"))
        copying = copy_results(
            self,
            source,
            where,
            durable=durable,
            redact=redact,
            dry_run=dry_run,
            progress=progress,
            flush_method=self._flush_method,
        )
        if durable and copying.copied and not dry_run:
            warn_once(self._root)
        return copying

    def writer(
        self,
        *,
        durable: bool = True,
        redact: bool = False,
        max_pending: int = MAX_PENDING,
        on_error: OnError = "raise",
    ) -> Writer:
        """Open a writer that saves results in the background; see `Writer`.

        Args:
            durable: Resolve each future only when its result would survive a power cut.
            redact: As for `save`.
            max_pending: The most results in flight. Backpressure: `submit` waits if there are more, or if
                their records exceed 64 MiB.
            on_error: The policy for a result that is not saved. Its future has the error in any case.
                `"raise"` raises it in `flush` and at the end of the `with` block, `"ignore"` does not, and a
                function is called with the result and the error, in the writer's thread.

        Raises:
            PersistenceError: No thread could be started.
            ValueError: `max_pending` is less than 1, or `on_error` is not a valid policy.
            RuntimeError: gevent or eventlet has replaced the threads of Python; `save_many` needs none.

        Warns:
            UserWarning: As `save` for the file system, but before the first save.
        """
        if durable and isinstance(self._root, str):  # an object store shows it in the first save
            warn_once(self._root)
        from llenergymeasure.results.writer import Writer  # noqa: PLC0415 - loads logging, which is slow

        return Writer(
            self._root,
            durable=durable,
            redact=redact,
            max_pending=max_pending,
            on_error=on_error,
            flush_method=self._flush_method,
        )

    def clean(self, *, older_than: timedelta | str | None = None, dry_run: bool = True) -> Cleaning:
        """Remove the leftovers of interrupted saves below the directory; by default, only list them.

        A leftover is a directory that `verify` calls incomplete, with no write for `older_than` by the clock
        of the file system or the object store. A directory with a `result.json`, or with a file that no save
        creates, is never removed. Savers and other cleaners may run at the same time, on any host: a save
        that loses its directory fails with nothing committed.

        Limits: a save that writes nothing for longer than `older_than` loses its directory and fails. A
        result that is committed between two renames of a cleaner is in `.trash-*` for a moment. If the
        cleaner is killed in that moment, `verify` reports the result, and the next `clean` puts it back.
        The default age of a day makes both unlikely. In an object store, a PUT that seemed lost may arrive
        late, and a power trace waits for its record until then: the default there is 7 days.

        Args:
            older_than: An age: a timedelta, or `"90s"`, `"30m"`, `"12h"`, `"1d"`, `"2w"`. None is a day on a
                file system, and 7 days in an object store.
            dry_run: Only list the leftovers. It creates and removes an empty directory to read the clock.

        Raises:
            PersistenceError: The directory itself cannot be read.
            ValueError: `older_than` is not an age.
        """
        return clean_tree(self._root, older_than=older_than, dry_run=dry_run)
