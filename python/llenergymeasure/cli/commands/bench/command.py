"""`llem bench`: the cost of persistence on a disk, compared with the baseline of the same disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from llenergymeasure._format import human_bytes, plural
from llenergymeasure.cli.commands.bench.contenders import PROCESSES, Bench, contenders
from llenergymeasure.cli.commands.bench.crew import Crew, CrewError
from llenergymeasure.cli.commands.bench.disk import describe, room
from llenergymeasure.cli.commands.bench.measurements import Report, measure, rounds_for
from llenergymeasure.cli.commands.bench.plot import draw
from llenergymeasure.cli.commands.bench.record import encode, result_of_size, smallest_size
from llenergymeasure.cli.commands.bench.table import show
from llenergymeasure.cli.commands.bench.workplace import workplace
from llenergymeasure.cli.errors import CommandError, UsageError
from llenergymeasure.cli.query.options import check_directory, local
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.output import check_matplotlib, check_output, write_picture
from llenergymeasure.cli.terminal.progress import progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.plotting import render
from llenergymeasure.results.store import ResultStore

_PICTURES = (".svg", ".png")
_WARM_UP = 16
_LOADED = 128
_BLOCK = 4096
_EXTRA_BLOCKS = 2
"""Blocks of a result besides those of its record: its directory, and its share in others."""


def bench(
    directory: Annotated[
        str,
        typer.Option(
            "--dir", metavar="DIR", callback=local, help="Measure in a temporary directory inside this one."
        ),
    ] = ".",
    results: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="The greatest batch of results.")
    ] = 1000,
    size: Annotated[int, typer.Option(metavar="BYTES", help="The size of a record.")] = 9000,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=local,
            help="Draw the time per result against the batch size: .svg or .png.",
        ),
    ] = None,
) -> int:
    """Measure the cost of saving and loading results on a disk.

    Each way of saving has a turn in each of several rounds, next to the baseline:
    the bare system calls of a save, and pydantic's dump of the result. The
    command takes about half a minute, and leaves nothing on the disk.

    Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    _check_usage(directory, size, plot)
    if plot is not None:
        check_matplotlib()
    _check_room(directory, results, size)
    try:
        report = _measure(Path(directory).absolute(), result_of_size(size), results)
    except CrewError as error:
        raise CommandError(str(error)) from None
    if as_json:
        OUT.write(to_json(report.as_json()))
        for doubt in report.doubts:
            ERR.report(doubt)
    else:
        show(report)
    if plot is not None:
        form: Literal["svg", "png"] = "svg" if plot.lower().endswith(".svg") else "png"
        write_picture(plot, render(draw(report), form))
    return 0


def _check_usage(directory: str, size: int, plot: str | None) -> None:
    check_directory(directory, "--dir")
    if size < smallest_size():
        raise UsageError(f"--size expects at least {smallest_size()} bytes, the smallest record; got {size}")
    if plot is not None:
        check_output("--plot", plot, _PICTURES)


def _check_room(directory: str, results: int, size: int) -> None:
    """Raise `CommandError` if the run would fill the file system."""
    rounds = ((1, min(results, _WARM_UP)), (rounds_for(results), results))
    count = min(results, _LOADED) + sum(
        number * contender.most
        for number, greatest in rounds
        for contender in contenders(greatest)
        if contender.saves
    )
    needed = count * _BLOCK * (_EXTRA_BLOCKS - -size // _BLOCK)
    needed_files = 2 * count
    free, free_files = room(Path(directory))
    if free < needed:
        free_text, needed_text = human_bytes(free), human_bytes(needed)
    elif free_files is not None and free_files < needed_files:
        free_text, needed_text = plural(free_files, "file"), plural(needed_files, "file")
    else:
        return
    raise CommandError(
        f"--dir {directory} has room for {free_text}, but the {count:,} results of this run need up to "
        f"{needed_text}; use fewer --results or a smaller --size"
    )


def _measure(parent: Path, result: ExperimentResult, results: int) -> Report:
    listed, rounds = contenders(results), rounds_for(results)
    warm_up = contenders(min(results, _WARM_UP))
    with (
        # The bar stays during the removal, which may be slow.
        progress_bar("Measuring", len(warm_up) + rounds * len(listed)) as bar,
        workplace(parent) as place,
    ):
        disk = describe(place)
        record = place / "record.json"
        content = encode(result)
        record.write_bytes(content)
        loaded = ResultStore(place / "loaded")
        with Crew(PROCESSES, record) as crew:
            paths = [loaded.save(result, durable=False) for _ in range(min(results, _LOADED))]
            shared = Bench(result, paths, crew)
            measure(shared, warm_up, 1, place / "warm-up", bar)
            measurements = measure(shared, listed, rounds, place / "measured", bar)
    return Report(parent, disk, len(content), results, measurements)
