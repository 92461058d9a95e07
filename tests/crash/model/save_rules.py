"""The rules that save, in this process and in processes that crash."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from llenergymeasure import BulkSaveError, ExperimentResult, PersistenceError, ResultStore, SidecarError
from llenergymeasure.results.persistence import _experiment_dir_name

if TYPE_CHECKING:
    Workspace = Any

RECORD, SIDECAR = "result.json", "timeseries.parquet"
TEMPORARY = {".result.json.tmp", ".timeseries.parquet.tmp"}
STORED = ("none", "file", "arrow")
"""Kinds of sources that become sidecars."""
KINDS = (*STORED, "gone", "broken", "invalid")
CALLS = {"save": (0, 75), "save_many": (25, 185), "writer": (135, 210)}
"""The approximate stops at system calls of a process, and the additional ones per result."""
CALLS_OF_A_CLEANER = 300
MOST_BYTES = 3000
"""The approximate size of a file in these tests."""

RESULTS = st.fixed_dictionaries(
    {
        # Few names, so that they collide.
        "model": st.sampled_from(["gpt2", "gpt2", "org/Mo:del", None]),
        "backend": st.sampled_from(["pytorch", "pytorch", "vllm"]),
        "energy": st.floats(allow_nan=False),
        "tokens": st.integers(-(2**80), 2**80),
        "notes": st.none() | st.text(max_size=9) | st.lists(st.floats(allow_nan=False), max_size=3),
        "timeseries": st.sampled_from([None, None, None, SIDECAR]),
    }
)
JOBS = st.lists(st.tuples(RESULTS, st.sampled_from((*STORED, *KINDS))), min_size=1, max_size=5)
ROOTS = st.sampled_from(["store", "store", "store", "store/study", "outside"])
FLUSH_METHODS = st.sampled_from([None, "fsync", "syncfs"])
VERBS = st.sampled_from(["save", "save_many", "writer"])
CRASHING_JOBS = st.lists(st.tuples(RESULTS, st.sampled_from(STORED)), min_size=1, max_size=4)
ENDS = st.integers(0, 1000)
"""The moment of a crash, in thousandths of the work."""
AT = st.sampled_from(["call", "call", "byte"])
HOW = st.fixed_dictionaries({"durable": st.booleans(), "flush_method": FLUSH_METHODS, "root": ROOTS})


@contextlib.contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the warnings of a block."""
    warned: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield warned
    warned += [str(warning.message) for warning in caught]


class SaveRules(RuleBasedStateMachine):
    """Rules that save, and expect the acknowledged results."""

    workspace: Workspace

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, set[str]] = {}
        """The directories of the last saves under a name."""

    @initialize(jobs=JOBS, how=HOW, crashing=CRASHING_JOBS, verb=VERBS, end=ENDS, at=AT)
    def begin(
        self, jobs: list[Any], how: dict[str, Any], crashing: list[Any], verb: str, end: int, at: str
    ) -> None:
        """Begin with results and leftovers of a crash, without which most rules do nothing."""
        self.save_many(jobs, how)
        self.crash(verb, crashing, how, end, at)

    @rule(fields=RESULTS, kind=st.sampled_from(KINDS), how=HOW)
    def save(self, fields: dict[str, Any], kind: str, how: dict[str, Any]) -> None:
        result = self.workspace.make(fields, kind)
        reply: object = None
        path: Path | None = None
        with collect_warnings() as warned:
            try:
                path = self._store(how).save(
                    result, self.workspace.sources[kind].given, durable=how["durable"]
                )
            except (SidecarError, ValueError) as error:
                reply = error
                path = self._committed(error)
        assert isinstance(reply, {"broken": SidecarError, "invalid": ValueError}.get(kind, type(None))), reply
        assert [("does not exist" in warning) for warning in warned] == [True] * (kind == "gone")
        self._expect_saved(how["root"], [(path, result, kind)])
        self.workspace.count("save", kind)

    @rule(jobs=JOBS, how=HOW)
    def save_many(self, jobs: list[Any], how: dict[str, Any]) -> None:
        results, kinds, given = self._taken(jobs)
        errors: dict[int, Exception] = {}
        with collect_warnings() as warned:
            try:
                saved = self._store(how).save_many(results, timeseries_sources=given, durable=how["durable"])
                paths = dict(enumerate(saved))
            except BulkSaveError as error:
                paths, errors = error.saved, error.failed
        gone = kinds.count("gone")
        assert len(warned) == bool(gone)
        assert all(f"{gone} of {len(jobs)}" in reply for reply in warned)
        self._expect_outcomes(how["root"], results, kinds, paths, errors)
        self.workspace.count("save_many", "some failed" if errors else "all saved")

    @rule(jobs=JOBS, flushed=st.integers(0, 4), how=HOW)
    def write(self, jobs: list[Any], flushed: int, how: dict[str, Any]) -> None:
        """Submit some results, flush, submit the others, and close."""
        results, kinds, given = self._taken(jobs)
        futures: list[Future[Path]] = []
        failed: dict[int, Exception] = {}
        with collect_warnings() as warned, self._store(how).writer(durable=how["durable"]) as writer:
            for until, end in ((flushed, writer.flush), (len(jobs), writer.close)):
                first = len(futures)
                futures += map(writer.submit, results[first:until], given[first:until])
                since: dict[int, Exception] = {}
                try:
                    end()
                except BulkSaveError as error:
                    since |= error.failed
                assert all(first <= index < len(futures) for index in since)
                assert all(future.done() for future in futures)
                failed |= since
        assert len(warned) == kinds.count("gone")
        outcomes = [future.exception() for future in futures]
        assert failed == {n: outcome for n, outcome in enumerate(outcomes) if outcome is not None}
        paths = {n: future.result() for n, future in enumerate(futures) if n not in failed}
        self._expect_outcomes(how["root"], results, kinds, paths, failed)
        self.workspace.count("write", "some failed" if failed else "all saved")

    @rule(fields=st.lists(RESULTS, min_size=2, max_size=3), how=HOW)
    def save_next_to_failing_saves(self, fields: list[dict[str, Any]], how: dict[str, Any]) -> None:
        blocked = ResultStore(self.workspace.top / "store" / "blocked.txt" / "results")
        results = [self.workspace.make(each) for each in fields]
        with self._store(how).writer(durable=how["durable"]) as writer:
            future = writer.submit(results[0])
            with pytest.raises(PersistenceError) as refused:
                blocked.save(results[1])
            with pytest.raises(BulkSaveError) as all_refused:
                blocked.save_many(results)
        errors = [refused.value, *all_refused.value.failed.values()]
        assert all_refused.value.saved == {}
        assert len(errors) == 1 + len(results)
        assert all(isinstance(error, PersistenceError) and not error.committed for error in errors)
        self._expect_saved(how["root"], [(future.result(), results[0], "none")])
        self.workspace.count("save", "next to failing saves")

    @rule(verb=VERBS, jobs=CRASHING_JOBS, how=HOW, end=ENDS, at=AT)
    def crash(self, verb: str, jobs: list[Any], how: dict[str, Any], end: int, at: str) -> None:
        """Save in a process that crashes at a system call, or at a byte of a file."""
        crasher = self.workspace.crasher
        results, kinds, given = self._taken(jobs)
        first, each = CALLS[verb]
        at_a_call = at == "call" and crasher.can_trace
        answer = crasher.run(
            verb,
            self.workspace.top / how["root"],
            results,
            ["arrow" if kind == "arrow" else source for kind, source in zip(kinds, given, strict=True)],
            durable=how["durable"],
            flush_method=how["flush_method"],
            calls=1 + end * (first + each * len(jobs)) // 1000 if at_a_call else None,
            most_bytes=None if at_a_call else end * MOST_BYTES // 1000,
        )
        assert answer["end"] <= 0
        assert all(isinstance(reply, list) for reply in answer["reply"]), answer
        acknowledged = {self.workspace.expected.relative(Path(path).parent): n for n, path in answer["reply"]}
        assert len(acknowledged) == len(answer["reply"])
        assert answer["end"] < 0 or len(acknowledged) == len(jobs)
        self._expect_crash(how["root"], list(zip(results, kinds, strict=True)), acknowledged)
        self.workspace.count("crash", verb if answer["end"] else "finished before")

    @rule(end=ENDS)
    def crash_cleaner(self, end: int) -> None:
        expected, crasher = self.workspace.expected, self.workspace.crasher
        if not crasher.can_trace:
            return
        leftovers = {path for path in expected.leftovers("store") if not expected.has_foreign_files(path)}
        calls = 1 + end * CALLS_OF_A_CLEANER // 1000
        answer = crasher.run("clean", self.workspace.top / "store", [], [], calls=calls)
        assert answer["reply"] == []
        found = expected.found()
        for path in expected.tree.keys() - found.keys():
            assert any(path == taken or path.startswith(f"{taken}/") for taken in leftovers), path
            del expected.tree[path]
        for path in found.keys() - expected.tree.keys():
            assert "/.trash-" in path
            expected.tree[path] = found[path]
        self.workspace.count("crash", "clean" if answer["end"] else "finished before")

    def _store(self, how: dict[str, Any]) -> ResultStore:
        store = ResultStore(self.workspace.top / how["root"])
        store._flush_method = how["flush_method"]
        return store

    def _taken(self, jobs: list[Any]) -> tuple[list[ExperimentResult], list[str], list[Any]]:
        """Return the results of jobs, the kinds of their sources, and the sources."""
        kinds = [kind for _, kind in jobs]
        results = [self.workspace.make(fields, kind) for fields, kind in jobs]
        return results, kinds, [self.workspace.sources[kind].given for kind in kinds]

    def _expect_outcomes(
        self,
        root: str,
        results: list[ExperimentResult],
        kinds: list[str],
        paths: dict[int, Path],
        errors: dict[int, Exception],
    ) -> None:
        """Expect the outcomes of many saves, which cover every result."""
        assert sorted([*paths, *errors]) == list(range(len(results)))
        for n, error in errors.items():
            assert kinds[n] == ("broken" if isinstance(error, SidecarError) else "invalid"), error
        there = paths | {
            n: path for n, error in errors.items() if (path := self._committed(error)) is not None
        }
        self._expect_saved(root, [(there.get(n), result, kinds[n]) for n, result in enumerate(results)])

    @staticmethod
    def _committed(error: Exception) -> Path | None:
        """Return the path of a result that a failed save committed."""
        path = error.result_path if isinstance(error, PersistenceError) else None
        return None if path is None else Path(path)

    def _expect_saved(self, root: str, saved: list[tuple[Path | None, ExperimentResult, str]]) -> None:
        """Expect acknowledged results, each under a free name, without a gap in the numbers."""
        expected = self.workspace.expected
        before = set(expected.tree)
        names: dict[str, set[str]] = {}
        for path, result, kind in saved:
            assert (path is None) == (kind == "invalid")
            if path is None:
                continue
            assert path.name == RECORD
            directory = expected.relative(path.parent)
            assert directory not in expected.tree, "the save used a taken name"
            base = f"{root}/{_experiment_dir_name(result)}"
            assert is_numbered(directory, base)
            names.setdefault(base, set()).add(directory)
            expected.saved(directory, result, self.workspace.sources[kind].trace)
        for base, given in names.items():
            for directory in given - {base}:
                number = int(directory.removeprefix(f"{base}_"))
                assert (f"{base}_{number - 1}" if number > 1 else base) in expected.tree, (
                    "the save skipped a number"
                )
            if base not in before and not self._last.get(base, set()) & before:
                assert base in given, "the save did not restart a name without directories"
            self._last[base] = given

    def _expect_crash(
        self, root: str, jobs: list[tuple[ExperimentResult, str]], acknowledged: dict[str, int]
    ) -> None:
        """Expect the acknowledged results of a crashed process; others may exist, or be leftovers."""
        expected = self.workspace.expected
        found = expected.found()
        assert {path: found.get(path, "gone") for path in expected.tree} == expected.tree
        made = found.keys() - expected.tree.keys()
        ids = [result.experiment_id for result, _ in jobs]
        bases = [f"{root}/{_experiment_dir_name(result)}" for result, _ in jobs]
        records = dict(acknowledged)
        for directory in {path for path in made if found[path] is None and path.startswith(f"{root}/")}:
            assert any(is_numbered(directory, base) for base in bases)
            within = {path.rpartition("/")[2] for path in made if path.startswith(f"{directory}/")}
            assert within <= {RECORD, SIDECAR, *TEMPORARY}
            if RECORD not in within:
                self.workspace.count("crash", "left leftovers")
            elif directory not in acknowledged:
                loaded = ExperimentResult.from_json(self.workspace.top / directory, missing_sidecar="ignore")
                records[directory] = ids.index(loaded.experiment_id)
                self.workspace.count("crash", "left a result that was not acknowledged")
        assert len(set(records.values())) == len(records), "a result exists twice"
        # The invariant detects other entries next to a complete result, and wrong bytes.
        for path in made:
            if path not in records and path.rpartition("/")[0] not in records:
                expected.tree[path] = found[path]
        for directory, index in records.items():
            result, kind = jobs[index]
            expected.saved(directory, result, self.workspace.sources[kind].trace)


def is_numbered(directory: str, base: str) -> bool:
    """Return whether a directory has a base name, or that name with a number."""
    return re.fullmatch(re.escape(base) + r"(_[1-9]\d*)?", directory) is not None
