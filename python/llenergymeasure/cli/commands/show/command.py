"""`llem show`: one result, for a person."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure.cli.commands.show.sections import duration, print_result
from llenergymeasure.cli.query.reading import HOW_RESULTS_GET_THERE
from llenergymeasure.cli.terminal.input import first_of
from llenergymeasure.cli.terminal.json import as_json
from llenergymeasure.cli.terminal.stream import ERR, OUT, UsageError, plural, printable
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import LLEMError
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.timeseries import read_timeseries

if TYPE_CHECKING:
    from llenergymeasure.results.timeseries import Timeseries

__all__ = ["show"]


def show(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", show_default=False, help="The result's directory, or its result.json."
        ),
    ],
    as_json_: Annotated[  # noqa: FBT002 - an option of the command line
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object: path, result (as in result.json), duration_sec, tokens_per_joule, "
            "warnings, and timeseries with what its trace adds up to, or null.",
        ),
    ] = False,
) -> int:
    """Show one result: what was measured, on what, how well.

    With a power trace beside it, a plot of it too, and whether its energy is the
    one that was recorded.

    Exit status: 0 shown; 1 no result, or its trace cannot be read; 2 wrong usage; 130 interrupted.
    """
    if not path:
        raise UsageError("show", "PATH is empty")
    if not os.path.lexists(path):
        raise UsageError("show", f"{path} does not exist")
    if Path(path).is_dir() and not os.path.lexists(Path(path, _store.RECORD)):
        ERR.write(f"llem show: {printable(_nothing_in(path))}\n")
        return 1
    try:
        result, notes = _load(path)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        ERR.write(f"llem show: {printable(f'{path} is not a result: {first_of(details)}')}\n")
        return 1
    except LLEMError as error:
        ERR.write(f"llem show: {printable(str(error))}\n")
        return 1
    trace, trouble = _trace(path, result, notes)
    if as_json_:
        OUT.write(as_json(_document(path, result, trace, [*result.measurement_warnings, *notes])))
    else:
        print_result(path, result, trace, notes)
    if trouble is not None:
        ERR.write(f"llem show: {printable(trouble)}\n")
        return 1
    return 0


def _nothing_in(path: str) -> str:
    scan = ResultStore(path).scan(["path"], on_error="collect")
    count = sum(len(batch) for batch in scan)
    if count:
        return f"{path} is no result itself; {plural(count, 'result')} below it: `llem ls {path}`"
    return f"there is no result in {path}; {HOW_RESULTS_GET_THERE}"


def _load(path: str) -> tuple[ExperimentResult, list[str]]:
    """Return the result, and what loading it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = ExperimentResult.from_json(path)
    return result, [str(warning.message) for warning in caught]


def _trace(path: str, result: ExperimentResult, notes: list[str]) -> tuple[Timeseries | None, str | None]:
    """Return the power trace if there is one, and why it cannot be read if so."""
    if result.timeseries is None or notes:
        return None, None
    try:
        return read_timeseries(path), None
    except LLEMError as error:
        return None, str(error)


def _document(
    path: str, result: ExperimentResult, trace: Timeseries | None, told: list[str]
) -> dict[str, Any]:
    return {
        "path": path,
        "result": result.model_dump(mode="json"),
        "duration_sec": duration(result),
        "tokens_per_joule": result.tokens_per_joule,
        "warnings": told,
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
