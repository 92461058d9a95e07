"""The part of the machine that looks at a tree in every way there is, and cleans it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.domain.experiment import compute_measurement_config_hash

if TYPE_CHECKING:
    Place = Any

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


def what_is_heard(caught: list[warnings.WarningMessage]) -> Counter[str]:
    """The first two words of each warning, and how often they came."""
    return Counter(" ".join(str(warning.message).split()[:2]) for warning in caught)


def let_go(failure: BaseException | None) -> None:
    """Forget what the frames of a failure hold: a scan that is half read keeps its disk mounted."""
    if failure is not None:
        traceback.clear_frames(failure.__traceback__)
        let_go(failure.__context__)


class Looking(RuleBasedStateMachine):
    """Looks, and expects to see what the dictionary has."""

    place: Place

    @rule(is_dry=st.booleans(), age=st.sampled_from(["0s", "0s", "1d"]))
    def clean(self, *, is_dry: bool, age: str) -> None:
        shadow = self.place.shadow
        half_made = shadow.half_made("store")
        strange = {path for path in half_made if shadow.has_strangers(path)}
        cleaning = ResultStore(self.place.top / "store").clean(older_than=age, dry_run=is_dry)
        old, young = (half_made - strange, set()) if age == "0s" else (set(), half_made - strange)
        assert self._told(cleaning, "removed", "young", "kept", "restored") == [old, young, strange, set()]
        if not is_dry:
            for path in old:
                shadow.forget(path)
            self.place.did("clean", "removed", len(old))
        self.place.did("clean", "kept", len(strange))

    @rule(is_deep=st.booleans())
    def verify(self, *, is_deep: bool) -> None:
        expected = self.place.shadow.verdict("store", deep=is_deep)
        found = ResultStore(self.place.top / "store").verify(deep=is_deep)
        assert self._told(found, "damaged", "missing_sidecars", "incomplete", "foreign") == [
            expected.damaged,
            expected.missing,
            expected.incomplete,
            expected.foreign,
        ]
        assert found.complete == len(expected.complete)
        assert found.ok == (not expected.damaged and not expected.missing)
        self.place.did("look", "verify")

    @rule(root=ROOTS)
    def go_over(self, root: str) -> None:
        shadow = self.place.shadow
        if root not in shadow.tree:
            return
        store = ResultStore(self.place.top / root)
        if damaged := shadow.damaged_below(root):
            with pytest.raises(ResultError, match=re.escape(str(self.place.top / damaged[0] / RECORD))):
                list(store)
        else:
            assert [shadow.relative(stored.path.parent) for stored in store] == shadow.below(root)
        self.place.did("look", "list")

    @rule(pick=PICKS, form=st.sampled_from(["record", "directory", "relative"]))
    def load(self, pick: int, form: str) -> None:
        shadow = self.place.shadow
        if (directory := self.place.picked(pick, shadow.results)) is None:
            return
        store = ResultStore(self.place.top / "store")
        record = self.place.top / directory / RECORD
        paths: dict[str, Path | str] = {
            "record": record,
            "directory": record.parent,
            "relative": os.path.relpath(record, store.root),
        }
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert store.load(paths[form]) == shadow.loaded(directory)
        missed = shadow.is_missed(directory)
        assert what_is_heard(caught) == Counter({"Timeseries sidecar": 1} if missed else {})
        if missed:
            with pytest.raises(ResultError, match="Timeseries sidecar missing"):
                store.load(paths[form], missing_sidecar="error")
        self.place.did("look", "load")

    @rule(pick=PICKS)
    def load_what_is_damaged(self, pick: int) -> None:
        shadow = self.place.shadow
        if (directory := self.place.picked(pick, shadow.damaged)) is not None:
            record = self.place.top / directory / RECORD
            with pytest.raises(ResultError, match=re.escape(str(record))) as raised:
                ExperimentResult.from_json(record.parent)
            assert type(raised.value) is shadow.damaged[directory]
            self.place.did("look", "load what is damaged")

    @rule(root=ROOTS)
    def scan(self, root: str) -> None:
        shadow = self.place.shadow
        if root not in shadow.tree:
            return
        scan = ResultStore(self.place.top / root).scan(COLUMNS, on_error="collect")
        rows = list(zip(*scan.to_pydict().values(), strict=True))
        assert rows == [
            (
                directory.removeprefix(f"{root}/"),
                shadow.results[directory].experiment_id,
                shadow.results[directory].total_energy_j,
                shadow.has_trace(directory),
                shadow.results[directory].backend,
                shadow.results[directory].effective_config.get("model"),
            )
            for directory in shadow.below(root)
        ]
        assert {path: type(error) for path, error in scan.errors.items()} == {
            self.place.top / directory / RECORD: shadow.damaged[directory]
            for directory in shadow.damaged_below(root)
        }
        self.place.did("look", "scan")

    @rule()
    def load_all(self) -> None:
        shadow = self.place.shadow
        there = shadow.below("store")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = ResultStore(self.place.top / "store").load_all(on_error="skip")
        assert loaded == [shadow.loaded(directory) for directory in there]
        counts = {"sidecars": sum(map(shadow.is_missed, there)), "files": len(shadow.damaged_below("store"))}
        assert what_is_heard(caught) == Counter(f"{n} {what}" for what, n in counts.items() if n)
        self.place.did("look", "load_all")

    @rule()
    def look_for_what_is_completed(self) -> None:
        shadow, store = self.place.shadow, ResultStore(self.place.top / "store")
        configs = [shadow.results[directory].effective_config for directory in shadow.below("store")]
        another = {"model": "of nobody"}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert store.completed() == set(map(compute_measurement_config_hash, configs))
            assert store.missing([*configs, another]) == [another]
        skipped = len(shadow.damaged_below("store"))
        files = f"{skipped} file{'s' * (skipped > 1)}"
        assert what_is_heard(caught) == Counter({files: 2} if skipped else {})
        self.place.did("look", "completed, missing")

    @invariant()
    def everything_is_there_and_nothing_else(self) -> None:
        assert self.place.shadow.found() == self.place.shadow.tree

    @invariant()
    def every_result_loads_as_it_was_saved(self) -> None:
        for directory in self.place.shadow.results:
            loaded = ExperimentResult.from_json(self.place.top / directory, missing_sidecar="ignore")
            assert loaded == self.place.shadow.loaded(directory)

    def teardown(self) -> None:
        failure = sys.exc_info()[1]
        try:
            if failure is None:
                self._look_once_more()
        except BaseException as error:
            failure = error
            raise
        finally:
            let_go(failure)
            shutil.rmtree(self.place.top)

    def _look_once_more(self) -> None:
        self.verify(is_deep=False)
        self.verify(is_deep=True)
        self.scan("store")
        self.load_all()
        self.look_for_what_is_completed()
        self.clean(is_dry=False, age="0s")
        self.everything_is_there_and_nothing_else()

    def _told(self, found: Any, *kinds: str) -> list[set[str]]:
        """The directories that were told, by each of some kinds."""
        return [
            {self.place.shadow.relative(finding.path) for finding in getattr(found, kind)} for kind in kinds
        ]
