"""`llem power`: show a power log, and convert it to a power trace."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llenergymeasure._format import format_value, plural, printable
from llenergymeasure.cli.errors import CommandError
from llenergymeasure.cli.query.options import local
from llenergymeasure.cli.query.power_logs import (
    PowerColumns,
    PowerGpus,
    PowerInterval,
    PowerOptions,
    PowerStart,
    PowerZone,
)
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.cli.terminal.table import Column, print_table
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers.power import PowerLog


def power(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG",
            callback=local,
            show_default=False,
            help="A power log of nvidia-smi, amd-smi, DCGM, Zeus or dmon, or CSV or Parquet of another tool.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=local,
            show_default=False,
            help="Write the power trace at 1 Hz to this Parquet file.",
        ),
    ] = None,
    power_columns: PowerColumns = None,
    power_gpus: PowerGpus = None,
    power_zone: PowerZone = None,
    power_start: PowerStart = None,
    power_interval: PowerInterval = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> int:
    """Show the GPUs and the energy of a power log, and convert it to a power trace.

    The trace has one row per second and GPU, in the columns of a sidecar:
    llem save --timeseries FILE saves it next to a result. llem import --power LOG
    does both for the results of other tools.

    Exit status: 0 converted, 1 not, 2 wrong usage.
    """
    options = PowerOptions(power_columns, power_gpus, power_zone, power_start, power_interval)
    read = options.read(log, "LOG")
    shown = _shown(read)
    if output is not None:
        try:
            read.write(output)
        except NotImportableError as error:
            raise CommandError(f"{log}: {error}") from None
    if as_json:
        OUT.write(to_json(shown | {"output": output}))
        return 0
    _print(log, shown)
    if output is not None:
        OUT.write(f"\nwritten to {printable(output)}\n")
    return 0


def _shown(log: PowerLog) -> dict[str, Any]:
    trace = log.trace()
    per_gpu = trace.energy_per_gpu_j
    gpus = [
        {"gpu_index": gpu, "name": name, "energy_j": per_gpu.get(gpu), "samples": len(log.samples[gpu].times)}
        for gpu, name in log.gpus.items()
    ]
    ends = {
        name: None if time is None else time.isoformat()
        for name, time in (("start", log.start), ("end", log.end))
    }
    return {
        "tool": log.tool,
        "columns": list(log.power_columns),
        **ends,
        "energy_j": trace.energy_j,
        "mean_power_w": trace.mean_power_w,
        "gpus": gpus,
        "warnings": list(dict.fromkeys([*log.warnings_of(), *trace.warnings])),
    }


def _print(name: str, shown: dict[str, Any]) -> None:
    span = f", {shown['start']} to {shown['end']}" if shown["start"] else ""
    columns = ", ".join(shown["columns"][:3])
    OUT.write(f"{printable(name)}: {printable(shown['tool'])}, {printable(columns)}{span}\n\n")
    gpus = shown["gpus"]
    print_table(
        [
            Column("gpu_index", [str(gpu["gpu_index"]) for gpu in gpus]),
            Column("name", [gpu["name"] for gpu in gpus], wraps=True, least=8),
            Column("samples", [f"{gpu['samples']:,}" for gpu in gpus]),
            Column("energy_j", [_number(gpu["energy_j"]) for gpu in gpus]),
        ]
    )
    total = "unknown" if shown["energy_j"] is None else f"{_number(shown['energy_j'])} J"
    OUT.write(f"\nenergy of {plural(len(gpus), 'GPU')}: {total}\n")
    for warning in shown["warnings"]:
        OUT.write(f"note: {printable(warning)}\n")


def _number(value: float | None) -> str:
    return "" if value is None else format_value(value)
