"""`llem schema`: the JSON Schema of `result.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic.json_schema import GenerateJsonSchema

from llenergymeasure.cli.terminal.json import as_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

__all__ = ["schema"]

_NON_FINITE = ["NaN", "Infinity", "-Infinity"]


class _Generator(GenerateJsonSchema):
    """Says of files what pydantic says of models, where the two differ."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """A number, or the name of one that JSON has not."""
        return {"anyOf": [super().float_schema(schema), {"enum": _NON_FINITE}]}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:  # noqa: ARG002 - the signature
        """ISO 8601; `date-time` of JSON Schema would ask for a zone."""
        return {"type": "string", "description": "ISO 8601, with or without a zone"}


def schema(
    as_json_: Annotated[  # noqa: ARG001, FBT002 - every command has it
        bool, typer.Option("--json", help="Print JSON, as without it.")
    ] = False,
) -> int:
    """Print the JSON Schema of result.json.

    It is of draft 2020-12, and for the schema line that this version reads and
    writes. Numbers that JSON has not are the strings "NaN", "Infinity" and
    "-Infinity".

    Exit status: 0 printed, 1 not, 2 wrong usage.
    """
    described: dict[str, Any] = ExperimentResult.model_json_schema(schema_generator=_Generator)
    described["properties"]["schema_version"] |= {"const": SCHEMA_VERSION}
    OUT.write(as_json({"$schema": _Generator.schema_dialect, **described}))
    return 0
