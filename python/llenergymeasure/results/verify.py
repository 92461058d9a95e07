"""What is whole in a store and what is not: `ResultStore.verify`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.results._interrupt import is_interruptible
from llenergymeasure.results._limit import max_bytes

if TYPE_CHECKING:
    from llenergymeasure.results.types import Progress

__all__ = ["Finding", "Verification", "verify_tree"]


class Finding(NamedTuple):
    """A directory, and what is wrong with it."""

    path: Path
    problem: str

    def __str__(self) -> str:
        """Read as `path: problem`."""
        return f"{self.path}: {self.problem}"


@dataclass(repr=False)
class Verification:
    """What was found in a store, in the order of the paths.

    Attributes:
        root: The directory that was looked over.
        deep: Whether records were validated against the schema, and sidecars read to the last page.
        complete: How many directories hold a whole result; also those whose sidecar is missing.
        damaged: Directories whose record or sidecar is not whole, or that cannot be read.
        missing_sidecars: Results whose record names a sidecar that is not there.
        incomplete: What a save that was cut short left, or one that is under way: harmless, and what
            `ResultStore.clean` removes.
        foreign: Directories that hold other things and no result; the outermost of each.
    """

    root: Path
    deep: bool
    complete: int = 0
    damaged: list[Finding] = field(default_factory=list)
    missing_sidecars: list[Finding] = field(default_factory=list)
    incomplete: list[Finding] = field(default_factory=list)
    foreign: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every result is whole and has its sidecar."""
        return not self.damaged and not self.missing_sidecars

    def __repr__(self) -> str:
        """Tell the counts."""
        return f"<Verification of {str(self.root)!r}: {self}>"

    def __str__(self) -> str:
        """Read as `10,000 complete, 2 damaged, 1 incomplete`."""
        counts = [
            (len(self.damaged), "damaged"),
            (len(self.missing_sidecars), "without the sidecar that it names"),
            (len(self.incomplete), "incomplete"),
            (len(self.foreign), "foreign"),
        ]
        return ", ".join(
            [f"{self.complete:,} complete", *(f"{count:,} {what}" for count, what in counts if count)]
        )


def verify_tree(
    root: str, *, deep: bool, progress: Progress | None, limit: int | None = None
) -> Verification:
    """Look over a directory of results; see `ResultStore.verify`."""
    interruptible = is_interruptible()
    found = Verification(Path(root), deep)
    inspection = _store.Inspection(
        root, SCHEMA_VERSION, deep=deep, max_bytes=max_bytes(limit), interruptible=interruptible
    )
    while (part := inspection.next()) is not None:
        complete, findings, records = part
        found.complete += complete
        for kind, path, problem in findings:
            told: list[Finding] = getattr(found, kind)
            told.append(Finding(path, problem))
        for path, record in records:
            misfit = _misfit(record)
            if misfit is None:
                found.complete += 1
            else:
                found.damaged.append(Finding(path, misfit))
        if progress is not None:
            progress(found.complete + len(found.damaged), None)
    for told in (found.damaged, found.incomplete, found.foreign):
        told.sort()
    return found


def _misfit(record: bytes) -> str | None:
    """Say why a record is no result of the schema; None where it is one."""
    try:
        ExperimentResult.model_validate_json(record)
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        rest = f", and {len(more)} more" if more else ""
        return f"{_store.RECORD} is not a result: {where}{': ' * bool(where)}{first['msg']}{rest}"
    return None
