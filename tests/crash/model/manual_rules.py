"""The rules for what people do to a store with the tools of their system."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from llenergymeasure import ResultCorruptError, ResultError, SchemaVersionError

if TYPE_CHECKING:
    Workspace = Any

RECORD, SIDECAR = "result.json", "timeseries.parquet"
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], type[Exception]]] = {
    "empty": (lambda _: b"", ResultCorruptError),
    "truncated": (lambda record: record[: len(record) // 2], ResultCorruptError),
    "nul": (lambda record: bytes(len(record)), ResultCorruptError),
    "garbage": (lambda record: b"\xff" + record[::-1], ResultCorruptError),
    "list": (lambda _: b"[]\n", ResultError),
    "line": (lambda record: record.replace(b'"2.0"', b'"1.0"', 1), SchemaVersionError),
}
"""Ways to damage a record, and the error that a load then raises."""
PICKS = st.integers(0, 1 << 16)


class ManualRules(RuleBasedStateMachine):
    """Rules that move, delete and damage results, and put other things next to them."""

    workspace: Workspace

    @rule(
        pick=PICKS,
        to=st.sampled_from(["store", "store/study", "store/study/deep", "outside"]),
        is_renamed=st.booleans(),
    )
    def move(self, pick: int, to: str, *, is_renamed: bool) -> None:
        expected = self.workspace.expected
        if (directory := self._result(pick)) is None:
            return
        name = f"kept-{next(self.workspace.numbers)}" if is_renamed else Path(directory).name
        target = f"{to}/{name}"
        if target not in expected.tree:
            (self.workspace.top / to).mkdir(parents=True, exist_ok=True)
            (self.workspace.top / directory).rename(self.workspace.top / target)
            expected.move(directory, target)
            self.workspace.count("by hand", "a result is moved")

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        if (directory := self._result(pick)) is not None:
            shutil.rmtree(self.workspace.top / directory)
            self.workspace.expected.forget(directory)
            self.workspace.count("by hand", "a result is deleted")

    @rule(pick=PICKS, name=st.sampled_from([RECORD, SIDECAR]))
    def delete_file(self, pick: int, name: str) -> None:
        expected = self.workspace.expected
        directory = self.workspace.pick(pick, expected.results)
        if directory is not None and f"{directory}/{name}" in expected.tree:
            (self.workspace.top / directory / name).unlink()
            expected.forget(f"{directory}/{name}")
            if name == RECORD:
                del expected.results[directory]
            self.workspace.count("by hand", f"a {name} is deleted")

    @rule(pick=PICKS, is_complete=st.booleans())
    def put_trace(self, pick: int, *, is_complete: bool) -> None:
        directory = self.workspace.pick(pick, self.workspace.expected.results)
        if directory is not None:
            trace = self.workspace.sources["file"].trace
            self.workspace.expected.put(f"{directory}/{SIDECAR}", trace if is_complete else trace[:-7])
            self.workspace.count(
                "by hand", f"a {'complete' if is_complete else 'truncated'} trace is put there"
            )

    @rule(pick=PICKS, how=st.sampled_from(sorted(DAMAGES)))
    def damage(self, pick: int, how: str) -> None:
        expected = self.workspace.expected
        if (directory := self.workspace.pick(pick, expected.results)) is not None:
            change, expected.damaged[directory] = DAMAGES[how]
            expected.put(f"{directory}/{RECORD}", change(expected.tree[f"{directory}/{RECORD}"]))
            del expected.results[directory]
            self.workspace.count("by hand", "a record is damaged")

    @rule(
        base=st.sampled_from(["gpt2_pytorch", "gpt2_vllm", "unknown_pytorch", None]),
        kind=st.sampled_from(["file", "directory", "link", "link to a result", "dangling link"]),
        root=st.sampled_from(["store", "store/study", "outside"]),
    )
    def put_foreign_entry(self, base: str | None, kind: str, root: str) -> None:
        """Put something foreign under the next name of a save, or under a name of its own."""
        expected = self.workspace.expected
        name = f"strange-{next(self.workspace.numbers)}"
        if base is not None:
            base = f"{base}_2026-02-18T14-30"
            names = (base if n == 0 else f"{base}_{n}" for n in itertools.count())
            name = next(free for free in names if f"{root}/{free}" not in expected.tree)
        up = "../" * len(root.split("/"))
        there: dict[str, tuple[str, bytes | str]] = {
            "file": (name, b"of another program"),
            "directory": (f"{name}/plots/plot.png", b"of another program"),
            "link": (name, f"{up}outside"),
            "link to a result": (name, f"{up}{next(iter(expected.below('outside')), 'outside')}"),
            "dangling link": (name, "nowhere"),
        }
        path, entry = there[kind]
        expected.put(f"{root}/{path}", entry)
        self.workspace.count("by hand", f"a {kind} is put there")

    @rule(pick=PICKS)
    def put_note_into_directory(self, pick: int) -> None:
        expected = self.workspace.expected
        leftovers = (path for path in expected.leftovers("store") if ".trash-" not in path)
        directories = {**expected.results, **expected.damaged, **dict.fromkeys(leftovers)}
        if (directory := self.workspace.pick(pick, directories)) is not None:
            expected.put(f"{directory}/notes.txt", b"of another program")
            self.workspace.count("by hand", "a note is put into a directory")

    def _result(self, pick: int) -> str | None:
        expected = self.workspace.expected
        directory: str | None = self.workspace.pick(pick, {**expected.results, **expected.damaged})
        return directory
