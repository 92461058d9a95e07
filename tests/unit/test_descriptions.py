"""The descriptions of fields in `help` and in JSON Schema, and the signatures of models."""

from __future__ import annotations

import importlib.util
import inspect
import pydoc
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from llenergymeasure import ExperimentResult
from llenergymeasure.domain._descriptions import DESCRIPTIONS
from llenergymeasure.domain.failure import FailedRun
from llenergymeasure.domain.metrics import EnergyMetrics, WarmupResult
from support.processes import run_code
from support.results import make_result

TOOL = Path(__file__).parents[2] / "tools" / "descriptions.py"
UNITS = {
    "_j": "joules",
    "_w": "watts",
    "_sec": "in seconds",
    "_s": "in seconds",
    "_ms": "milliseconds",
    "_mb": "2^20 bytes",
    "_c": "degrees Celsius",
    "_pct": "per cent",
    "_kg_co2": "kilograms",
    "tokens_per_second": "tokens per second",
}


def models_of(model: type[BaseModel], found: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Return a model and the models in it, by their names."""
    if model.__name__ not in found:
        found[model.__name__] = model
        for info in model.model_fields.values():
            for kind in kinds_of(info.annotation):
                models_of(kind, found)
    return found


def kinds_of(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*map(kinds_of, get_args(annotation)))


MODELS = models_of(FailedRun, models_of(ExperimentResult, {}))


def test_descriptions_are_those_of_the_sources() -> None:
    spec = importlib.util.spec_from_file_location("descriptions", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    written, collected = DESCRIPTIONS, tool.collect()
    assert written == collected, "run: python tools/descriptions.py"
    assert set(collected) == set(MODELS)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_field_has_a_description_with_its_unit(model: type[BaseModel]) -> None:
    make_result()  # builds the schema, which must not lose them
    assert list(DESCRIPTIONS[model.__name__]) == list(model.model_fields)
    document = pydoc.plain(pydoc.render_doc(model))
    for name, info in model.model_fields.items():
        text = info.description
        assert text == DESCRIPTIONS[model.__name__][name]
        assert text.endswith(".")
        assert f"{name}: {text}" in document
        for ending, unit in UNITS.items():
            if name.endswith(ending) and "flops" not in name:
                assert unit in text, (name, text)


def test_json_schema_has_each_description() -> None:
    schema = ExperimentResult.model_json_schema()
    for name, described in {"ExperimentResult": schema, **schema["$defs"]}.items():
        texts = {field: value["description"] for field, value in described["properties"].items()}
        assert texts == DESCRIPTIONS[name]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_signature_names_each_field_and_no_other(model: type[BaseModel]) -> None:
    parameters = inspect.signature(model).parameters
    assert set(parameters) == set(model.model_fields)
    for name, info in model.model_fields.items():
        is_optional = not info.is_required() or name == "measurement_config_hash"
        assert (parameters[name].default is not inspect.Parameter.empty) is is_optional
        assert "Annotated" not in str(parameters[name].annotation)


def test_signature_is_there_before_the_first_result_and_stays() -> None:
    code = (
        "import inspect; from llenergymeasure import ExperimentResult as R\n"
        "before = str(inspect.signature(R)); R.model_json_schema()\n"
        "print(before == str(inspect.signature(R))); print(before)"
    )
    same, text = run_code(code, check=True).stdout.splitlines()
    assert same == "True"
    assert text.startswith("(*, experiment_id: str, measurement_methodology: Literal['total', ")
    assert "total_energy_j: float, " in text
    assert "measurement_config_hash: str = <that of effective_config>" in text
    assert "per_request" not in text
    fields = {name: getattr(make_result(), name) for name in ExperimentResult.model_fields}
    inspect.signature(ExperimentResult).bind(**fields)
    with pytest.raises(TypeError, match="energy"):
        inspect.signature(ExperimentResult).bind(**fields, energy=1)
    assert not hasattr(make_result(), "__signature__")


def test_signature_and_description_of_a_subclass_are_its_own() -> None:
    class Warm(WarmupResult):
        """A warm-up of a user."""

        note: str = ""

    class EnergyOfUser(EnergyMetrics):
        def __init__(self, joules: float) -> None:
            super().__init__(total_energy_j=joules, duration_sec=1.0)

    assert "note" in inspect.signature(Warm).parameters
    assert Warm.__doc__ == "A warm-up of a user."
    assert Warm.model_fields["final_cv"].description == DESCRIPTIONS["WarmupResult"]["final_cv"]
    assert EnergyOfUser(2.0).total_energy_j == 2.0
    assert list(inspect.signature(EnergyOfUser).parameters) == ["joules"]
