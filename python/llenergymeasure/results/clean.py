"""What saves that were cut short have left: `ResultStore.clean`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from llenergymeasure import _store
from llenergymeasure.results._interrupt import is_interruptible
from llenergymeasure.results.verify import Finding

__all__ = ["DAY", "Cleaning", "clean_tree", "to_age"]

DAY = timedelta(days=1)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(repr=False)
class Cleaning:
    """What became of what saves have left, in the order of the paths; of a dry run, what would.

    Attributes:
        root: The directory that was cleaned.
        dry_run: Whether nothing was changed.
        removed: Directories that are removed.
        restored: Where a cleaner was stopped with a result in its hands, which is put back.
        young: Directories that are not old enough: a save may be at work in them.
        kept: Directories that are left as they were, and why: they hold what is not the store's, or they
            cannot be removed.
    """

    root: Path
    dry_run: bool
    removed: list[Finding] = field(default_factory=list)
    restored: list[Finding] = field(default_factory=list)
    young: list[Finding] = field(default_factory=list)
    kept: list[Finding] = field(default_factory=list)

    def __repr__(self) -> str:
        """Tell the counts."""
        return f"<Cleaning of {str(self.root)!r}: {self}>"

    def __str__(self) -> str:
        """Read as `would remove 3, too young 1`."""
        would = "would " if self.dry_run else ""
        counts = [
            (len(self.removed), "would remove" if self.dry_run else "removed"),
            (len(self.restored), f"{would}put back"),
            (len(self.young), "too young"),
            (len(self.kept), "kept"),
        ]
        return ", ".join(f"{what} {count:,}" for count, what in counts if count) or "nothing to clean"


def clean_tree(root: str, *, older_than: timedelta | str, dry_run: bool) -> Cleaning:
    """Remove what saves have left; see `ResultStore.clean`."""
    interruptible = is_interruptible()
    age = to_age(older_than)
    cleaning = Cleaning(Path(root), dry_run)
    left = _store.clean(root, age.total_seconds(), dry_run=dry_run, interruptible=interruptible)
    for fate, path, what, why in left:
        told: list[Finding] = getattr(cleaning, fate)
        told.append(Finding(path, what if why is None else f"{what}: {why}"))
    return cleaning


def to_age(age: timedelta | str) -> timedelta:
    """Take an age: `90s`, `30m`, `12h`, `1d`, `2w`, or a timedelta that is not below zero."""
    if isinstance(age, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", age.strip(), re.ASCII)
        if found is None:
            raise ValueError(f"an age is a number and one of s, m, h, d and w, as in 12h, not {age!r}")
        try:
            return timedelta(**{_UNITS[found[2]]: float(found[1])})
        except OverflowError:
            raise ValueError(f"an age of {age} is beyond every clock") from None
    if age < timedelta(0):
        raise ValueError(f"an age is not below zero, as {age} is")
    return age
