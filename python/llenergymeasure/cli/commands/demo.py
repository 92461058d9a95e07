"""`llem demo`: save, load, compare and show a synthetic sweep."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from shlex import quote
from shutil import which
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._format import human_bytes, human_seconds, plural, printable
from llenergymeasure.cli.errors import CommandError
from llenergymeasure.cli.query.options import check_directory, local
from llenergymeasure.cli.synthetic import NOTICE, Synthetic, sweep
from llenergymeasure.cli.terminal.interrupt import Interrupt
from llenergymeasure.cli.terminal.progress import progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table
    from rich.tree import Tree

    from llenergymeasure.domain.experiment import ExperimentResult

_SHOWN_DIRECTORIES = 4
_SHOWN_LINES = 14
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"


def demo(
    output_dir: Annotated[
        str,
        typer.Argument(metavar="DIR", callback=local, help="The root of the store; existing results stay."),
    ] = "llem-demo",
) -> int:
    """Make a small synthetic sweep, save it, load it back, and show the files.

    Nothing is measured: the numbers are made up, and each result says so.

    Exit status: 0 every loaded result equals the saved one, 1 not, 2 wrong usage, 130 interrupted.
    """
    check_directory(output_dir, may_be_missing=True)
    runs = list(sweep())
    store = ResultStore(output_dir)
    earlier = _count(store)
    began = time.perf_counter()
    paths = _save(store, runs)
    seconds = time.perf_counter() - began
    try:
        loaded = [store.load(path, missing_sidecar="error") for path in paths]
    except ValidationError as error:
        raise CommandError(str(error)) from None
    given = [Path(output_dir) / path.relative_to(store.root) for path in paths]
    differing = _differing(runs, loaded, given)
    OUT.print(
        _heading("A synthetic sweep: the numbers are made up, nothing was measured"),
        "",
        _table(loaded),
        "",
        *_outcome(paths, seconds, earlier, printable(output_dir)),
        f"Loaded back:   {len(loaded) - len(differing)} of {len(loaded)} equal to the saved ones.",
        f"Disk use:      {printable(output_dir)} takes {human_bytes(_disk_use(store.root))}.",
    )
    for line in differing:
        ERR.report(line)
    _show_files(Path(output_dir), given[0], runs[0])
    return 1 if differing else 0


def _count(store: ResultStore) -> int:
    """Return the number of results that the store holds already."""
    if not store.root.is_dir():
        return 0
    return sum(len(batch) for batch in store.scan(["path"], on_error="collect"))


def _outcome(paths: list[Path], seconds: float, earlier: int, root: str) -> Iterator[str]:
    size = sum(entry.stat().st_size for path in paths for entry in os.scandir(path.parent))
    yield f"Saved durably: {plural(len(paths), 'result')}, {human_bytes(size)}, in {human_seconds(seconds)}."
    if earlier:
        yield f"Added to:      {plural(earlier, 'result')} that {root} held already."


def _disk_use(root: Path) -> int:
    """Return the bytes of all blocks of a tree, or of all files where blocks are unknown."""
    found = [path.lstat() for path in (root, *root.rglob("*"))]
    return sum(status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size for status in found)


def _save(store: ResultStore, runs: list[Synthetic]) -> list[Path]:
    paths = []
    with Interrupt() as interrupt, progress_bar("Saving", len(runs)) as bar:
        try:
            for run in runs:
                with interrupt.step():
                    paths.append(store.save(run.result, run.trace()))
                bar.advance(1, saved=1)
        except KeyboardInterrupt:
            bar.note(f"{plural(len(paths), 'result')} saved in {store.root}")
            raise
    return paths


def _differing(runs: list[Synthetic], loaded: list[ExperimentResult], paths: list[Path]) -> list[str]:
    """Return a line for each loaded result that differs from the saved one with its sidecar."""
    return [
        f"{path} differs from the saved result"
        for run, back, path in zip(runs, loaded, paths, strict=True)
        if back != run.result.model_copy(update={"timeseries": _store.SIDECAR})
    ]


def _heading(text: str) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415 - slow to load

    return Text(text, style="bold")


def _table(results: list[ExperimentResult]) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("backend")
    for head in ("batch", "tokens", "energy (J)", "J/token", "tokens/s"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            printable(str(result.effective_config["model"])),
            result.backend,
            str(result.effective_config["batch_size"]),
            f"{result.total_tokens:,}",
            f"{result.total_energy_j:,.0f}",
            f"{result.avg_energy_per_token_j:.3f}",
            f"{result.avg_tokens_per_second:,.1f}",
        )
    return table


def _show_files(root: Path, record: Path, run: Synthetic) -> None:
    """Print the directories, one record, its power trace, how to load it, and the next commands."""
    lines, program = record.read_text(encoding="utf-8").splitlines(), _program()
    OUT.print("", _heading("On disk"), _tree(root))
    OUT.print("", _heading(printable(str(record))), *lines[:_SHOWN_LINES], wrap=False)
    OUT.print(
        f"  … and {plural(len(lines) - _SHOWN_LINES, 'more line')}",
        "",
        _heading(printable(str(record.with_name(_store.SIDECAR)))),
        _sparkline(run),
        wrap=False,
    )
    OUT.print(
        "",
        _heading("Load it"),
        "from llenergymeasure import ExperimentResult",
        f"result = ExperimentResult.from_json({str(record.parent)!r})",
        "print(result.total_energy_j, result.avg_energy_per_token_j)",
        "",
        _heading("Next"),
        f"{program} ls {quote(str(root))}",
        f"{program} show {quote(str(record.parent))}",
        f"{program} summary {quote(str(root))}",
        "",
        _heading(f"All of it is {NOTICE}."),
        wrap=False,
    )


def _program() -> str:
    """Return the command line that starts this program: `llem` if that is on PATH, else its path."""
    script = Path(sys.argv[0])
    if script.stem != "llem" or not script.is_file():
        script = Path(sys.executable).with_name("llem")
    if not script.is_file():
        return f"{quote(sys.executable)} -m llenergymeasure"
    on_path = which("llem")
    if on_path is not None and Path(on_path).samefile(script):
        return "llem"
    absolute = script.absolute()
    below = absolute.is_relative_to(Path.cwd())
    return quote(str(absolute.relative_to(Path.cwd()) if below else absolute))


def _tree(root: Path) -> Tree:
    from rich.text import Text  # noqa: PLC0415
    from rich.tree import Tree  # noqa: PLC0415

    directories = sorted(path for path in root.iterdir() if path.is_dir())
    tree = Tree(Text(f"{printable(str(root))}/"))
    for directory in directories[:_SHOWN_DIRECTORIES]:
        branch = tree.add(Text(f"{printable(directory.name)}/"))
        for file in sorted(directory.iterdir()):
            branch.add(Text(f"{printable(file.name):20} {human_bytes(file.stat().st_size):>9}"))
    more = len(directories) - _SHOWN_DIRECTORIES
    if more > 0:
        tree.add(Text(f"… and {more} more", style="dim"))
    return tree


def _sparkline(run: Synthetic) -> str:
    low, high = min(run.power_w), max(run.power_w)
    blocks = _ASCII_BLOCKS if OUT.console().options.ascii_only else _BLOCKS
    step = (high - low) / (len(blocks) - 1)
    line = "".join(blocks[round((power - low) / step)] for power in run.power_w)
    span = len(run.power_w) - 1
    return f"{line}\npower_w: {low:.0f} to {high:.0f} W over {span} s, {run.result.total_energy_j:,.0f} J"
