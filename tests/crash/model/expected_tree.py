"""The dictionary that a tree of results is compared with."""

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
GIVEN = re.compile(r".+_.+_\d{4}-\d\d-\d\dT\d\d-\d\d(_\d+)?")

Entry = bytes | str | None
"""A file with its bytes, a symlink with its target, or a directory."""


def record_of(result: ExperimentResult) -> bytes:
    return result.model_dump_json(indent=2).encode()


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


@dataclass
class Verdict:
    """What `verify` has to say of a directory."""

    complete: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)


class Shadow:
    """All that there is to be below a directory, by its path; and what each record is.

    Attributes:
        tree: Everything, by its path below `top`.
        results: What each whole record says, by its directory.
        damaged: How a record is damaged, by its directory: the error that reads it.
    """

    def __init__(self, top: Path, traces: set[bytes]) -> None:
        self.top = top
        self.tree: dict[str, Entry] = {}
        self.results: dict[str, ExperimentResult] = {}
        self.damaged: dict[str, type[Exception]] = {}
        self._traces = traces

    def found(self) -> dict[str, Entry]:
        """Everything that is there."""
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
        """Expect something to be there, and the directories that it is in."""
        self.tree[path] = entry
        while (path := path.rpartition("/")[0]) and path not in self.tree:
            self.tree[path] = None

    def plant(self, path: str, entry: Entry) -> None:
        """Put something there, and expect it."""
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
        """Expect a result that was saved, with its power trace."""
        if trace is not None:
            result = result.model_copy(update={"timeseries": SIDECAR})
            self.note(f"{directory}/{SIDECAR}", trace)
        self.note(f"{directory}/{RECORD}", record_of(result))
        self.results[directory] = result

    def forget(self, path: str) -> None:
        """Expect something, with all that is in it, to be gone."""
        self._rename(path, None)

    def move(self, path: str, to: str) -> None:
        """Expect something, with all that is in it, to be elsewhere."""
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
        """What is in a directory, by name."""
        start = len(directory) + 1
        return {
            path[start:]: entry
            for path, entry in self.tree.items()
            if path.startswith(f"{directory}/") and "/" not in path[start:]
        }

    def below(self, root: str) -> list[str]:
        """The directories of whole results below a directory, in the order in which they are read."""
        return self._ordered(root, self.results)

    def damaged_below(self, root: str) -> list[str]:
        """The directories of damaged records below a directory, in that order."""
        return self._ordered(root, self.damaged)

    @staticmethod
    def _ordered(root: str, directories: dict[str, Any]) -> list[str]:
        below = [directory for directory in directories if directory.startswith(f"{root}/")]
        return sorted(below, key=lambda directory: directory.encode().split(b"/"))

    def loaded(self, directory: str) -> ExperimentResult:
        """What a record reads as."""
        result = self.results[directory]
        if result.timeseries is None and self.has_trace(directory):
            return result.model_copy(update={"timeseries": SIDECAR})
        return result

    def has_trace(self, directory: str) -> bool:
        return f"{directory}/{SIDECAR}" in self.tree

    def is_missed(self, directory: str) -> bool:
        """Whether a record names a power trace that is not there."""
        return self.results[directory].timeseries is not None and not self.has_trace(directory)

    def is_half_made(self, directory: str) -> bool:
        """Whether a directory is what a save leaves that is cut short, whatever else is in it."""
        if name_of(directory).startswith(".trash-"):
            return True
        children = self.children(directory)
        if RECORD in children or None in children.values():
            return False
        if any(name in children for name in TEMPORARY):
            return True
        is_given = GIVEN.fullmatch(name_of(directory)) is not None
        return is_given and (SIDECAR in children or not children)

    def has_strangers(self, directory: str) -> bool:
        """Whether there is anything in a half-made directory that no save makes."""
        return any(
            isinstance(entry, str) or (entry is not None and name not in (SIDECAR, *TEMPORARY))
            for name, entry in self.children(directory).items()
        )

    def half_made(self, root: str) -> set[str]:
        """What saves left that were cut short, and cleaners that were."""
        return {directory for directory in self._looked_at(root) if self.is_half_made(directory)}

    def _looked_at(self, root: str) -> Iterator[str]:
        """The directories below one that are looked into, and the trash of cleaners."""
        for path, entry in self.tree.items():
            if entry is None and path.startswith(f"{root}/"):
                *above, name = path[len(root) + 1 :].split("/")
                is_hidden = name.startswith(".") and not name.startswith(".trash-")
                if not is_hidden and not any(part.startswith(".") for part in above):
                    yield path

    def verdict(self, root: str, *, deep: bool) -> Verdict:
        """What is below a directory, by what it is."""
        verdict = Verdict(incomplete=self.half_made(root), damaged=set(self.damaged_below(root)))
        for directory in self.below(root):
            trace = self.tree.get(f"{directory}/{SIDECAR}")
            if deep and isinstance(trace, bytes) and trace not in self._traces:
                verdict.damaged.add(directory)
                continue
            verdict.complete.add(directory)
            if self.is_missed(directory):
                verdict.missing.add(directory)
        told = verdict.complete | verdict.damaged | verdict.incomplete
        for directory in sorted(self._looked_at(root)):
            holds_any = directory in told or any(path.startswith(f"{directory}/") for path in told)
            is_within = any(directory.startswith(f"{outer}/") for outer in verdict.foreign)
            if not holds_any and not is_within:
                verdict.foreign.add(directory)
        return verdict
