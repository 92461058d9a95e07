"""One run of `llem import`: its files, and the outcome of each record."""

from __future__ import annotations

import math
import time
from array import array
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from llenergymeasure._format import human_seconds, plural, printable
from llenergymeasure.cli.query.reading import shown_below
from llenergymeasure.cli.terminal.json import to_json
from llenergymeasure.cli.terminal.progress import Bar, progress_bar
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.errors import BulkSaveError, NotImportableError, PersistenceError, SaveInterrupted
from llenergymeasure.importers import NotImported, PowerLog, records
from llenergymeasure.results.store import ResultStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.types import ResultPath, TimeseriesSource


@dataclass
class Failure:
    """A file or a record that was not imported."""

    file: str
    line: int | None
    message: str


@dataclass
class FileOutcome:
    """One file: its format, and how many of its records became results."""

    file: str
    format: str | None = None
    imported: int = 0
    failed: int = 0


@dataclass
class Tally:
    """The object that `--json` prints."""

    output_dir: str
    imported: int = 0
    failed: int = 0
    without_energy: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    files: list[FileOutcome] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class Run:
    """One run of the command."""

    def __init__(self, output_dir: str, format_: str | None, power: PowerLog | None, *, redact: bool) -> None:
        """Begin a run."""
        self._store = ResultStore(output_dir)
        self._format, self._redact = format_, redact
        self._power = power
        self._began = time.perf_counter()
        self._firsts: list[int] = []
        """The index of the first result of each file."""
        self._lines = array("q")
        """The line of each result; 0 if it is alone in its file."""
        self._trace: TimeseriesSource | None = None
        self._ended = False
        self.tally = Tally(output_dir)

    def save_all(self, files: list[str], *, as_json: bool, quiet: bool) -> int:
        """Import the files, print the outcome, and return the exit status."""
        tally = self.tally
        with progress_bar("Importing", None, wanted=not quiet, rate=True, done="imported") as bar:
            try:
                results, traces = self._results(files, bar), self._traces()
                paths = self._store.save_many(results, timeseries_sources=traces, redact=self._redact)
                tally.imported = len(paths)
                tally.paths = [self._shown(path) for path in paths] if as_json else []
            except BulkSaveError as error:
                tally.imported, tally.paths = len(error.saved), list(map(self._shown, error.saved.values()))
                for index, reason in error.failed.items():
                    self._fail_saved(bar, index, reason)
            except SaveInterrupted as interrupt:
                tally.interrupted = True
                tally.imported, tally.paths = (
                    len(interrupt.saved),
                    list(map(self._shown, interrupt.saved.values())),
                )
        tally.seconds = time.perf_counter() - self._began
        self._finish(as_json=as_json, quiet=quiet)
        return 130 if tally.interrupted else int(bool(tally.failures))

    def _shown(self, path: ResultPath) -> str:
        return shown_below(self.tally.output_dir, self._store.root, path)

    def _results(self, files: list[str], bar: Bar) -> Iterator[ExperimentResult]:
        """Yield the result of each record that can be imported; report the others."""
        for name in files:
            outcome = FileOutcome(name)
            self.tally.files.append(outcome)
            self._firsts.append(len(self._lines))
            try:
                for item in records(name, self._format, power=self._power):
                    if isinstance(item, NotImported):
                        self._fail(bar, outcome, item.line, item.message)
                        continue
                    outcome.format = item.format.name
                    outcome.imported += 1
                    self._lines.append(item.imported.line or 0)
                    self._trace = item.trace
                    self.tally.without_energy += math.isnan(item.result.total_energy_j)
                    yield item.result
                    bar.advance(0, saved=1)
            except NotImportableError as error:
                self._fail(bar, outcome, None, str(error))
            except OSError as error:
                self._fail(bar, outcome, None, f"cannot be read: {error.strerror or error}")
        self._ended = True

    def _traces(self) -> Iterator[TimeseriesSource | None]:
        """Yield the power trace of the result that `_results` yielded last."""
        while not self._ended:
            yield self._trace

    def _fail(self, bar: Bar, outcome: FileOutcome, line: int | None, message: str) -> None:
        outcome.failed += 1
        self.tally.failed += 1
        self.tally.failures.append(Failure(outcome.file, line, message))
        where = printable(outcome.file) + ("" if line is None else f":{line}")
        bar.note(f"{where}: {printable(message)}")

    def _fail_saved(self, bar: Bar, index: int, error: Exception) -> None:
        """Report a result that could not be saved, or not completely."""
        outcome = self.tally.files[bisect_right(self._firsts, index) - 1]
        if not (isinstance(error, PersistenceError) and error.committed):
            outcome.imported -= 1
        self._fail(bar, outcome, self._lines[index] or None, str(error))

    def _finish(self, *, as_json: bool, quiet: bool) -> None:
        if as_json:
            OUT.write(to_json(asdict(self.tally)))
        if self.tally.interrupted:
            ERR.write(f"Interrupted: {self._summary()}\n")
        elif not quiet and not as_json:
            OUT.write(f"{self._summary()}\n")

    def _summary(self) -> str:
        tally = self.tally
        where = printable(tally.output_dir)
        if tally.imported:
            text = (
                f"{plural(tally.imported, 'result')} imported into {where} in {human_seconds(tally.seconds)}"
            )
        else:
            text = f"no result imported into {where}"
        if tally.failed:
            text += f"; {tally.failed:,} not imported"
        if tally.without_energy:
            text += f"; {tally.without_energy:,} without energy, which --power can add"
        return text
