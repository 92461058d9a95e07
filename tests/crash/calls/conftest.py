"""Operations of every kind, the calls that each makes, and what becomes of one whose call fails."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from llenergymeasure import ExperimentResult

if TYPE_CHECKING:
    Outcome = Any
    Saver = Any
    Span = Any
    Spans = Callable[[str], list[Span]]
    When = Literal["before", "at", "after"]

FILE = "a file"
STREAM = "arrow"
MARK = "getppid"
NO_IO = frozenset(
    """
    brk clone clone3 clock_nanosleep exit exit_group futex getpid getppid getrandom gettid madvise mmap
    mprotect mremap munmap prctl restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn
    sched_getaffinity sched_yield set_robust_list sigaltstack
    """.split()  # noqa: SIM905 - a word list reads best as words
)
"""Memory, threads, signals and names of processes: no part of what a store asks of a file system."""
TRANSFERS = ("read", "pread64", "write", "pwrite64", "writev", "copy_file_range", "sendfile", "splice")


@dataclass(frozen=True)
class Operation:
    """A way to save, with which engine, and the kind of each result's sidecar."""

    how: Literal["save", "save_many", "writer"]
    engine: str | None
    sources: tuple[str | None, ...]

    def __str__(self) -> str:
        return (
            f"{self.how}, {self.engine or {FILE: 'path', STREAM: 'stream', None: 'alone'}[self.sources[0]]}"
        )

    @property
    def is_single(self) -> bool:
        return self.how == "save"


OPERATIONS = [
    *(Operation("save", None, (source,)) for source in (None, FILE, STREAM)),
    Operation("save_many", "fsync", (None, FILE, STREAM) * 2),
    Operation("save_many", "syncfs", (None, FILE, STREAM) * 2),
    Operation("writer", "fsync", (None, FILE, STREAM) * 2),
    Operation("writer", "syncfs", (None, FILE, STREAM) * 2),
    Operation("writer", None, (None,)),
]


@pytest.fixture(scope="session", params=OPERATIONS, ids=str)
def operation(request: pytest.FixtureRequest) -> Operation:
    """Each way to save, in turn."""
    chosen: Operation = request.param
    return chosen


@dataclass(frozen=True)
class Step:
    """A system call of an operation that is left alone, and which of its name it is in its thread, from 1."""

    name: str
    nth: int
    about: str
    answer: str
    when: When
    """The commit; of many, the first."""

    def fault(self, kind: str) -> str | None:
        """Return what makes strace do it to this call; None where there is no such thing."""
        if kind.startswith("SIG"):
            return f"{self.name}:signal={kind}:when={self.nth}"
        if kind != "short":
            return f"{self.name}:error={kind}:when={self.nth}"
        # No byte is moved, but one is said to be: what a short write is, and a device that lies.
        moves = self.name in TRANSFERS and self.answer.isdigit() and int(self.answer) > 1
        return f"{self.name}:retval=1:when={self.nth}" if moves else None


class Runs:
    """Operations in fresh processes, each in a directory of its own."""

    def __init__(
        self, saver: Saver, spans: Spans, result: ExperimentResult, source: Path, scratch: Path
    ) -> None:
        self._saver = saver
        self._spans = spans
        self._scratch = scratch
        self._runs = itertools.count()
        self._clean: dict[Operation, Run] = {}
        self.source = source
        self.results = [result.model_copy(update={"experiment_id": str(n)}) for n in range(6)]

    def run(self, operation: Operation, fault: str | None = None) -> Run:
        """Do an operation, and one after it; all its calls are traced where nothing is to fail."""
        root = self._scratch / str(next(self._runs)) / "out"
        root.parent.mkdir()
        sources = [str(self.source) if source == FILE else source for source in operation.sources]
        job = {
            "root": str(root),
            "how": operation.how,
            "engine": operation.engine,
            "results": [result.model_dump_json() for result in self.results[: len(sources)]],
            "sources": sources,
            "next": True,
        }
        inject = () if fault is None else (fault,)
        outcome = self._saver.run(job, trace=True, inject=inject, watch="" if fault else "all")
        return Run(root, self.source, sources, outcome, self._spans(outcome.trace))

    def clean(self, operation: Operation) -> Run:
        """Return the run of an operation that is left alone."""
        if operation not in self._clean:
            clean = self.run(operation)
            assert clean.outcome.kind == "saved", clean.outcome
            self._clean[operation] = clean
        return self._clean[operation]


class Run:
    """What an operation said, did and left."""

    def __init__(
        self, root: Path, source: Path, sources: list[str | None], outcome: Outcome, spans: list[Span]
    ) -> None:
        self.root = root
        self._source = source
        self.sources = sources
        self.outcome = outcome
        self.spans = spans
        self.said = outcome.said
        self.saved = {int(n): Path(path) for n, path in self.said.get("saved", {}).items()}
        self.failed = {int(n): error for n, error in self.said.get("failed", {}).items()}
        unconfirmed = {int(n): Path(path) for n, path in self.said.get("unconfirmed", {}).items()}
        committed = {n: Path(error["result_path"]) for n, error in self.failed.items() if error["committed"]}
        self.records = self.saved | unconfirmed | committed

    def steps(self) -> Iterator[Step]:
        """The calls of the operation, by name and number; threads count for themselves."""
        counts: Counter[tuple[str, str]] = Counter()
        seen: set[tuple[str, int]] = set()
        inside = set(map(id, self.inside()))
        when: When = "before"
        for span in self.spans:
            counts[span.task, span.name] += 1
            nth = counts[span.task, span.name]
            if id(span) not in inside or span.name in NO_IO:
                continue
            commits = span.name.startswith(("rename", "link")) and '"result.json"' in span.arguments
            when = "after" if when != "before" else "at" if commits else "before"
            if (span.name, nth) not in seen:
                seen.add((span.name, nth))
                yield Step(span.name, nth, self._about(span.arguments), span.answer, when)

    def inside(self) -> list[Span]:
        """Return the calls between the marks."""
        first, last = (span.begins for span in self.spans if span.name == MARK)
        return [span for span in self.spans if first < span.begins < last]

    def _about(self, arguments: str) -> str:
        places = (
            ("the sidecar", "timeseries.parquet.tmp"),
            ("the source", str(self._source)),
            ("the record", "result.json"),
            ("the claim", f"{self.root}/"),
            ("the claim", f'<{self.root}>, "'),
            ("the output directory", str(self.root)),
            ("its parent", str(self.root.parent)),
        )
        return next((about for about, text in places if text in arguments), "the system")

    def was_hit(self, kind: str) -> bool:
        """Whether the fault came to pass: the threads of an engine share the work out anew each time."""
        if kind.startswith("SIG"):
            return f"--- {kind} " in self.outcome.trace or f"killed by {kind}" in self.outcome.trace
        return any(span.injected for span in self.spans)


@pytest.fixture(scope="session")
def runs(
    traced: Saver,
    spans: Spans,
    result: ExperimentResult,
    parquet: Path,
    saver_of: Callable[[str], Saver],
    tmp_path_factory: pytest.TempPathFactory,
) -> Runs:
    """Operations whose calls can be made to fail."""
    assert traced
    return Runs(saver_of("calls/operation.py"), spans, result, parquet, tmp_path_factory.mktemp("runs"))
