"""Conversion of a result to the name of its directory and the bytes of its record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from llenergymeasure import _store
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.results._memory import as_memory_error

if TYPE_CHECKING:
    from llenergymeasure.domain.failure import FailedRun


class Encoded(NamedTuple):
    """A result to save.

    Attributes:
        name: The directory's name.
        record: The record.
        with_sidecar: The record that names a sidecar, or None.
        suffix: The suffix of the name to try first in an object store, or None.
    """

    name: str
    record: bytes
    with_sidecar: bytes | None
    suffix: int | None = None


def encode(result: ExperimentResult | Encoded, *, sidecar: bool, redact: bool) -> Encoded:
    """Encode a result, without its credentials if they are redacted, unless it is encoded already.

    Raises:
        TypeError: `result` is not an `ExperimentResult`, or has fields that the schema does not have.
        ValueError: A field was set, without validation, to a value that the schema does not allow.
    """
    if isinstance(result, Encoded):
        return result
    if type(result) is not ExperimentResult:
        _check_kind(result)
    record = to_record(result)  # also checks the types of all fields
    if redact:
        from llenergymeasure.domain.secrets import redacted  # noqa: PLC0415 - rarely needed

        given, result = result, redacted(result)
        record = record if result is given else to_record(result)
    return Encoded(directory_name(result), record, naming_sidecar(result) if sidecar else None)


def naming_sidecar(result: ExperimentResult) -> bytes:
    """Return the record of a result that names its sidecar as every save does."""
    return to_record(result.model_copy(update={"timeseries": _store.SIDECAR}))


def directory_name(result: ExperimentResult | FailedRun) -> str:
    """Return the name of a directory: `{model_slug}_{backend}_{timestamp}`, now, in local time."""
    model = result.effective_config.get("model")
    model = "" if model is None else str(model)
    return _store.directory_name(model, result.backend, time.strftime("%Y-%m-%dT%H-%M"))


def to_record(result: ExperimentResult) -> bytes:
    """Return the compact JSON of a result.

    Raises:
        ValueError: As `encode`.
    """
    # Without this, a field of a wrong type is written and cannot be read back.
    try:
        return ExperimentResult.__pydantic_serializer__.to_json(result, warnings="error")
    except Exception:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        raise as_memory_error(error, "serialise the result") from None


def _check_kind(result: object) -> None:
    """Reject a value that a load would not return unchanged."""
    if not isinstance(result, ExperimentResult):
        raise TypeError(f"expected an ExperimentResult, got {type(result).__name__}")
    extra = type(result).model_fields.keys() - ExperimentResult.model_fields.keys()
    if extra:
        names = ", ".join(sorted(extra))
        raise TypeError(
            f"{type(result).__name__} has fields that schema line {SCHEMA_VERSION} does not have: {names}; "
            "store them in effective_config"
        )
