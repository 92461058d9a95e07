"""The check of an object store: `ResultStore.check`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llenergymeasure._format import plural
from llenergymeasure._warnings import warn
from llenergymeasure.results import _trusted

if TYPE_CHECKING:
    from llenergymeasure.results._paths import Place
    from llenergymeasure.results.store_path import StorePath

__all__ = ["StoreCheck", "check_store"]

_WITHOUT: Final = {
    "HEAD": "so that a save whose name is taken, or whose answer is lost, fails",
    "HEAD of an absent object": "so that a save whose answer is lost may end with an unknown outcome; "
    "allow LIST, too",
    "GET": "so that it reads no result",
    "LIST": "so that it neither reads a store nor saves a power trace",
    "DELETE": "so that llem clean removes nothing",
}
"""The consequence of each request that a role lacks, in the order of their weight."""


@dataclass(frozen=True)
class StoreCheck:
    """The outcome of the check of an object store; as a string, one sentence.

    Attributes:
        root: The root that was checked.
        overwrites: True if the store overwrites an object that it is asked to create.
        savers: The concurrent savers of one name in each race.
        races: The races that were run; 0 if the store overwrites.
        winners: The most savers that won one race.
        keeps_metadata: True if a save recognises its own object.
        lists_at_once: True if a listing shows a new object.
        lacks: The requests that the role lacks, with the answers: `HEAD`, `GET`, `LIST`, `DELETE`, ...
        left: The URLs of the objects that the check could not remove.
    """

    root: StorePath
    overwrites: bool
    savers: int
    races: int
    winners: int
    keeps_metadata: bool
    lists_at_once: bool
    lacks: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def is_atomic(self) -> bool:
        """True if one of several concurrent saves of one name won each race."""
        return not self.overwrites and self.races > 0 and self.winners == 1

    @property
    def ok(self) -> bool:
        """True if results can be saved, and none is overwritten or saved twice."""
        return self.is_atomic and self.keeps_metadata and "HEAD" not in self.lacks

    def __str__(self) -> str:
        """Return one sentence: what the store can promise, and what the role lacks."""
        parts = [f"{self.root} {self._promise()}"]
        if not self.keeps_metadata and "HEAD" not in self.lacks:
            parts.append(
                "the store drops the metadata of objects, so that a save whose answer is lost is saved twice"
            )
        if not self.lists_at_once and "LIST" not in self.lacks:
            parts.append(
                "a listing shows a new object only after some time, so that readers miss it until then"
            )
        for request, consequence in _WITHOUT.items():
            if (reason := self.lacks.get(request)) is not None:
                parts.append(f"the role lacks {request}, {consequence} (the answer: {reason})")
        if self.left:
            verb = "is" if len(self.left) == 1 else "are"
            parts.append(
                f"{plural(len(self.left), 'object')} of the check {verb} left below {self._folder()}"
            )
        return "; ".join(parts)

    def _promise(self) -> str:
        if self.overwrites:
            return (
                "cannot hold results: the store overwrites an object that it is asked to create only if it "
                "does not exist; use another store, or another version of it"
            )
        if not self.races:
            return (
                "promises nothing that could be seen: no race of concurrent saves had an outcome; check again"
            )
        if self.winners > 1:
            return (
                f"cannot hold the results of concurrent saves: {self.winners} of {self.savers} won one name, "
                "since the store checks the condition of a save and carries it out in two steps; use another "
                "store, or let one process save at a time"
            )
        return (
            f"can hold results: nothing is overwritten, and of {self.savers} concurrent saves of one name "
            f"one won, in each of {plural(self.races, 'race')}"
        )

    def _folder(self) -> str:
        return self.left[0].rpartition("/")[0]


def check_store(root: Place) -> StoreCheck:
    """Check an object store; see `ResultStore.check`."""
    if isinstance(root, str):
        raise ValueError(  # noqa: TRY004 - the type is that of a root
            f"check expects a store in an object store, got the directory {root!r}; "
            "see its durability, or llem bench"
        )
    check = StoreCheck(root, **root._storage().check())  # noqa: SLF001 - not for users
    try:
        if check.is_atomic:
            _trusted.note_passed(root)
    except OSError as error:
        warn(f"the check passed, and this cannot be remembered: {error}; the next save warns again")
    if not check.is_atomic:
        with contextlib.suppress(OSError):
            _trusted.forget(root)
    return check
