"""A synthetic record of a given size."""

from __future__ import annotations

from llenergymeasure.cli.synthetic import sweep
from llenergymeasure.domain.experiment import ExperimentResult

_MODEL = "meta-llama/Llama-3.1-8B"
_SETTING = 8
"""Characters of a setting: a larger record has more fields, as real ones have."""


def encode(result: ExperimentResult) -> bytes:
    """Serialise a result with pydantic, as a save does."""
    return ExperimentResult.__pydantic_serializer__.to_json(result, indent=2)


def smallest_size() -> int:
    """Return the size of the smallest possible record, in bytes."""
    return len(encode(_padded([""])))


def result_of_size(size: int) -> ExperimentResult:
    """Return a synthetic result whose record has exactly that many bytes, or the smallest size."""
    smallest = smallest_size()
    a_setting = len(encode(_padded(["", "x" * _SETTING]))) - smallest
    count, rest = divmod(size - smallest, a_setting)
    return _padded(["x" * _SETTING] * count + ["x" * rest])


def _padded(settings: list[str]) -> ExperimentResult:
    base = next(run.result for run in sweep() if run.result.effective_config["model"] == _MODEL)
    padding = {f"setting_{number:07}": setting for number, setting in enumerate(settings)}
    config = {**base.effective_config, "backend": "vllm", "padding": padding}
    return base.model_copy(update={"backend": "vllm", "effective_config": config})
