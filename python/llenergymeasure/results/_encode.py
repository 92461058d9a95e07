"""A result becomes the name of its directory and the bytes of its record."""

from __future__ import annotations

import time

from llenergymeasure import _store
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult

__all__ = ["directory_name", "encode"]


def encode(result: ExperimentResult, *, sidecar: bool) -> tuple[str, bytes, bytes | None]:
    """Return the directory's name, the record, and the record as it reads beside a sidecar, if there is one.

    Raises:
        TypeError: It is no `ExperimentResult`, or one with fields that the schema does not have.
        ValueError: A field was changed, past validation, to what the schema does not admit.
    """
    if type(result) is not ExperimentResult:
        _check_kind(result)
    record = _to_json(result)
    beside = _to_json(result.model_copy(update={"timeseries": _store.SIDECAR})) if sidecar else None
    return directory_name(result), record, beside


def directory_name(result: ExperimentResult) -> str:
    """Name the directory of a result saved now: `{model_slug}_{backend}_{timestamp}`, in local time."""
    model = result.effective_config.get("model")
    model = "" if model is None else str(model)
    return _store.directory_name(model, result.backend, time.strftime("%Y-%m-%dT%H-%M"))


def _to_json(result: ExperimentResult) -> bytes:
    # A field that is not of its type would be written, and could not be read back.
    return ExperimentResult.__pydantic_serializer__.to_json(result, warnings="error")


def _check_kind(result: object) -> None:
    """Refuse what would not come back as it was."""
    if not isinstance(result, ExperimentResult):
        raise TypeError(f"what is saved is an ExperimentResult, not {type(result).__name__}")
    extra = type(result).model_fields.keys() - ExperimentResult.model_fields.keys()
    if extra:
        names = ", ".join(sorted(extra))
        raise TypeError(
            f"{type(result).__name__} has fields that schema line {SCHEMA_VERSION} does not have: {names}; "
            "keep them in effective_config"
        )
