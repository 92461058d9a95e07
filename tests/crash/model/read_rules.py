"""The rules that read a store in every way, and clean it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.domain.experiment import compute_measurement_config_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    Workspace = Any

RECORD = "result.json"
COLUMNS = (
    "path",
    "experiment_id",
    "total_energy_j",
    "has_timeseries",
    "backend",
    "effective_config.model",
)
PICKS = st.integers(0, 1 << 16)
ROOTS = st.sampled_from(["store", "store/study", "outside"])


def count_warnings(caught: list[warnings.WarningMessage]) -> Counter[str]:
    """Return the first two words of each warning, with their number; "links" for one on symbolic links."""
    starts = (" ".join(str(warning.message).split()[:2]) for warning in caught)
    return Counter("links" if start.endswith(" symbolic") else start for start in starts)


def release_frames(failure: BaseException | None) -> None:
    """Clear the frames of a failure, because an unfinished scan keeps its disk mounted."""
    if failure is not None:
        traceback.clear_frames(failure.__traceback__)
        release_frames(failure.__context__)


class ReadRules(RuleBasedStateMachine):
    """Rules that read, and compare with the expected tree."""

    workspace: Workspace

    @rule(is_dry=st.booleans(), age=st.sampled_from(["0s", "0s", "1d"]))
    def clean(self, *, is_dry: bool, age: str) -> None:
        expected = self.workspace.expected
        leftovers = expected.leftovers("store")
        foreign = {path for path in leftovers if expected.has_foreign_files(path)}
        cleaning = ResultStore(self.workspace.top / "store").clean(older_than=age, dry_run=is_dry)
        old, young = (leftovers - foreign, set()) if age == "0s" else (set(), leftovers - foreign)
        assert self._reported(cleaning, "removed", "young", "kept", "restored") == [
            old,
            young,
            foreign,
            set(),
        ]
        if not is_dry:
            for path in old:
                expected.forget(path)
            self.workspace.count("clean", "removed", len(old))
        self.workspace.count("clean", "kept", len(foreign))

    @contextmanager
    def _links_reported(self, root: str) -> Iterator[None]:
        """Expect one warning if there are symlinks, and no other."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        has_links = self.workspace.expected.has_links(root)
        assert count_warnings(caught) == Counter({"links": 1} if has_links else {})

    @rule(is_deep=st.booleans())
    def verify(self, *, is_deep: bool) -> None:
        expected = self.workspace.expected.verdict("store", deep=is_deep)
        with self._links_reported("store"):
            found = ResultStore(self.workspace.top / "store").verify(deep=is_deep)
        assert self._reported(found, "damaged", "missing_sidecars", "incomplete", "foreign") == [
            expected.damaged,
            expected.missing,
            expected.incomplete,
            expected.foreign,
        ]
        assert found.complete == len(expected.complete)
        assert found.ok == (not expected.damaged and not expected.missing)
        self.workspace.count("look", "verify")

    @rule(root=ROOTS)
    def iterate(self, root: str) -> None:
        expected = self.workspace.expected
        if root not in expected.tree:
            return
        store = ResultStore(self.workspace.top / root)
        if damaged := expected.damaged_below(root):
            with pytest.raises(ResultError, match=re.escape(str(self.workspace.top / damaged[0] / RECORD))):
                list(store)
        else:
            with self._links_reported(root):
                found = [expected.relative(stored.path.parent) for stored in store]
            assert found == expected.below(root)
        self.workspace.count("look", "list")

    @rule(pick=PICKS, form=st.sampled_from(["record", "directory", "relative"]))
    def load(self, pick: int, form: str) -> None:
        expected = self.workspace.expected
        if (directory := self.workspace.pick(pick, expected.results)) is None:
            return
        store = ResultStore(self.workspace.top / "store")
        record = self.workspace.top / directory / RECORD
        paths: dict[str, Path | str] = {
            "record": record,
            "directory": record.parent,
            "relative": os.path.relpath(record, store.root),
        }
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert store.load(paths[form]) == expected.loaded(directory)
        lacks_sidecar = expected.lacks_sidecar(directory)
        assert count_warnings(caught) == Counter({"Timeseries sidecar": 1} if lacks_sidecar else {})
        if lacks_sidecar:
            with pytest.raises(ResultError, match="Timeseries sidecar missing"):
                store.load(paths[form], missing_sidecar="error")
        self.workspace.count("look", "load")

    @rule(pick=PICKS)
    def load_damaged(self, pick: int) -> None:
        expected = self.workspace.expected
        if (directory := self.workspace.pick(pick, expected.damaged)) is not None:
            record = self.workspace.top / directory / RECORD
            with pytest.raises(ResultError, match=re.escape(str(record))) as raised:
                ExperimentResult.from_json(record.parent)
            assert type(raised.value) is expected.damaged[directory]
            self.workspace.count("look", "load damaged")

    @rule(root=ROOTS)
    def scan(self, root: str) -> None:
        expected = self.workspace.expected
        if root not in expected.tree:
            return
        # A store of results without a model has no such key.
        scan = ResultStore(self.workspace.top / root).scan(COLUMNS, optional=COLUMNS[-1:], on_error="collect")
        with self._links_reported(root):
            rows = list(zip(*scan.to_pydict().values(), strict=True))
        assert rows == [
            (
                directory.removeprefix(f"{root}/"),
                expected.results[directory].experiment_id,
                expected.results[directory].total_energy_j,
                expected.has_trace(directory),
                expected.results[directory].backend,
                expected.results[directory].effective_config.get("model"),
            )
            for directory in expected.below(root)
        ]
        assert {path: type(error) for path, error in scan.errors.items()} == {
            self.workspace.top / directory / RECORD: expected.damaged[directory]
            for directory in expected.damaged_below(root)
        }
        self.workspace.count("look", "scan")

    @rule()
    def load_all(self) -> None:
        expected = self.workspace.expected
        there = expected.below("store")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = ResultStore(self.workspace.top / "store").load_all(on_error="skip")
        assert loaded == [expected.loaded(directory) for directory in there]
        counts = {
            "sidecars": sum(map(expected.lacks_sidecar, there)),
            "files": len(expected.damaged_below("store")),
        }
        links = Counter({"links": 1} if expected.has_links("store") else {})
        assert count_warnings(caught) == links + Counter(f"{n} {what}" for what, n in counts.items() if n)
        self.workspace.count("look", "load_all")

    @rule()
    def list_completed(self) -> None:
        expected, store = self.workspace.expected, ResultStore(self.workspace.top / "store")
        configs = [expected.results[directory].effective_config for directory in expected.below("store")]
        another = {"model": "unknown"}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert store.completed() == set(map(compute_measurement_config_hash, configs))
            assert store.missing([*configs, another]) == [another]
        skipped = len(expected.damaged_below("store"))
        files = f"{skipped} file{'s' * (skipped > 1)}"
        links = Counter({"links": 2} if expected.has_links("store") else {})
        assert count_warnings(caught) == links + Counter({files: 2} if skipped else {})
        self.workspace.count("look", "completed, missing")

    @invariant()
    def tree_is_expected(self) -> None:
        assert self.workspace.expected.found() == self.workspace.expected.tree

    @invariant()
    def results_load_as_saved(self) -> None:
        for directory in self.workspace.expected.results:
            loaded = ExperimentResult.from_json(self.workspace.top / directory, missing_sidecar="ignore")
            assert loaded == self.workspace.expected.loaded(directory)

    def teardown(self) -> None:
        failure = sys.exc_info()[1]
        try:
            if failure is None:
                self._check_once_more()
        except BaseException as error:
            failure = error
            raise
        finally:
            release_frames(failure)
            shutil.rmtree(self.workspace.top)

    def _check_once_more(self) -> None:
        self.verify(is_deep=False)
        self.verify(is_deep=True)
        self.scan("store")
        self.load_all()
        self.list_completed()
        self.clean(is_dry=False, age="0s")
        self.tree_is_expected()

    def _reported(self, found: Any, *kinds: str) -> list[set[str]]:
        """Return the directories of some kinds of findings."""
        return [
            {self.workspace.expected.relative(finding.path) for finding in getattr(found, kind)}
            for kind in kinds
        ]
