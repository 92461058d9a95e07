"""The names of copies to and from an object store, where suffixes have gaps."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from llenergymeasure import _store

if TYPE_CHECKING:
    from llenergymeasure.results._encode import Encoded
    from llenergymeasure.types import ResultPath

__all__ = ["PulledNames", "PushedNames"]


class PulledNames:
    """The names of directories in a root, to which a copy from an object store adds those of its results.

    A name is kept where it is free, so that another pull changes none.
    """

    def __init__(self, root: ResultPath) -> None:
        """Read the names that are taken."""
        self._taken = set(_names_in(root))
        self._next: Counter[str] = Counter()

    def choose(self, encoded: Encoded, name: str, with_sidecar: bool) -> Encoded:  # noqa: ARG002, FBT001 - as pushed
        """Return a result under its own name, or under the next free one."""
        base = encoded.name
        name = name if _store.given_base(name) == base else base
        while name in self._taken:
            self._next[base] += 1
            name = f"{base}_{self._next[base]}"
        self._taken.add(name)
        return encoded._replace(name=name)


class PushedNames:
    """The names in a source, of which a copy to an object store keeps those that it can.

    There, a result with a power trace has an odd suffix, and one without an even one. A result whose own
    suffix has the other parity gets the first one that no other result of the source has or got.
    """

    def __init__(self, source: ResultPath) -> None:
        """Read the names of a source on a disk."""
        self._taken: defaultdict[str, set[int]] = defaultdict(set)
        self._given: defaultdict[str, set[int]] = defaultdict(set)
        self._next: dict[tuple[str, bool], int] = {}
        for name in _names_in(source):
            base = _store.given_base(name)
            if base is not None:
                self._taken[base].add(_suffix(name, base))

    def choose(self, encoded: Encoded, name: str, with_sidecar: bool) -> Encoded:  # noqa: FBT001 - as pulled
        """Return a result with the suffix that it asks for."""
        base = encoded.name
        if _store.given_base(name) != base:
            return encoded
        suffix, given = _suffix(name, base), self._given[base]
        if suffix % 2 != with_sidecar or suffix in given:
            suffix = self._next.get((base, with_sidecar), int(with_sidecar))
            while suffix in given or suffix in self._taken[base]:
                suffix += 2
            self._next[base, with_sidecar] = suffix + 2
        given.add(suffix)
        return encoded._replace(suffix=suffix)


def _names_in(root: ResultPath) -> list[str]:
    with suppress(OSError, TypeError):  # the copy reports it; an object store is not listed
        return os.listdir(root)  # noqa: PTH208 - names, not paths
    return []


def _suffix(name: str, base: str) -> int:
    return int(name[len(base) + 1 :] or 0)
