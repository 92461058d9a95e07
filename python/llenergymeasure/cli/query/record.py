"""One result, loaded for a command."""

from __future__ import annotations

from pydantic import ValidationError

from llenergymeasure.cli.errors import CommandError
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results._field_errors import first_of
from llenergymeasure.results.store import ResultStore
from llenergymeasure.types import MissingSidecar


def load_record(path: str, missing_sidecar: MissingSidecar = "ignore") -> ExperimentResult:
    """Load a result by its directory or its `result.json`.

    Raises:
        CommandError: The record does not fit the schema.
        LLEMError: The record cannot be read.
    """
    try:
        return ResultStore(".").load(path, missing_sidecar=missing_sidecar)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise CommandError(f"{path} is not a valid result: {first_of(details)}") from None
