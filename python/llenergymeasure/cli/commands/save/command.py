"""`llem save`: save results from files and directories into a store."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from llenergymeasure._format import human_bytes, human_seconds, plural, printable
from llenergymeasure.cli.commands.save.directories import Already, Directories, StoredRecord
from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.options import (
    FollowLinks,
    Where,
    check_directory,
    check_path,
    given,
    is_url,
    local,
)
from llenergymeasure.cli.query.reading import shown_below
from llenergymeasure.cli.terminal.input import (
    STDIN,
    InputError,
    NotAResultError,
    Record,
    parse,
    read_records,
    total_size,
)
from llenergymeasure.cli.terminal.interrupt import Interrupt
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.progress import Bar, progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.errors import PersistenceError, SidecarError
from llenergymeasure.results._paths import absolute
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llenergymeasure.results.writer import Writer
    from llenergymeasure.types import ResultPath

Input: TypeAlias = "Record | Already | InputError"

_PATIENCE = 0.15
"""Seconds to wait for running saves after a second Ctrl-C."""


def save(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|DIR",
            callback=given,
            show_default=False,
            help="Results: JSON, one per file, or JSON Lines, one per line; - is standard input. Results of "
            "a directory, at any depth, are copied with their power traces.",
        ),
    ],
    output_dir: Annotated[
        str,
        typer.Option(
            "--output-dir",
            "-o",
            metavar="DIR",
            show_default=False,
            callback=given,
            help="The root of the store.",
        ),
    ],
    timeseries: Annotated[
        str | None,
        typer.Option(metavar="FILE", callback=local, help="The power trace (Parquet) of a single result."),
    ] = None,
    with_sidecars: Annotated[
        bool,
        typer.Option(
            "--with-sidecars",
            help="Also save the power trace next to each file: x.parquet for x.json, "
            "and timeseries.parquet for result.json.",
        ),
    ] = False,
    where: Where = [],
    follow_links: FollowLinks = False,
    print_paths: Annotated[
        bool, typer.Option("--print-paths", help="Print the path of each saved result, one per line.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object that lists saved results and failures.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress bar and no summary, only errors.")
    ] = False,
) -> int:
    """Save results durably, each in a directory of its own.

    A result that cannot be read or saved is reported on standard error, and does
    not stop the others. A result that counts as saved survives a power cut. A
    result of a directory is skipped if the store has the same record, so that an
    interrupted copy can be repeated.

    Exit status: 0 all saved, 1 some not, 2 wrong usage, 130 interrupted.
    """
    _check_usage(
        files,
        output_dir,
        timeseries,
        where,
        with_sidecars=with_sidecars,
        two_outputs=print_paths and as_json,
    )
    run = _Run(output_dir, print_paths=print_paths, follow_links=follow_links)
    records: Iterable[Input] = run.read(files, where, with_sidecars=with_sidecars)
    # Paths on a terminal show progress, and would break the bar.
    bar_wanted = not quiet and not (print_paths and OUT.is_terminal)
    with (
        Interrupt() as interrupt,
        progress_bar("Saving", total_size(files), wanted=bar_wanted, rate=True) as bar,
    ):
        try:
            if timeseries is not None:
                records = _with_timeseries(records, timeseries)
            with _warnings_as_notes(run, bar):
                run.save_all(records, bar, interrupt)
        except KeyboardInterrupt:
            run.tally.interrupted = True
    run.finish(as_json=as_json, quiet=quiet)
    if run.tally.under_way:
        # A normal exit would wait for saves that the user gave up on.
        os._exit(run.status)
    return run.status


def _check_usage(
    files: list[str],
    output_dir: str,
    timeseries: str | None,
    where: list[str],
    *,
    with_sidecars: bool,
    two_outputs: bool,
) -> None:
    if files.count(STDIN) > 1:
        raise UsageError("- (standard input) can be read only once")
    if two_outputs:
        raise UsageError(
            "--print-paths and --json both write to standard output; use --json, which has the paths"
        )
    check_directory(output_dir, "--output-dir", may_be_missing=True)
    if where and (file := next((name for name in files if not _is_directory(name)), None)):
        raise UsageError(f"--where selects results of a directory, got the file {file}")
    if timeseries is None:
        return
    if with_sidecars:
        raise UsageError("--timeseries and --with-sidecars cannot be used together")
    if directory := next((name for name in files if _is_directory(name)), None):
        raise UsageError(f"--timeseries expects one result in a file, got the directory {directory}")
    check_path(timeseries, "--timeseries")
    if not Path(timeseries).is_file():
        raise UsageError(f"--timeseries {timeseries} is not a file")


def _is_directory(name: str) -> bool:
    return name != STDIN and (is_url(name) or os.path.isdir(name))  # noqa: PTH112 - Path("") is the working directory


def _with_timeseries(records: Iterable[Input], timeseries: str) -> list[Input]:
    """Give the trace to the only record; several records are wrong usage."""
    taken: list[Input] = []
    is_first = True
    for record in records:
        if isinstance(record, Record):
            if not is_first:
                raise UsageError("--timeseries expects one result, got several")
            is_first = False
            taken.append(Record(record.position, record.content, Path(timeseries)))
        else:
            taken.append(record)
    return taken


@contextmanager
def _warnings_as_notes(run: _Run, bar: Bar) -> Iterator[None]:
    """Report each warning of the package as one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: run.warn(bar, str(message))
        yield


@dataclass
class _Failure:
    source: str
    line: int | None
    message: str
    saved_path: str | None = None


@dataclass
class _Skip:
    source: str
    reason: str


@dataclass
class _Tally:
    """The object that `--json` prints; `saved` counts `paths`, with those that have a failure of their own.

    `skipped` counts results of directories that the store has already. `traces_not_given` counts records of
    files that name a power trace for which no file was given.
    """

    output_dir: str
    saved: int = 0
    skipped: int = 0
    failed: int = 0
    without_sidecar: int = 0
    traces_not_given: int = 0
    unconfirmed: int = 0
    under_way: int = 0
    bytes: int = 0
    seconds: float = 0.0
    results_per_second: float = 0.0
    interrupted: bool = False
    paths: list[str] = field(default_factory=list)
    failures: list[_Failure] = field(default_factory=list)
    skips: list[_Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class _Run:
    """One run of the command, with the outcome of each record."""

    def __init__(self, output_dir: str, *, print_paths: bool, follow_links: bool) -> None:
        self._output_dir = output_dir
        self._store = ResultStore(output_dir)
        self._directories = Directories(self._store, follow_links=follow_links)
        self._writer: Writer | None = None
        self._print_paths = print_paths
        self._began = time.perf_counter()
        # Records in the order of the input, each with its outcome.
        self._line: deque[tuple[Record | InputError, Future[ResultPath]]] = deque()
        self._lock = threading.RLock()
        self._gave_up = False
        self.tally = _Tally(output_dir)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.tally.interrupted:
            return 130
        return 1 if self.tally.failures else 0

    def read(self, files: list[str], where: list[str], *, with_sidecars: bool) -> Iterator[Input]:
        """Read the records of each file and directory in turn."""
        for name in files:
            if not _is_directory(name):
                yield from read_records([name], with_sidecars=with_sidecars)
                continue
            if self._directories.is_used and self._writer is not None:
                # The next directory may have the same records.
                self._writer.flush()
            yield from self._directories.read(name, where)

    def save_all(self, records: Iterable[Input], bar: Bar, interrupt: Interrupt) -> None:
        """Save all records, and report failures; an interrupt waits for running saves."""
        self._writer = writer = self._store.writer(on_error="ignore")
        try:
            try:
                for record in records:
                    with interrupt.step():
                        self._take(record, writer, bar)
            finally:
                with interrupt.step():
                    writer.close()
        finally:
            if self._line:
                # A second Ctrl-C: undo unfinished saves if that is quick.
                self._gave_up = True
                writer._abandon(_PATIENCE)  # noqa: SLF001 - no other caller gives up on results
            with self._lock:
                self.tally.under_way = len(self._line)

    def _take(self, record: Input, writer: Writer, bar: Bar) -> None:
        """Submit a record; outcomes are reported in the order of the input."""
        future: Future[ResultPath] = Future()
        if isinstance(record, Already):
            self.tally.skipped += 1
            self.tally.skips.append(_Skip(record.position.source, record.reason))
            return
        if isinstance(record, StoredRecord):
            future = writer._submit(record.found.encoded, record.sidecar)  # noqa: SLF001 - no other caller copies
        elif isinstance(record, Record):
            try:
                result = parse(record)
                self.tally.traces_not_given += result.timeseries is not None and record.sidecar is None
                future = writer.submit(result, record.sidecar)
            except NotAResultError as error:
                future.set_exception(error)
        elif record.is_loss:
            future.set_exception(NotAResultError(record.message))
        else:
            self.warn(bar, f"{record.position}: {record.message}")
            return
        with self._lock:
            self._line.append((record, future))
        future.add_done_callback(lambda _: self._report(bar))

    def _report(self, bar: Bar) -> None:
        """Report each finished record that is next in order; runs in the thread of the save."""
        with self._lock:
            while self._line and self._line[0][1].done() and not self._gave_up:
                record, future = self._line.popleft()
                saved = self._account(record, future, bar)
                if isinstance(record, Record):
                    bar.advance(len(record.content), saved=saved)

    def _account(self, record: Record | InputError, future: Future[ResultPath], bar: Bar) -> bool:
        error = future.exception()
        if error is None:
            self._saved(future.result())
            if isinstance(record, StoredRecord):
                self._directories.note_saved(record)
            return True
        path = error.result_path if isinstance(error, PersistenceError) else None
        saved = None if path is None else self._saved(absolute(path))
        self._fail(bar, record, str(error), saved)
        if saved is None:
            return False
        if isinstance(error, SidecarError):
            self.tally.without_sidecar += 1
        else:
            self.tally.unconfirmed += 1
        return True

    def _saved(self, path: ResultPath) -> str:
        """Count a result that is in place, and return its path below the typed directory."""
        shown = shown_below(self._output_dir, self._store.root, path)
        self.tally.saved += 1
        self.tally.paths.append(shown)
        if isinstance(path, Path):
            with suppress(OSError):  # another program may move the result at once
                self.tally.bytes += sum(entry.stat().st_size for entry in os.scandir(path.parent))
        if self._print_paths:
            OUT.write(f"{printable(shown)}\n" if OUT.is_terminal else os.fsencode(shown) + b"\n")
        return shown

    def _fail(self, bar: Bar, origin: Record | InputError, message: str, saved: str | None = None) -> None:
        if saved is None:
            self.tally.failed += 1
        self.tally.failures.append(_Failure(origin.position.source, origin.position.line, message, saved))
        bar.note(f"{origin.position}: {printable(message)}")

    def warn(self, bar: Bar, message: str) -> None:
        """Report a warning."""
        self.tally.warnings.append(message)
        bar.note(f"warning: {printable(message)}")

    def finish(self, *, as_json: bool, quiet: bool) -> None:
        """Print the outcome of the run."""
        tally = self.tally
        tally.seconds = time.perf_counter() - self._began
        tally.results_per_second = tally.saved / tally.seconds
        if as_json:
            OUT.write(to_json(asdict(tally)))
        if tally.interrupted:
            ERR.write(f"Interrupted: {self._summary()}\n")
        elif not quiet and not as_json:
            (ERR if self._print_paths else OUT).write(f"{self._summary()}\n")

    def _summary(self) -> str:
        tally = self.tally
        where = printable(tally.output_dir)
        if tally.saved:
            text = (
                f"{plural(tally.saved, 'result')} saved in {where}: {human_bytes(tally.bytes)} "
                f"in {human_seconds(tally.seconds)}, {tally.results_per_second:,.0f} results/s"
            )
        else:
            text = f"no result saved in {where}"
        for count, what in (
            (tally.skipped, "skipped, which it has already"),
            (tally.failed, "not saved"),
            (tally.without_sidecar, "without its sidecar"),
            (tally.unconfirmed, "whose flush failed"),
            (tally.under_way, "still running at the second interrupt"),
        ):
            if count:
                text += f"; {count:,} {what}"
        if count := tally.traces_not_given:
            text += (
                f"; {plural(count, 'record')} {'names' if count == 1 else 'name'} a power trace that was not "
                "given (--timeseries, --with-sidecars)"
            )
        return text
