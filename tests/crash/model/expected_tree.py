"""The expected tree, which the tests compare the store with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult

RECORD, SIDECAR = "result.json", "timeseries.parquet"
TEMPORARY = (".result.json.tmp", ".timeseries.parquet.tmp")
GIVEN_NAME = re.compile(r".+_.+_\d{4}-\d\d-\d\dT\d\d-\d\d(_\d+)?")

Entry = bytes | str | None
"""A file with its bytes, a symlink with its target, or a directory."""


def record_of(result: ExperimentResult) -> bytes:
    return result.model_dump_json(indent=2).encode()


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


@dataclass
class Verdict:
    """The expected report of `verify`, by finding."""

    complete: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)


class ExpectedTree:
    """Everything that should be below a directory, by path, and the meaning of each record.

    Attributes:
        tree: Every entry, by its path below `top`.
        results: The result of each complete record, by its directory.
        damaged: The error that a load of a damaged record raises, by its directory.
    """

    def __init__(self, top: Path, traces: set[bytes]) -> None:
        self.top = top
        self.tree: dict[str, Entry] = {}
        self.results: dict[str, ExperimentResult] = {}
        self.damaged: dict[str, type[Exception]] = {}
        self._traces = traces

    def found(self) -> dict[str, Entry]:
        """Return everything that is on the disk."""
        found: dict[str, Entry] = {}
        self._find("", found)
        return found

    def _find(self, below: str, found: dict[str, Entry]) -> None:
        with os.scandir(self.top / below) as entries:
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if entry.is_symlink():
                    found[path] = str(Path(entry).readlink())
                elif entry.is_dir():
                    found[path] = None
                    self._find(path, found)
                else:
                    with open(entry, "rb") as file:  # noqa: PTH123 - of an entry
                        found[path] = file.read()

    def relative(self, path: Path | str) -> str:
        return str(Path(path).relative_to(self.top))

    def note(self, path: str, entry: Entry) -> None:
        """Expect an entry and its parents."""
        self.tree[path] = entry
        while (path := path.rpartition("/")[0]) and path not in self.tree:
            self.tree[path] = None

    def put(self, path: str, entry: Entry) -> None:
        """Make an entry, and expect it."""
        self.note(path, entry)
        where = self.top / path
        where.parent.mkdir(parents=True, exist_ok=True)
        if entry is None:
            where.mkdir()
        elif isinstance(entry, str):
            where.symlink_to(entry)
        else:
            where.write_bytes(entry)

    def saved(self, directory: str, result: ExperimentResult, trace: bytes | None) -> None:
        """Expect a saved result with its power trace."""
        if trace is not None:
            result = result.model_copy(update={"timeseries": SIDECAR})
            self.note(f"{directory}/{SIDECAR}", trace)
        self.note(f"{directory}/{RECORD}", record_of(result))
        self.results[directory] = result

    def forget(self, path: str) -> None:
        """Expect an entry, with everything below it, to be gone."""
        self._rename(path, None)

    def move(self, path: str, to: str) -> None:
        """Expect an entry, with everything below it, at another path."""
        self._rename(path, to)
        self.note(to, self.tree[to])

    def _rename(self, old: str, new: str | None) -> None:
        for entries in (self.tree, self.results, self.damaged):
            moved: dict[str, Any] = entries
            for path in [path for path in moved if path == old or path.startswith(f"{old}/")]:
                entry = moved.pop(path)
                if new is not None:
                    moved[new + path[len(old) :]] = entry

    def children(self, directory: str) -> dict[str, Entry]:
        """Return the entries of a directory, by name."""
        start = len(directory) + 1
        return {
            path[start:]: entry
            for path, entry in self.tree.items()
            if path.startswith(f"{directory}/") and "/" not in path[start:]
        }

    def below(self, root: str) -> list[str]:
        """Return the directories of complete results below a root, in the order of reads."""
        return self._ordered(root, self.results)

    def damaged_below(self, root: str) -> list[str]:
        """Return the directories of damaged records below a root, in the order of reads."""
        return self._ordered(root, self.damaged)

    def has_links(self, root: str) -> bool:
        """Return whether readers find symlinks below a root: they do not search the directory of a record."""
        return any(
            isinstance(entry, str)
            and path.startswith(f"{root}/")
            and f"{path.rpartition('/')[0]}/{RECORD}" not in self.tree
            for path, entry in self.tree.items()
        )

    @staticmethod
    def _ordered(root: str, directories: dict[str, Any]) -> list[str]:
        below = [directory for directory in directories if directory.startswith(f"{root}/")]
        return sorted(below, key=lambda directory: directory.encode().split(b"/"))

    def loaded(self, directory: str) -> ExperimentResult:
        """Return the result that a load returns."""
        result = self.results[directory]
        if result.timeseries is None and self.has_trace(directory):
            return result.model_copy(update={"timeseries": SIDECAR})
        return result

    def has_trace(self, directory: str) -> bool:
        return f"{directory}/{SIDECAR}" in self.tree

    def lacks_sidecar(self, directory: str) -> bool:
        """Return whether a record names a missing power trace."""
        return self.results[directory].timeseries is not None and not self.has_trace(directory)

    def is_leftover(self, directory: str) -> bool:
        """Return whether a directory is the leftover of an interrupted save, possibly with foreign files."""
        if name_of(directory).startswith(".trash-"):
            return True
        children = self.children(directory)
        if RECORD in children or None in children.values():
            return False
        if any(name in children for name in TEMPORARY):
            return True
        is_given = GIVEN_NAME.fullmatch(name_of(directory)) is not None
        return is_given and (SIDECAR in children or not children)

    def has_foreign_files(self, directory: str) -> bool:
        """Return whether a leftover holds anything that no save makes."""
        return any(
            isinstance(entry, str) or (entry is not None and name not in (SIDECAR, *TEMPORARY))
            for name, entry in self.children(directory).items()
        )

    def leftovers(self, root: str) -> set[str]:
        """Return the leftovers of interrupted saves and cleaners."""
        return {directory for directory in self._visible(root) if self.is_leftover(directory)}

    def _visible(self, root: str) -> Iterator[str]:
        """Yield the directories below a root that reads visit, and the trash of cleaners."""
        for path, entry in self.tree.items():
            if entry is None and path.startswith(f"{root}/"):
                *above, name = path[len(root) + 1 :].split("/")
                is_hidden = name.startswith(".") and not name.startswith(".trash-")
                if not is_hidden and not any(part.startswith(".") for part in above):
                    yield path

    def verdict(self, root: str, *, deep: bool) -> Verdict:
        """Return the expected report of `verify`."""
        verdict = Verdict(incomplete=self.leftovers(root), damaged=set(self.damaged_below(root)))
        for directory in self.below(root):
            trace = self.tree.get(f"{directory}/{SIDECAR}")
            if deep and isinstance(trace, bytes) and trace not in self._traces:
                verdict.damaged.add(directory)
                continue
            verdict.complete.add(directory)
            if self.lacks_sidecar(directory):
                verdict.missing.add(directory)
        known = verdict.complete | verdict.damaged | verdict.incomplete
        for directory in sorted(self._visible(root)):
            holds_any = directory in known or any(path.startswith(f"{directory}/") for path in known)
            is_within = any(directory.startswith(f"{outer}/") for outer in verdict.foreign)
            if not holds_any and not is_within:
                verdict.foreign.add(directory)
        return verdict
