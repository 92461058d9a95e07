"""The part of the machine that does what people do to a tree with the tools of their system."""

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
    Place = Any

RECORD, SIDECAR = "result.json", "timeseries.parquet"
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], type[Exception]]] = {
    "empty": (lambda _: b"", ResultCorruptError),
    "truncated": (lambda record: record[: len(record) // 2], ResultCorruptError),
    "nul": (lambda record: bytes(len(record)), ResultCorruptError),
    "garbage": (lambda record: b"\xff" + record[::-1], ResultCorruptError),
    "list": (lambda _: b"[]\n", ResultError),
    "line": (lambda record: record.replace(b'"2.0"', b'"1.0"', 1), SchemaVersionError),
}
"""What becomes of a record, and the error that reads it then."""
PICKS = st.integers(0, 1 << 16)


class ByHand(RuleBasedStateMachine):
    """Moves, deletes and damages results, and puts other things beside them."""

    place: Place

    @rule(
        pick=PICKS,
        to=st.sampled_from(["store", "store/study", "store/study/deep", "outside"]),
        is_renamed=st.booleans(),
    )
    def move(self, pick: int, to: str, *, is_renamed: bool) -> None:
        shadow = self.place.shadow
        if (directory := self._result(pick)) is None:
            return
        name = f"kept-{next(self.place.numbers)}" if is_renamed else Path(directory).name
        target = f"{to}/{name}"
        if target not in shadow.tree:
            (self.place.top / to).mkdir(parents=True, exist_ok=True)
            (self.place.top / directory).rename(self.place.top / target)
            shadow.move(directory, target)
            self.place.did("by hand", "a result is moved")

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        if (directory := self._result(pick)) is not None:
            shutil.rmtree(self.place.top / directory)
            self.place.shadow.forget(directory)
            self.place.did("by hand", "a result is deleted")

    @rule(pick=PICKS, name=st.sampled_from([RECORD, SIDECAR]))
    def delete_a_file(self, pick: int, name: str) -> None:
        shadow = self.place.shadow
        directory = self.place.picked(pick, shadow.results)
        if directory is not None and f"{directory}/{name}" in shadow.tree:
            (self.place.top / directory / name).unlink()
            shadow.forget(f"{directory}/{name}")
            if name == RECORD:
                del shadow.results[directory]
            self.place.did("by hand", f"a {name} is deleted")

    @rule(pick=PICKS, is_whole=st.booleans())
    def put_a_trace(self, pick: int, *, is_whole: bool) -> None:
        directory = self.place.picked(pick, self.place.shadow.results)
        if directory is not None:
            trace = self.place.sources["file"].trace
            self.place.shadow.plant(f"{directory}/{SIDECAR}", trace if is_whole else trace[:-7])
            self.place.did("by hand", f"a {'whole' if is_whole else 'truncated'} trace is put there")

    @rule(pick=PICKS, how=st.sampled_from(sorted(DAMAGES)))
    def damage(self, pick: int, how: str) -> None:
        shadow = self.place.shadow
        if (directory := self.place.picked(pick, shadow.results)) is not None:
            change, shadow.damaged[directory] = DAMAGES[how]
            shadow.plant(f"{directory}/{RECORD}", change(shadow.tree[f"{directory}/{RECORD}"]))
            del shadow.results[directory]
            self.place.did("by hand", "a record is damaged")

    @rule(
        base=st.sampled_from(["gpt2_pytorch", "gpt2_vllm", "unknown_pytorch", None]),
        kind=st.sampled_from(["file", "directory", "link", "link to a result", "dangling link"]),
        root=st.sampled_from(["store", "store/study", "outside"]),
    )
    def put_something_strange(self, base: str | None, kind: str, root: str) -> None:
        """Put something there that is not the store's: under the next name of a save, or one of its own."""
        shadow = self.place.shadow
        name = f"strange-{next(self.place.numbers)}"
        if base is not None:
            base = f"{base}_2026-02-18T14-30"
            names = (base if n == 0 else f"{base}_{n}" for n in itertools.count())
            name = next(free for free in names if f"{root}/{free}" not in shadow.tree)
        up = "../" * len(root.split("/"))
        there: dict[str, tuple[str, bytes | str]] = {
            "file": (name, b"of somebody"),
            "directory": (f"{name}/plots/figure.png", b"of somebody"),
            "link": (name, f"{up}outside"),
            "link to a result": (name, f"{up}{next(iter(shadow.below('outside')), 'outside')}"),
            "dangling link": (name, "nowhere"),
        }
        path, entry = there[kind]
        shadow.plant(f"{root}/{path}", entry)
        self.place.did("by hand", f"a {kind} is put there")

    @rule(pick=PICKS)
    def put_a_note_into_a_directory(self, pick: int) -> None:
        shadow = self.place.shadow
        half_made = (path for path in shadow.half_made("store") if ".trash-" not in path)
        directories = {**shadow.results, **shadow.damaged, **dict.fromkeys(half_made)}
        if (directory := self.place.picked(pick, directories)) is not None:
            shadow.plant(f"{directory}/notes.txt", b"of somebody")
            self.place.did("by hand", "a note is put into a directory")

    def _result(self, pick: int) -> str | None:
        shadow = self.place.shadow
        picked: str | None = self.place.picked(pick, {**shadow.results, **shadow.damaged})
        return picked
