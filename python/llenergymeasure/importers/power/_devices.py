"""The GPUs of a power log: several columns may tell them apart, and `gpu_index` is a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llenergymeasure.results._log_cells import integer_of

__all__ = ["Devices"]


class Devices:
    """The GPUs in the order of their first samples."""

    def __init__(self, index_place: int | None) -> None:
        """Begin; `index_place` is the place of the index in an identity, or None."""
        self._index_place = index_place
        self._known: dict[tuple[str, ...], int] = {}

    def number(self, identity: tuple[str, ...]) -> int:
        """Return the number of a GPU, in the order of their first samples."""
        return self._known.setdefault(identity, len(self._known))

    def gpu_indices(self) -> list[int]:
        """Return the `gpu_index` of each GPU: its index in the log where these differ, else its number."""
        place = self._index_place
        if place is None:
            return list(range(len(self._known)))
        found = [integer_of(identity[place]) for identity in self._known]
        indices = [index for index in found if index is not None]
        if len(indices) == len(found) and len(set(indices)) == len(indices):
            return indices
        return list(range(len(self._known)))

    def names(self) -> list[str]:
        """Return the name of each GPU: its UUID, MIG name or host, and its index if that differs."""
        found = []
        for index, identity in zip(self.gpu_indices(), self._known, strict=True):
            parts = [part for part in identity if part and part.lower() not in ("n/a", "[n/a]")]
            place = self._index_place
            is_own = place is not None and identity[place] == str(index) and not self.instances_of_one()
            if is_own:
                parts = [part for part in parts if not part.isdigit()]
            found.append("/".join(dict.fromkeys(parts)) or str(index))
        return found

    def instances_of_one(self) -> list[list[int]]:
        """Return the groups of GPUs that have one index: instances of one GPU."""
        place = self._index_place
        if place is None:
            return []
        counts = Counter(identity[place] for identity in self._known)
        shared = [name for name, count in counts.items() if count > 1]
        return [[number for each, number in self._known.items() if each[place] == name] for name in shared]


def identity_of(cells: Sequence[object], places: Sequence[int]) -> tuple[str, ...]:
    """Return the cells that tell the GPU of a row apart."""
    return tuple(str(cells[place]).strip() for place in places)
