"""A record of a given size, to measure with."""

from __future__ import annotations

from llenergymeasure.cli.synthetic import sweep
from llenergymeasure.domain.experiment import ExperimentResult

__all__ = ["encode", "result_of_size", "smallest_size"]

_MODEL = "meta-llama/Llama-3.1-8B"
_SETTING = 8
"""Characters of a setting: a record grows in fields, as real ones do, and not in one long string."""


def encode(result: ExperimentResult) -> bytes:
    """Serialise as a save does, with pydantic alone."""
    return ExperimentResult.__pydantic_serializer__.to_json(result, indent=2)


def smallest_size() -> int:
    """Return the bytes of the smallest record that can be made."""
    return len(encode(_padded([""])))


def result_of_size(size: int) -> ExperimentResult:
    """Make a synthetic result whose record has exactly that many bytes, if it can be that small."""
    smallest = smallest_size()
    a_setting = len(encode(_padded(["", "x" * _SETTING]))) - smallest
    count, rest = divmod(size - smallest, a_setting)
    return _padded(["x" * _SETTING] * count + ["x" * rest])


def _padded(settings: list[str]) -> ExperimentResult:
    base = next(run.result for run in sweep() if run.result.effective_config["model"] == _MODEL)
    padding = {f"setting_{number:07}": setting for number, setting in enumerate(settings)}
    config = {**base.effective_config, "backend": "vllm", "padding": padding}
    return base.model_copy(update={"backend": "vllm", "effective_config": config})
