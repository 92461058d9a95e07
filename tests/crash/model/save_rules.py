"""The part of the machine that saves, in processes that live and in such that die."""

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
    Place = Any

RECORD, SIDECAR = "result.json", "timeseries.parquet"
TEMPORARY = {".result.json.tmp", ".timeseries.parquet.tmp"}
STORED = ("none", "file", "arrow")
"""Kinds of sources that go where they should."""
KINDS = (*STORED, "gone", "broken", "unfit")
CALLS = {"save": (0, 75), "save_many": (25, 185), "writer": (135, 210)}
"""About how many stops at system calls a process has, and how many more for each result."""
CALLS_OF_A_CLEANER = 300
MOST_BYTES = 3000
"""About as much as a file of these tests has."""

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
ENGINES = st.sampled_from([None, "fsync", "syncfs"])
VERBS = st.sampled_from(["save", "save_many", "writer"])
DOOMED = st.lists(st.tuples(RESULTS, st.sampled_from(STORED)), min_size=1, max_size=4)
ENDS = st.integers(0, 1000)
"""When a process dies: after how many thousandths of its work."""
AT = st.sampled_from(["call", "call", "byte"])
HOW = st.fixed_dictionaries({"durable": st.booleans(), "engine": ENGINES, "root": ROOTS})


@contextlib.contextmanager
def hearing() -> Iterator[list[str]]:
    """Take in the warnings of a block."""
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield heard
    heard += [str(warning.message) for warning in caught]


class Saving(RuleBasedStateMachine):
    """Saves, and expects what was acknowledged."""

    place: Place

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, set[str]] = {}
        """The directories that the last saves under a name were given."""

    @initialize(jobs=JOBS, how=HOW, doomed=DOOMED, verb=VERBS, end=ENDS, at=AT)
    def begin(
        self, jobs: list[Any], how: dict[str, Any], doomed: list[Any], verb: str, end: int, at: str
    ) -> None:
        """Begin with results, and with what a crash leaves: most rules do nothing without."""
        self.save_many(jobs, how)
        self.crash(verb, doomed, how, end, at)

    @rule(fields=RESULTS, kind=st.sampled_from(KINDS), how=HOW)
    def save(self, fields: dict[str, Any], kind: str, how: dict[str, Any]) -> None:
        result = self.place.make(fields, kind)
        said: object = None
        path: Path | None = None
        with hearing() as heard:
            try:
                path = self._store(how).save(result, self.place.sources[kind].given, durable=how["durable"])
            except (SidecarError, ValueError) as error:
                said = error
                path = self._committed(error)
        assert isinstance(said, {"broken": SidecarError, "unfit": ValueError}.get(kind, type(None))), said
        assert [("does not exist" in warning) for warning in heard] == [True] * (kind == "gone")
        self._expect_saved(how["root"], [(path, result, kind)])
        self.place.did("save", kind)

    @rule(jobs=JOBS, how=HOW)
    def save_many(self, jobs: list[Any], how: dict[str, Any]) -> None:
        results, kinds, given = self._taken(jobs)
        errors: dict[int, Exception] = {}
        with hearing() as heard:
            try:
                saved = self._store(how).save_many(results, timeseries_sources=given, durable=how["durable"])
                paths = dict(enumerate(saved))
            except BulkSaveError as error:
                paths, errors = error.saved, error.failed
        gone = kinds.count("gone")
        assert len(heard) == bool(gone)
        assert all(f"{gone} of {len(jobs)}" in said for said in heard)
        self._expect_outcomes(how["root"], results, kinds, paths, errors)
        self.place.did("save_many", "some failed" if errors else "all saved")

    @rule(jobs=JOBS, flushed=st.integers(0, 4), how=HOW)
    def write(self, jobs: list[Any], flushed: int, how: dict[str, Any]) -> None:
        """Submit some, flush, submit the others, and close."""
        results, kinds, given = self._taken(jobs)
        futures: list[Future[Path]] = []
        failed: dict[int, Exception] = {}
        with hearing() as heard, self._store(how).writer(durable=how["durable"]) as writer:
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
        assert len(heard) == kinds.count("gone")
        outcomes = [future.exception() for future in futures]
        assert failed == {n: outcome for n, outcome in enumerate(outcomes) if outcome is not None}
        paths = {n: future.result() for n, future in enumerate(futures) if n not in failed}
        self._expect_outcomes(how["root"], results, kinds, paths, failed)
        self.place.did("write", "some failed" if failed else "all saved")

    @rule(fields=st.lists(RESULTS, min_size=2, max_size=3), how=HOW)
    def save_beside_saves_that_fail(self, fields: list[dict[str, Any]], how: dict[str, Any]) -> None:
        blocked = ResultStore(self.place.top / "store" / "blocked.txt" / "results")
        results = [self.place.make(each) for each in fields]
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
        self.place.did("save", "beside saves that fail")

    @rule(verb=VERBS, jobs=DOOMED, how=HOW, end=ENDS, at=AT)
    def crash(self, verb: str, jobs: list[Any], how: dict[str, Any], end: int, at: str) -> None:
        """Save in a process that dies at a system call, or at a byte of a file."""
        mortal = self.place.mortal
        results, kinds, given = self._taken(jobs)
        first, each = CALLS[verb]
        at_a_call = at == "call" and mortal.can_trace
        answer = mortal.run(
            verb,
            self.place.top / how["root"],
            results,
            ["arrow" if kind == "arrow" else source for kind, source in zip(kinds, given, strict=True)],
            durable=how["durable"],
            engine=how["engine"],
            calls=1 + end * (first + each * len(jobs)) // 1000 if at_a_call else None,
            most_bytes=None if at_a_call else end * MOST_BYTES // 1000,
        )
        assert answer["end"] <= 0
        assert all(isinstance(said, list) for said in answer["said"]), answer
        acknowledged = {self.place.shadow.relative(Path(path).parent): n for n, path in answer["said"]}
        assert len(acknowledged) == len(answer["said"])
        assert answer["end"] < 0 or len(acknowledged) == len(jobs)
        self._expect_crash(how["root"], list(zip(results, kinds, strict=True)), acknowledged)
        self.place.did("crash", verb if answer["end"] else "finished before")

    @rule(end=ENDS)
    def crash_of_a_cleaner(self, end: int) -> None:
        shadow, mortal = self.place.shadow, self.place.mortal
        if not mortal.can_trace:
            return
        half_made = {path for path in shadow.half_made("store") if not shadow.has_strangers(path)}
        calls = 1 + end * CALLS_OF_A_CLEANER // 1000
        answer = mortal.run("clean", self.place.top / "store", [], [], calls=calls)
        assert answer["said"] == []
        found = shadow.found()
        for path in shadow.tree.keys() - found.keys():
            assert any(path == taken or path.startswith(f"{taken}/") for taken in half_made), path
            del shadow.tree[path]
        for path in found.keys() - shadow.tree.keys():
            assert "/.trash-" in path
            shadow.tree[path] = found[path]
        self.place.did("crash", "clean" if answer["end"] else "finished before")

    def _store(self, how: dict[str, Any]) -> ResultStore:
        store = ResultStore(self.place.top / how["root"])
        store._flush_method = how["engine"]
        return store

    def _taken(self, jobs: list[Any]) -> tuple[list[ExperimentResult], list[str], list[Any]]:
        """The results of jobs, the kinds of their sources, and the sources."""
        kinds = [kind for _, kind in jobs]
        results = [self.place.make(fields, kind) for fields, kind in jobs]
        return results, kinds, [self.place.sources[kind].given for kind in kinds]

    def _expect_outcomes(
        self,
        root: str,
        results: list[ExperimentResult],
        kinds: list[str],
        paths: dict[int, Path],
        errors: dict[int, Exception],
    ) -> None:
        """Expect what many saves said: each result is in one of the two."""
        assert sorted([*paths, *errors]) == list(range(len(results)))
        for n, error in errors.items():
            assert kinds[n] == ("broken" if isinstance(error, SidecarError) else "unfit"), error
        there = paths | {
            n: path for n, error in errors.items() if (path := self._committed(error)) is not None
        }
        self._expect_saved(root, [(there.get(n), result, kinds[n]) for n, result in enumerate(results)])

    @staticmethod
    def _committed(error: Exception) -> Path | None:
        """Where a result is all the same whose save failed."""
        path = error.result_path if isinstance(error, PersistenceError) else None
        return None if path is None else Path(path)

    def _expect_saved(self, root: str, saved: list[tuple[Path | None, ExperimentResult, str]]) -> None:
        """Expect what was acknowledged, each under a name that was free, and no number left out."""
        shadow = self.place.shadow
        before = set(shadow.tree)
        names: dict[str, set[str]] = {}
        for path, result, kind in saved:
            assert (path is None) == (kind == "unfit")
            if path is None:
                continue
            assert path.name == RECORD
            directory = shadow.relative(path.parent)
            assert directory not in shadow.tree, "a name was given that somebody has"
            base = f"{root}/{_experiment_dir_name(result)}"
            assert is_numbered(directory, base)
            names.setdefault(base, set()).add(directory)
            shadow.saved(directory, result, self.place.sources[kind].trace)
        for base, given in names.items():
            for directory in given - {base}:
                number = int(directory.removeprefix(f"{base}_"))
                assert (f"{base}_{number - 1}" if number > 1 else base) in shadow.tree, "a number is left out"
            if base not in before and not self._last.get(base, set()) & before:
                assert base in given, "a name whose directories are gone begins anew"
            self._last[base] = given

    def _expect_crash(
        self, root: str, jobs: list[tuple[ExperimentResult, str]], acknowledged: dict[str, int]
    ) -> None:
        """Expect what a process acknowledged that died; the others may be there, whole or half-made."""
        shadow = self.place.shadow
        found = shadow.found()
        assert {path: found.get(path, "gone") for path in shadow.tree} == shadow.tree
        made = found.keys() - shadow.tree.keys()
        ids = [result.experiment_id for result, _ in jobs]
        bases = [f"{root}/{_experiment_dir_name(result)}" for result, _ in jobs]
        records = dict(acknowledged)
        for directory in {path for path in made if found[path] is None and path.startswith(f"{root}/")}:
            assert any(is_numbered(directory, base) for base in bases)
            within = {path.rpartition("/")[2] for path in made if path.startswith(f"{directory}/")}
            assert within <= {RECORD, SIDECAR, *TEMPORARY}
            if RECORD not in within:
                self.place.did("crash", "left half-made")
            elif directory not in acknowledged:
                loaded = ExperimentResult.from_json(self.place.top / directory, missing_sidecar="ignore")
                records[directory] = ids.index(loaded.experiment_id)
                self.place.did("crash", "left a result that was not acknowledged")
        assert len(set(records.values())) == len(records), "a result is there twice"
        # What is beside a whole result and should not be there, or has other bytes, the invariant tells.
        for path in made:
            if path not in records and path.rpartition("/")[0] not in records:
                shadow.tree[path] = found[path]
        for directory, index in records.items():
            result, kind = jobs[index]
            shadow.saved(directory, result, self.place.sources[kind].trace)


def is_numbered(directory: str, base: str) -> bool:
    """Whether a directory has a name, or that name with a number."""
    return re.fullmatch(re.escape(base) + r"(_[1-9]\d*)?", directory) is not None
