"""Implausible numbers and credentials of a result: they are reported, and never rejected or changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.domain.failure import FailedRun

MOST_DIFFERENCE = 0.1
"""The largest plausible difference between the energy of a trace and that of its record, as a fraction."""

_TOLERANCE = 0.02
"""The rounding of an energy per token, as a fraction."""
_UNITS = ("_j", "_w", "_sec", "_s", "_ms", "_mb")
_KNOWN = ("total_energy_j", "total_inference_time_sec")
"""Fields of a result that a measurement always knows."""


class Implausibility(NamedTuple):
    """An implausible number of a result, or a credential in a configuration.

    Attributes:
        field: The path of the field, as in `process_results[0].energy_metrics.total_energy_j`.
        value: Its value; None where no single value is implausible, and for a credential.
        message: The reason, without the field.
    """

    field: str
    value: object
    message: str

    def __str__(self) -> str:
        """Return `field message`."""
        return f"{self.field} {self.message}"


def implausibilities(
    result: ExperimentResult, energies_j: Mapping[int, float | None] | None
) -> list[Implausibility]:
    """Return the implausible numbers of a result.

    Args:
        result: The result.
        energies_j: The energy of each `gpu_index` of its power trace, where -1 is the whole system; None if
            it has no trace.
    """
    found = [*_negatives(result), *_unknown(result), *_times(result), *_energy_per_token(result)]
    if energies_j is not None:
        found += _trace_energy(result, energies_j)
    return found


def credentials(record: ExperimentResult | FailedRun) -> list[Implausibility]:
    """Return a finding for each credential in the configurations of a record, without its value."""
    from llenergymeasure.domain.secrets import secret_places  # noqa: PLC0415 - rarely needed

    return [
        Implausibility(place, None, "holds a credential; save the result with redact=True, or remove the key")
        for place in secret_places(record)
    ]


@cache
def _plan(model: type[BaseModel]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields that hold amounts, which are never negative, and those that hold models."""
    amounts, models = [], []
    for name, info in model.model_fields.items():
        if name == "environment_snapshot":  # it describes the machine, and measures nothing
            continue
        kinds = _kinds(info.annotation)
        if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
            models.append(name)
        elif {int, float} & kinds and (name.endswith(_UNITS) or "tokens" in name or "flops" in name):
            amounts.append(name)
    return tuple(amounts), tuple(models)


def _kinds(annotation: Any) -> set[Any]:  # noqa: ANN401 - any annotation
    parts = get_args(annotation)
    return {annotation}.union(*map(_kinds, parts)) if parts else {annotation}


def _negatives(model: BaseModel, above: str = "") -> Iterator[Implausibility]:
    amounts, models = _plan(type(model))
    values = model.__dict__
    for name in amounts:
        value = values[name]
        if isinstance(value, list):
            yield from _negative_items(f"{above}{name}", value)
        elif value is not None and value < 0:
            yield Implausibility(f"{above}{name}", value, f"is negative: {value!r}")
    for name in models:
        value = values[name]
        if isinstance(value, BaseModel):
            yield from _negatives(value, f"{above}{name}.")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from _negatives(item, f"{above}{name}[{index}].")


def _negative_items(name: str, items: list[float]) -> Iterator[Implausibility]:
    """Yield one finding for the negative items of a list, which may be long."""
    negative = [index for index, item in enumerate(items) if item < 0]
    if negative:
        value = items[negative[0]]
        more = f", and {len(negative) - 1:,} more are" if len(negative) > 1 else ""
        yield Implausibility(f"{name}[{negative[0]}]", value, f"is negative: {value!r}{more}")


def _unknown(result: ExperimentResult) -> Iterator[Implausibility]:
    for name in _KNOWN:
        value = getattr(result, name)
        if not math.isfinite(value):
            yield Implausibility(name, value, f"is not a finite number: {value!r}")


def _times(result: ExperimentResult) -> Iterator[Implausibility]:
    yield from _order("end_time", result.start_time, result.end_time)
    window = result.steady_state_window
    if window is not None and window[1] < window[0]:
        yield Implausibility(
            "steady_state_window", window, f"ends at {window[1]!r} s, before its start at {window[0]!r} s"
        )
    for index, process in enumerate(result.process_results):
        times = process.timestamps
        yield from _order(f"process_results[{index}].timestamps.end", times.start, times.end)


def _order(name: str, start: datetime, end: datetime) -> Iterator[Implausibility]:
    if (start.tzinfo is None) != (end.tzinfo is None):
        both = f"({end.isoformat()}) and the start ({start.isoformat()})"
        yield Implausibility(name, end, f"{both} cannot be compared: only one of them has a zone")
    elif end < start:
        yield Implausibility(name, end, f"({end.isoformat()}) is before the start ({start.isoformat()})")


def _energy_per_token(result: ExperimentResult) -> Iterator[Implausibility]:
    total_j = result.total_energy_j
    of_total = result.avg_energy_per_token_j * max(0.0, _float(result.total_tokens))
    is_simple = result.multi_gpu is None and not result.process_results
    if is_simple and of_total > 0 and math.isclose(of_total, total_j, rel_tol=_TOLERANCE):
        return  # the usual result, in little time
    energies = [total_j, result.energy_adjusted_j]
    if result.energy_breakdown is not None:
        energies += [result.energy_breakdown.raw_j, result.energy_breakdown.adjusted_j]
    counts = _token_counts(result)
    yield from _explain("avg_energy_per_token_j", result.avg_energy_per_token_j, energies, counts)
    gpus = result.multi_gpu
    if gpus is not None and len(counts) > 1:  # the output tokens are known
        name = "multi_gpu.energy_per_output_token_j"
        yield from _explain(name, gpus.energy_per_output_token_j, [gpus.energy_total_j], counts)
    for index, process in enumerate(result.process_results):
        tokens, energy = process.inference_metrics, process.energy_metrics
        if energy.energy_per_token_j:  # 0.0 is the default
            yield from _explain(
                f"process_results[{index}].energy_metrics.energy_per_token_j",
                energy.energy_per_token_j,
                [energy.total_energy_j, energy.gpu_energy_j],
                [_float(count) for count in (tokens.total_tokens, tokens.input_tokens, tokens.output_tokens)],
            )


def _token_counts(result: ExperimentResult) -> list[float]:
    """Return the total, input and output tokens, as far as the record states or implies them."""
    total = _float(result.total_tokens)
    rates = (result.flops_per_output_token, result.flops_per_input_token)
    counts = [result.total_flops / rate for rate in rates if rate]
    metrics = [process.inference_metrics for process in result.process_results]
    names = ("total_tokens", "input_tokens", "output_tokens") if metrics else ()
    counts += [_float(sum(getattr(one, name) for one in metrics)) for name in names]
    # The total is the sum of input and output.
    counts += [total - count for count in counts]
    return [total, *(count for count in counts if count > 0)]


def _explain(
    name: str, value: float, energies: Sequence[float | None], counts: Sequence[float]
) -> Iterator[Implausibility]:
    """Yield a finding unless an energy over a number of tokens gives the energy per token."""
    known = [energy for energy in energies if energy is not None and math.isfinite(energy)]
    tokens = [count for count in counts if count]
    if not math.isfinite(value) or not known or not (tokens or value):
        return
    ratios = [energy / count for energy in known for count in tokens]
    if not any(math.isclose(ratio, value, rel_tol=_TOLERANCE) for ratio in ratios):
        expected = f" are {ratios[0]:.6g} J" if ratios else ""
        yield Implausibility(
            name,
            value,
            f"is {value:.6g} J, which no number of tokens in the record explains: {known[0]:.6g} J over "
            f"{counts[0]:.10g} tokens{expected}",
        )


def _float(count: int) -> float:
    try:
        return float(count)
    except OverflowError:  # an integer larger than any float
        return math.inf if count > 0 else -math.inf


def _trace_energy(
    result: ExperimentResult, energies_j: Mapping[int, float | None]
) -> Iterator[Implausibility]:
    """Compare the recorded energy with that of the whole system, and with that of the GPUs."""
    recorded = result.total_energy_j
    system = energies_j.get(-1)
    gpus = [energy for gpu, energy in energies_j.items() if gpu != -1]
    known = [energy for energy in gpus if energy is not None]
    # A sum without the energy of one GPU is not that of the trace.
    total = sum(known) if known and len(known) == len(gpus) else None
    traced = [energy for energy in (system, total) if energy is not None]
    if not traced or not math.isfinite(recorded):
        return
    if any(abs(energy - recorded) <= MOST_DIFFERENCE * abs(recorded) for energy in traced):
        return
    energy = traced[0]
    relation = f", {(energy / recorded - 1) * 100:+.1f} %" if recorded > 0 else ""
    yield Implausibility(
        "total_energy_j",
        recorded,
        f"is {recorded:.6g} J, but the energy of the power trace is {energy:.6g} J{relation}",
    )
