"""`llem schema`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult
from support.optional import load, needs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def schema(llem: Run) -> dict[str, Any]:
    """Return the JSON that the command prints."""
    done = llem("schema")
    assert (done.returncode, done.stderr) == (0, "")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_schema_lists_every_field_and_allows_no_other(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(schema["properties"]) == list(ExperimentResult.model_fields)
    assert schema["additionalProperties"] is False
    required = {name for name, field in ExperimentResult.model_fields.items() if field.is_required()}
    assert set(schema["required"]) == required
    assert schema["properties"]["schema_version"]["const"] == "2.0"


def test_schema_describes_values_as_files_hold_them(schema: dict[str, Any]) -> None:
    numbers = schema["properties"]["total_energy_j"]["anyOf"]
    assert numbers == [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]
    # A time without a zone is not a `date-time` of JSON Schema.
    assert schema["properties"]["start_time"]["type"] == "string"
    assert "format" not in schema["properties"]["start_time"]


def test_schema_json_equals_the_default_output(llem: Run) -> None:
    assert llem("schema", "--json").stdout == llem("schema").stdout


@needs("jsonschema")
def test_schema_accepts_real_records(schema: dict[str, Any], data: Path) -> None:
    jsonschema = load("jsonschema")
    check = jsonschema.Draft202012Validator(schema)
    records = [json.loads(line) for line in (data / "mlenergy_llm_results.jsonl").read_text().splitlines()]
    records += [json.loads(path.read_text()) for path in data.glob("mlperf/*.json")]
    records.append(json.loads((data / "gpt2_a100_result.json").read_text()))
    for record in records:
        check.validate(record)
    assert not check.is_valid(records[0] | {"total_energy_j": "much"})
    assert not check.is_valid(records[0] | {"schema_version": "3.0"})
