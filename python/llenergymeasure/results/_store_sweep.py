"""The verbs of `ResultStore` for a sweep: which runs are done, which are missing, and which have failed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar, cast

from llenergymeasure.results._measuring import Measuring
from llenergymeasure.results._missing import missing_runs
from llenergymeasure.results._plan import count_hashes
from llenergymeasure.results._store_reader import StoreReader
from llenergymeasure.results.failures import StoredFailure, read_failures, save_failure
from llenergymeasure.results.types import Condition, OnUnreadable

if TYPE_CHECKING:
    from llenergymeasure.results.store import ResultStore
    from llenergymeasure.types import ResultPath

Config = TypeVar("Config")


class StoreSweep(StoreReader):
    """The verbs of a sweep, for `ResultStore`."""

    def completed(self) -> set[str]:
        """Return the `measurement_config_hash` of every result below the directory, which need not exist.

        Failures do not count. Each record is checked to be complete; `verify` checks more.

        Warns:
            UserWarning: Some files are invalid, or some symlinks to directories were not followed; their
                configurations count as missing.
        """
        root = self._root
        if isinstance(root, str) and not os.path.lexists(root):
            return set()
        return {*count_hashes(root, limit=self._max_record_bytes, follow_links=self._follow_links)[0]}

    def missing(
        self,
        configs: Iterable[Config],
        repeats: int = 1,
        shard: tuple[int, int] | None = None,
        *,
        retry_failed: bool = False,
    ) -> list[Config]:
        """Return the configurations to run, each as often as it lacks runs below the directory.

        A result or failure is a run of a configuration if its `measurement_config_hash` is that of the
        configuration, or if its `effective_config` equals it, where 1 and 1.0 are one value. Equal
        configurations are one. A configuration that lacks several runs is in the list several times: all
        configurations come in their order, and then those again that lack more.

        Args:
            configs: Mappings, dataclasses, namespaces or pydantic models, as for
                `compute_measurement_config_hash`.
            repeats: The number of runs that each configuration should have.
            shard: The number of a part of the sweep, from 0, and the number of parts. The parts of one sweep
                are disjoint, cover it, and their numbers of runs, done or not, differ by one at most. They
                depend on the hashes of the configurations, and not on their order. Each part must be given
                the same configurations and repeats.
            retry_failed: Count results only, so that a run that failed is missing.

        Limits: records do not state a part. If the repeats of one configuration are in several parts, and one
        of these parts is started again while another one runs, the configuration may get a run too many.

        Raises:
            TypeError: A configuration or an argument is of another type.
            ValueError: JSON cannot represent something in a configuration; or `repeats` or `shard` is out of
                range.

        Warns:
            UserWarning: As `completed`.
        """
        return missing_runs(
            self._root,
            configs,
            repeats,
            shard,
            retry_failed=retry_failed,
            limit=self._max_record_bytes,
            follow_links=self._follow_links,
        )

    def measuring(self, config: object, *, durable: bool = True, redact: bool = False) -> Measuring:
        """Return a context manager of one run, which saves its result or its failure.

        The block sets `run.result`, and `run.timeseries_source` where there is a power trace; the end of the
        block saves them as `save` does. If the block raises an exception, it is saved as a failure (see
        `save_failure`) and raised again; `run.output` is then the output of the run. Ctrl-C, `SystemExit` and
        the cancellation of a task are not failures: nothing is saved.

        Args:
            config: The configuration of the run, as for `missing`.
            durable: As for `save`.
            redact: As for `save` and `save_failure`.

        Raises:
            TypeError: `config` is not a configuration.
            ValueError: JSON cannot represent something in `config`; or the block ends without a result.

        Warns:
            UserWarning: As `save`; or the result has another configuration, so that the run counts as
                missing; or the failure was not saved.
        """
        return Measuring(cast("ResultStore", self), config, durable=durable, redact=redact)

    def save_failure(  # noqa: PLR0913 - a parameter for each choice
        self,
        config: object,
        error: BaseException,
        *,
        started: datetime | None = None,
        output: str | bytes | None = None,
        durable: bool = True,
        redact: bool = False,
    ) -> ResultPath:
        """Save a run that failed to a new directory, and return the path of its `failure.json`.

        The directory is `{model_slug}_{backend}_{timestamp}_failed`, with `_1`, `_2`, ... if the name is
        taken. The file is atomic and durable as a record is, and no reader takes it for a result.

        Args:
            config: The configuration of the run, as for `missing`.
            error: The exception that ended the run: its class, text and traceback are stored.
            started: The start of the run.
            output: The output of the run, whose last 65,536 characters are kept. None is that of a
                `subprocess.CalledProcessError` or `TimeoutExpired`.
            durable: As for `save`.
            redact: As for `save`. Credentials of 8 characters and more are also removed from the message, the
                traceback and the output.

        Raises:
            PersistenceError: The failure was not saved, or is not known to be, as for `save`.
            TypeError: An argument is of a wrong type.
            ValueError: JSON cannot represent something in `config`.
        """
        return save_failure(
            self._path, config, error, started=started, output=output, durable=durable, redact=redact
        )

    def failures(
        self,
        *,
        where: Iterable[Condition] | None = None,
        newest: int | None = None,
        on_error: OnUnreadable = "raise",
    ) -> Iterator[StoredFailure]:
        """Read the runs that failed below the directory, which need not exist.

        Args:
            where: Conditions as for `scan`, on the fields of a `FailedRun` (`error_type`, `message`, `host`,
                `start_time`, `end_time`, ...) or on `config.KEY`; `error` and `when` are short names of
                `error_type` and `end_time`.
            newest: Read only so many: those that were saved last, the newest first. Conditions select among
                these.
            on_error: The policy for an invalid `failure.json`: `"raise"` its error, or `"skip"` it and warn
                once at the end.

        Returns:
            Named tuples of `path` and `run`, in the order of the paths.

        Raises:
            PersistenceError: The directory or a file cannot be read.
            ResultError: A file is not a failure.
            pydantic.ValidationError: A field is invalid.
            ValueError: A condition does not fit its column.
        """
        return read_failures(
            self._root,
            where=where,
            newest=newest,
            on_error=on_error,
            limit=self._max_record_bytes,
            follow_links=self._follow_links,
        )
