"""`llem bench`: what persistence costs on a disk, beside the floor of the same disk."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from llenergymeasure.cli.commands.bench.contenders import PROCESSES, Bench, contenders
from llenergymeasure.cli.commands.bench.crew import Crew, CrewError
from llenergymeasure.cli.commands.bench.disk import describe, room
from llenergymeasure.cli.commands.bench.measurements import Report, measure, rounds_for
from llenergymeasure.cli.commands.bench.record import encode, result_of_size, smallest_size
from llenergymeasure.cli.commands.bench.table import show
from llenergymeasure.cli.commands.bench.workplace import workplace
from llenergymeasure.cli.terminal.progress import progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT, UsageError, human_bytes, plural, printable
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import LLEMError
from llenergymeasure.results.persistence import _atomic_write
from llenergymeasure.results.store import ResultStore

__all__ = ["bench"]

_PICTURES = (".svg", ".png")
_WARM_UP = 16
_LOADED = 128
_BLOCK = 4096
_BLOCKS_BESIDE = 2
"""Blocks that a result takes beside those of its record: its directory, and its share in others."""


class _RefusalError(Exception):
    """The command cannot do what it was asked, for a reason that is no wrong usage."""


def bench(
    directory: Annotated[
        str, typer.Option("--dir", metavar="DIR", help="Measure in a temporary directory inside this one.")
    ] = ".",
    results: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="The greatest batch of results.")
    ] = 1000,
    size: Annotated[int, typer.Option(metavar="BYTES", help="The size of a result's record.")] = 9000,
    as_json: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw the time per result against the batch size: .svg or .png."),
    ] = None,
) -> int:
    """Measure what it costs to save and load results on a disk.

    Each way of saving has its turn in each of several rounds, beside the floor:
    the bare system calls of a save, and pydantic's dump of the result. It takes
    about half a minute, and leaves nothing on the disk.

    Exit status: 0 done, 1 not, 2 wrong usage, 130 interrupted.
    """
    _check_usage(directory, size, plot)
    try:
        _check_drawing(plot)
        _check_room(directory, results, size)
        report = _measure(Path(directory).absolute(), result_of_size(size), results)
        if as_json:
            OUT.write(json.dumps(report.as_json(), indent=2) + "\n")
            ERR.write("".join(f"llem bench: {printable(doubt)}\n" for doubt in report.doubts))
        else:
            show(report)
        if plot is not None:
            from llenergymeasure.cli.commands.bench.plot import draw  # noqa: PLC0415 - matplotlib is there by choice

            _atomic_write(draw(report, Path(plot).suffix[1:].lower()), plot)
            ERR.write(f"The picture is in {printable(plot)}\n")
    except (_RefusalError, CrewError, LLEMError, OSError) as error:
        ERR.write(f"llem bench: {printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        ERR.write("llem bench: interrupted\n")
        return 130
    return 0


def _check_usage(directory: str, size: int, plot: str | None) -> None:
    if not directory:
        raise UsageError("bench", "--dir is empty")
    if not os.path.lexists(directory):
        raise UsageError("bench", f"--dir {directory} does not exist")
    if not Path(directory).is_dir():
        raise UsageError("bench", f"--dir {directory} is not a directory")
    if size < smallest_size():
        raise UsageError(
            "bench", f"--size {size} is too small: the smallest record has {smallest_size()} bytes"
        )
    if plot is None:
        return
    if Path(plot).suffix.lower() not in _PICTURES:
        raise UsageError("bench", f"--plot {plot} ends neither in .svg nor in .png")
    if not Path(plot).absolute().parent.is_dir():
        raise UsageError("bench", f"--plot {plot} is in a directory that does not exist")


def _check_drawing(plot: str | None) -> None:
    """Find out before the measuring whether there will be a picture after it."""
    if plot is None:
        return
    try:
        import_module("matplotlib.figure")
    except ImportError:
        raise _RefusalError("--plot needs matplotlib: pip install 'llenergymeasure-store[plot]'") from None


def _check_room(directory: str, results: int, size: int) -> None:
    """Refuse a directory that would be full before the end."""
    rounds = ((1, min(results, _WARM_UP)), (rounds_for(results), results))
    count = min(results, _LOADED) + sum(
        number * contender.most
        for number, greatest in rounds
        for contender in contenders(greatest)
        if contender.saves
    )
    needed = count * _BLOCK * (_BLOCKS_BESIDE - -size // _BLOCK)
    needed_files = 2 * count
    free, free_files = room(Path(directory))
    if free < needed:
        there, wanted = human_bytes(free), human_bytes(needed)
    elif free_files is not None and free_files < needed_files:
        there, wanted = plural(free_files, "file"), plural(needed_files, "file")
    else:
        return
    raise _RefusalError(
        f"--dir {directory} has room for {there}, and up to {wanted} are needed for the {count:,} results "
        "of this run; fewer --results or a smaller --size need less"
    )


def _measure(parent: Path, result: ExperimentResult, results: int) -> Report:
    listed, rounds = contenders(results), rounds_for(results)
    warm_up = contenders(min(results, _WARM_UP))
    with (
        # It stays until all is removed, which may take a while.
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
            figures = measure(shared, listed, rounds, place / "measured", bar)
    return Report(parent, disk, len(content), results, figures)
