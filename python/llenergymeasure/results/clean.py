"""Removal of the leftovers of interrupted saves: `ResultStore.clean`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from llenergymeasure import _store
from llenergymeasure.results._paths import Place, handle, to_path
from llenergymeasure.results.verify import Finding

if TYPE_CHECKING:
    from llenergymeasure.types import ResultPath

__all__ = ["Cleaning", "clean_tree", "least_age", "to_age"]

_ON_DISK = timedelta(days=1)
_IN_BUCKET = timedelta(days=7)
"""Longer than any request: a PUT that seemed lost may still arrive."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(repr=False)
class Cleaning:
    """The outcome of a cleaning, in the order of the paths. A dry run lists the same and changes nothing.

    Attributes:
        root: The root of the store.
        dry_run: True if nothing was changed.
        removed: Leftovers that are removed.
        restored: Results of an interrupted cleaner that are put back.
        young: Directories that are too young, or the trash of a cleaner that is active: a save may be
            using them.
        kept: Directories that stay unchanged, with the reason: they hold files that no save creates, or
            they cannot be removed.
    """

    root: ResultPath
    dry_run: bool
    removed: list[Finding] = field(default_factory=list)
    restored: list[Finding] = field(default_factory=list)
    young: list[Finding] = field(default_factory=list)
    kept: list[Finding] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return the counts and the root."""
        return f"<Cleaning of {str(self.root)!r}: {self}>"

    def __str__(self) -> str:
        """Return the counts as in `would remove 3, too young 1`."""
        would = "would " if self.dry_run else ""
        counts = [
            (len(self.removed), "would remove" if self.dry_run else "removed"),
            (len(self.restored), f"{would}put back"),
            (len(self.young), "too young"),
            (len(self.kept), "kept"),
        ]
        return ", ".join(f"{what} {count:,}" for count, what in counts if count) or "nothing to clean"


def clean_tree(root: Place, *, older_than: timedelta | str | None, dry_run: bool) -> Cleaning:
    """Remove the leftovers of interrupted saves; see `ResultStore.clean`."""
    age = least_age(root) if older_than is None else to_age(older_than)
    cleaning = Cleaning(to_path(root, str(root)), dry_run)
    leftovers = _store.clean(handle(root), age.total_seconds(), dry_run=dry_run)
    for outcome, path, leftover, reason in leftovers:
        findings: list[Finding] = getattr(cleaning, outcome)
        findings.append(Finding(to_path(root, path), leftover if reason is None else f"{leftover}: {reason}"))
    return cleaning


def least_age(root: Place) -> timedelta:
    """Return the age from which a leftover is removed by default."""
    return _ON_DISK if isinstance(root, str) else _IN_BUCKET


def to_age(age: timedelta | str) -> timedelta:
    """Return the timedelta of an age such as `90s`, `30m`, `12h`, `1d`, `2w`, or a valid timedelta itself."""
    if isinstance(age, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age.strip(), re.ASCII)
        if found is None:
            raise ValueError(f"expected an age such as 12h, a number and one of s, m, h, d, w, got {age!r}")
        try:
            return timedelta(**{_UNITS[found[2]]: float(found[1])})
        except OverflowError:
            raise ValueError(f"expected an age of at most {timedelta.max.days}d, got {age}") from None
    if age < timedelta(0):
        raise ValueError(f"expected an age of zero or more, got {age}")
    return age
