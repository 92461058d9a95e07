"""One run of a sweep whose outcome is saved in any case: `ResultStore.measuring`."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from llenergymeasure._warnings import warn
from llenergymeasure.domain._comparable import comparable
from llenergymeasure.domain._json import to_json_object
from llenergymeasure.domain.experiment import compute_measurement_config_hash

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.store import ResultStore
    from llenergymeasure.types import ResultPath, TimeseriesSource

__all__ = ["Measuring"]

_ENDS: Final = (
    ("asyncio", "CancelledError"),
    ("trio", "Cancelled"),
    ("greenlet", "GreenletExit"),
    ("_pytest.outcomes", "Skipped"),
    ("_pytest.outcomes", "Exit"),
)
"""Exceptions of libraries, by which they end a block that did not fail."""


class Measuring:
    """A run of a sweep: its block sets `result`, and the end of the block saves that or the failure.

    Attributes:
        config: The configuration of the run.
        started: The start of the block, in UTC.
        result: The result, which the block sets.
        timeseries_source: The power trace of the result, or None, as for `ResultStore.save`.
        output: The output of the run, which a failure keeps the end of, or None.
        path: The path of the record that was saved; None before the end of the block.
    """

    def __init__(self, store: ResultStore, config: object, *, durable: bool, redact: bool) -> None:
        """Check the configuration before anything is measured.

        Raises:
            TypeError: `config` is not a configuration.
            ValueError: JSON cannot represent something in it.
        """
        self.config = config
        self.started = datetime.now(timezone.utc)
        self.result: ExperimentResult | None = None
        self.timeseries_source: TimeseriesSource | None = None
        self.output: str | bytes | None = None
        self.path: ResultPath | None = None
        self._store, self._durable, self._redact = store, durable, redact
        self._hash = compute_measurement_config_hash(config)

    def __enter__(self) -> Self:
        """Note the start."""
        self.started = datetime.now(timezone.utc)
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Save the result, or the failure; an exception of the block goes on."""
        if error is None:
            self._save_result()
        elif not _is_of_user(error):
            self._save_failure(error)

    def _save_result(self) -> None:
        result = self.result
        if result is None:
            raise ValueError(
                "expected a result at the end of the block, got none; set run.result to the ExperimentResult "
                "of the run"
            )
        self.path = self._store.save(
            result, self.timeseries_source, durable=self._durable, redact=self._redact
        )
        if result.measurement_config_hash != self._hash and comparable(result.effective_config) != comparable(
            to_json_object(self.config)
        ):
            warn(
                f"expected a result of the configuration {self._hash}, got one of "
                f"{result.measurement_config_hash}, saved at {self.path}; pass the configuration as "
                "effective_config, or its hash as measurement_config_hash, or the run counts as missing"
            )

    def _save_failure(self, error: BaseException) -> None:
        try:
            self.path = self._store.save_failure(
                self.config,
                error,
                started=self.started,
                output=self.output,
                durable=self._durable,
                redact=self._redact,
            )
        except Exception as unsaved:  # noqa: BLE001 - the failure of the run is the one to raise
            warn(f"the failure of the configuration {self._hash} was not saved: {unsaved}")


def _is_of_user(error: BaseException) -> bool:
    """Return True for an end that a user wanted: Ctrl-C, an exit, a cancelled task, a skipped test.

    Any other exception is a failure, also one that is no `Exception`, such as a panic of a Rust extension.
    """
    known = (getattr(sys.modules.get(module), name, None) for module, name in _ENDS)
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, *filter(None, known)))
