"""One run of `llem save`: its records, and the outcome of each."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from llenergymeasure._format import human_bytes, human_seconds, plural, printable
from llenergymeasure.cli.commands.save.directories import Already, Directories, StoredRecord
from llenergymeasure.cli.query.options import is_url
from llenergymeasure.cli.query.reading import shown_below
from llenergymeasure.cli.terminal.input import (
    STDIN,
    InputError,
    NotAResultError,
    Record,
    parse,
    read_records,
)
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.errors import PersistenceError, SidecarError
from llenergymeasure.results._paths import absolute
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llenergymeasure.cli.terminal.interrupt import Interrupt
    from llenergymeasure.cli.terminal.progress import Bar
    from llenergymeasure.results.writer import Writer
    from llenergymeasure.types import ResultPath

__all__ = ["Input", "Run", "is_directory"]

Input: TypeAlias = "Record | Already | InputError"

_PATIENCE = 0.15
"""Seconds to wait for running saves after a second Ctrl-C."""


def is_directory(name: str) -> bool:
    """Return True for the root of a store, and not a file or standard input."""
    return name != STDIN and (is_url(name) or os.path.isdir(name))  # noqa: PTH112 - Path("") is the working directory


@dataclass
class Failure:
    """A record that was not saved, or not completely."""

    source: str
    line: int | None
    message: str
    saved_path: str | None = None


@dataclass
class Skip:
    """A result that the store has already."""

    source: str
    reason: str


@dataclass
class Tally:
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
    failures: list[Failure] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Run:
    """One run of the command, with the outcome of each record."""

    def __init__(self, output_dir: str, *, print_paths: bool, follow_links: bool, redact: bool) -> None:
        """Begin a run."""
        self._output_dir = output_dir
        self._store = ResultStore(output_dir)
        self._directories = Directories(self._store, follow_links=follow_links, redact=redact)
        self._redact = redact
        self._writer: Writer | None = None
        self._print_paths = print_paths
        self._began = time.perf_counter()
        # Records in the order of the input, each with its outcome.
        self._line: deque[tuple[Record | InputError, Future[ResultPath]]] = deque()
        self._lock = threading.RLock()
        self._gave_up = False
        self.tally = Tally(output_dir)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.tally.interrupted:
            return 130
        return 1 if self.tally.failures else 0

    def read(self, files: list[str], where: list[str], *, with_sidecars: bool) -> Iterator[Input]:
        """Read the records of each file and directory in turn."""
        for name in files:
            if not is_directory(name):
                yield from read_records([name], with_sidecars=with_sidecars)
                continue
            if self._directories.is_used and self._writer is not None:
                # The next directory may have the same records.
                self._writer.flush()
            yield from self._directories.read(name, where)

    def save_all(self, records: Iterable[Input], bar: Bar, interrupt: Interrupt) -> None:
        """Save all records, and report failures; an interrupt waits for running saves."""
        self._writer = writer = self._store.writer(on_error="ignore", redact=self._redact)
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
            self.tally.skips.append(Skip(record.position.source, record.reason))
            return
        if isinstance(record, StoredRecord):
            future = writer._submit(record.found.encoded, record.sidecar, redact=False)  # noqa: SLF001 - as it was read
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
        self.tally.failures.append(Failure(origin.position.source, origin.position.line, message, saved))
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
