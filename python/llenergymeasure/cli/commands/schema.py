"""`llem schema`: print the JSON Schema of `result.json`, or of `failure.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic.json_schema import GenerateJsonSchema

from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.domain.failure import FAILURE_SCHEMA_VERSION, FailedRun

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

_NON_FINITE = ["NaN", "Infinity", "-Infinity"]


class _Generator(GenerateJsonSchema):
    """A generator for the schema of files, where it differs from that of models."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """Return the schema of a number, or of the name of a non-finite one."""
        return {"anyOf": [super().float_schema(schema), {"enum": _NON_FINITE}]}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model, whose fields have their descriptions."""
        described = super().model_schema(schema)
        if "description" in described:
            described["description"] = described["description"].partition("\n\nAttributes:")[0]
        return described

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:  # noqa: ARG002 - the signature
        """Return the schema of ISO 8601 text; `date-time` of JSON Schema would require a zone."""
        return {"type": "string", "description": "ISO 8601, with or without a zone"}


def schema(
    failure: Annotated[
        bool, typer.Option("--failure", help="Print the JSON Schema of failure.json, a run that failed.")
    ] = False,
    as_json: Annotated[  # noqa: ARG001 - every command has the option
        bool, typer.Option("--json", help="Print JSON, as without it.")
    ] = False,
) -> int:
    """Print the JSON Schema of result.json.

    The schema follows draft 2020-12, and describes the schema line that this
    version reads and writes. Non-finite numbers are the strings "NaN",
    "Infinity" and "-Infinity".

    Exit status: 0 printed, 1 not printed, 2 wrong usage.
    """
    model, version = (FailedRun, FAILURE_SCHEMA_VERSION) if failure else (ExperimentResult, SCHEMA_VERSION)
    described: dict[str, Any] = model.model_json_schema(schema_generator=_Generator)
    described["properties"]["schema_version"] |= {"const": version}
    OUT.write(to_json({"$schema": _Generator.schema_dialect, **described}))
    return 0
