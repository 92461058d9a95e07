"""Operations of every kind, their system calls, and their runs with a fault."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llenergymeasure import ExperimentResult

from .saver import Outcome, Saver
from .tracing import MARK, Span, spans_of

When = Literal["before", "at", "after"]

FILE = "a file"
STREAM = "arrow"
NO_IO = frozenset(
    """
    brk clone clone3 clock_nanosleep exit exit_group futex getpid getppid getrandom gettid madvise mmap
    mprotect mremap munmap prctl restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn
    sched_getaffinity sched_yield set_robust_list sigaltstack
    """.split()  # noqa: SIM905 - a word list reads best as words
)
"""Calls about memory, threads, signals and processes, not about files."""
TRANSFERS = ("read", "pread64", "write", "pwrite64", "writev", "copy_file_range", "sendfile", "splice")


@dataclass(frozen=True)
class Operation:
    """A way to save, its flush method, and the kind of each result's source."""

    how: Literal["save", "save_many", "writer"]
    flush_method: str | None
    sources: tuple[str | None, ...]

    def __str__(self) -> str:
        source = {FILE: "path", STREAM: "stream", None: "without sidecar"}[self.sources[0]]
        return f"{self.how}, {self.flush_method or source}"

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


@dataclass(frozen=True)
class Step:
    """A system call of an undisturbed operation, and its number of its name in its thread, from 1."""

    name: str
    nth: int
    about: str
    answer: str
    when: When
    """The position relative to the commit; of many, to the first."""

    def fault(self, kind: str) -> str | None:
        """Return the fault for strace to inject into this call; None if the kind does not apply."""
        if kind.startswith("SIG"):
            return f"{self.name}:signal={kind}:when={self.nth}"
        if kind != "short":
            return f"{self.name}:error={kind}:when={self.nth}"
        # The call reports one byte and moves none, as a short write or a device that lies.
        moves = self.name in TRANSFERS and self.answer.isdigit() and int(self.answer) > 1
        return f"{self.name}:retval=1:when={self.nth}" if moves else None


class Runs:
    """Operations in fresh processes, each in its own directory."""

    def __init__(self, saver: Saver, result: ExperimentResult, source: Path, scratch: Path) -> None:
        self._saver = saver
        self._scratch = scratch
        self._runs = itertools.count()
        self._clean: dict[Operation, Run] = {}
        self.source = source
        self.results = [result.model_copy(update={"experiment_id": str(n)}) for n in range(6)]

    def run(self, operation: Operation, fault: str | None = None) -> Run:
        """Do an operation, and another one after it; without a fault, trace all its calls."""
        root = self._scratch / str(next(self._runs)) / "out"
        root.parent.mkdir()
        sources = [str(self.source) if source == FILE else source for source in operation.sources]
        job = {
            "root": str(root),
            "how": operation.how,
            "flush_method": operation.flush_method,
            "results": [result.model_dump_json() for result in self.results[: len(sources)]],
            "sources": sources,
            "next": True,
        }
        inject = () if fault is None else (fault,)
        outcome = self._saver.run(job, trace=True, inject=inject, watch="" if fault else "all")
        return Run(root, self.source, sources, outcome, spans_of(outcome.trace))

    def clean(self, operation: Operation) -> Run:
        """Return the run of an undisturbed operation."""
        if operation not in self._clean:
            clean = self.run(operation)
            assert clean.outcome.kind == "saved", clean.outcome
            self._clean[operation] = clean
        return self._clean[operation]


class Run:
    """The reply of an operation, its calls, and its records."""

    def __init__(
        self, root: Path, source: Path, sources: list[str | None], outcome: Outcome, spans: list[Span]
    ) -> None:
        self.root = root
        self._source = source
        self.sources = sources
        self.outcome = outcome
        self.spans = spans
        self.reply = outcome.reply
        self.saved = {int(n): Path(path) for n, path in self.reply.get("saved", {}).items()}
        self.failed = {int(n): error for n, error in self.reply.get("failed", {}).items()}
        unconfirmed = {int(n): Path(path) for n, path in self.reply.get("unconfirmed", {}).items()}
        committed = {n: Path(error["result_path"]) for n, error in self.failed.items() if error["committed"]}
        self.records = self.saved | unconfirmed | committed

    def steps(self) -> Iterator[Step]:
        """Yield the calls of the operation, by name and number; each thread counts its own."""
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
            ("the root", str(self.root)),
            ("its parent", str(self.root.parent)),
        )
        return next((about for about, text in places if text in arguments), "the system")

    def was_hit(self, kind: str) -> bool:
        """Return whether the fault occurred: the threads of the store share the work anew in each run."""
        if kind.startswith("SIG"):
            return f"--- {kind} " in self.outcome.trace or f"killed by {kind}" in self.outcome.trace
        return any(span.injected for span in self.spans)
