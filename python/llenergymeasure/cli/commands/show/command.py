"""`llem show`: print one result."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llenergymeasure import _store
from llenergymeasure._format import plural
from llenergymeasure.cli.commands.show.failure import is_failure, show_failure
from llenergymeasure.cli.commands.show.sections import duration, print_result
from llenergymeasure.cli.errors import CommandError
from llenergymeasure.cli.query.options import check_path, given, is_url
from llenergymeasure.cli.query.reading import HOW_TO_ADD_RESULTS
from llenergymeasure.cli.query.record import load_record
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.domain._check import Implausibility, implausibilities
from llenergymeasure.errors import LLEMError
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.timeseries import read_timeseries

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.timeseries import Timeseries


def show(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            callback=given,
            help="The result's directory, or its result.json; or its URL.",
        ),
    ],
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object: path, result (as in result.json), duration_sec, tokens_per_joule, "
            "warnings, implausible (objects with field and message), and timeseries with the totals of the "
            "power trace, or null.",
        ),
    ] = False,
) -> int:
    """Show one result: its energy, throughput, latency, method and machine.

    If the result has a power trace, show a plot, and compare its energy with that
    of the record. Implausible numbers, such as a negative energy, are listed. The
    path may also be that of a run that failed, or of its failure.json.

    Exit status: 0 shown; 1 no valid result or power trace; 2 wrong usage; 130 interrupted.
    """
    check_path(path)
    if is_failure(path):
        return show_failure(path, as_json=as_json)
    if not is_url(path) and Path(path).is_dir() and not os.path.lexists(Path(path, _store.RECORD)):
        raise CommandError(_absence_in(path))
    try:
        result, notes = _load(path)
    except FileNotFoundError:
        if is_url(path):
            raise CommandError(_absence_in(path)) from None
        raise
    trace, problem = _trace(path, result, notes)
    if trace is not None:
        notes.extend(f"power trace: {warning}" for warning in trace.warnings)
    implausible = implausibilities(result, None if trace is None else trace.energy_per_gpu_j)
    if as_json:
        messages = [*result.measurement_warnings, *notes]
        OUT.write(to_json(_document(path, result, trace, messages, implausible)))
    else:
        print_result(path, result, trace, notes, implausible)
    if problem is not None:
        raise CommandError(problem)
    return 0


def _absence_in(path: str) -> str:
    """Return the message for a directory that is not a result."""
    scan = ResultStore(path).scan(["path"], on_error="collect")
    count = sum(len(batch) for batch in scan)
    if count:
        return f"{path} is not a result; {plural(count, 'result')} below it: `llem ls {path}`"
    return f"no result in {path}; {HOW_TO_ADD_RESULTS}"


def _load(path: str) -> tuple[ExperimentResult, list[str]]:
    """Return the result, and the warnings of loading it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = load_record(path, "warn")
    return result, [str(warning.message) for warning in caught]


def _trace(path: str, result: ExperimentResult, notes: list[str]) -> tuple[Timeseries | None, str | None]:
    """Return the power trace if there is one, and the reason if it cannot be read."""
    if result.timeseries is None or notes:
        return None, None
    try:
        return read_timeseries(path), None
    except LLEMError as error:
        return None, str(error)


def _document(
    path: str,
    result: ExperimentResult,
    trace: Timeseries | None,
    messages: list[str],
    implausible: list[Implausibility],
) -> dict[str, Any]:
    return {
        "path": path,
        "result": result.model_dump(mode="json"),
        "duration_sec": duration(result),
        "tokens_per_joule": result.tokens_per_joule,
        "warnings": messages,
        "implausible": [{"field": one.field, "message": one.message} for one in implausible],
        "timeseries": None
        if trace is None
        else {
            "rows": len(trace),
            "duration_s": trace.duration_s,
            "mean_power_w": trace.mean_power_w,
            "energy_j": trace.energy_j,
            "energy_per_gpu_j": {str(gpu): energy for gpu, energy in trace.energy_per_gpu_j.items()},
        },
    }
