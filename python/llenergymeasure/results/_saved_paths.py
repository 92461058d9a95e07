"""The paths of many saved results, in a tenth of the memory of `Path` objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import eq
from typing import TYPE_CHECKING, Any, cast, overload

from llenergymeasure.results._paths import Place, to_path

if TYPE_CHECKING:
    from llenergymeasure.types import ResultPath

__all__ = ["SavedPaths"]

_BLOCK = 1024
_SEPARATOR = "\0"
"""No path and no URL has it."""


class SavedPaths(Sequence["ResultPath"]):
    """Paths in the order of their results; each use of an item makes its path.

    It equals a list of the same paths, and a slice of it is a list.
    """

    def __init__(self, root: Place) -> None:
        """Begin without a path."""
        self._root = root
        self._prefix = str(root)
        # Full blocks, and possibly a list that is not full. Each change is one step, between two signals.
        self._blocks: list[Any] = []

    def add(self, path: str) -> None:
        """Append a path, or an empty string where a result has none."""
        blocks = self._blocks
        if blocks and isinstance(blocks[-1], list) and len(blocks[-1]) == _BLOCK:
            blocks[-1] = _SEPARATOR.join(blocks[-1])
        if not blocks or isinstance(blocks[-1], str):
            blocks.append([])
        blocks[-1].append(path.removeprefix(self._prefix))

    def texts(self) -> Iterator[str]:
        """Return the paths as strings, and an empty string where a result has none."""
        for n in range(len(self._blocks)):
            yield from map(self._full, self._block(n))

    def _block(self, n: int) -> list[str]:
        block = self._blocks[n]
        return cast("list[str]", block.split(_SEPARATOR) if isinstance(block, str) else block)

    def _full(self, path: str) -> str:
        return path and self._prefix + path

    def __len__(self) -> int:
        """Return the number of paths."""
        if not self._blocks:
            return 0
        last = self._blocks[-1]
        return (len(self._blocks) - 1) * _BLOCK + (_BLOCK if isinstance(last, str) else len(last))

    @overload
    def __getitem__(self, index: int) -> ResultPath: ...
    @overload
    def __getitem__(self, index: slice) -> list[ResultPath]: ...
    def __getitem__(self, index: int | slice) -> ResultPath | list[ResultPath]:
        """Return a path, or a list of several."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return to_path(self._root, self._full(self._block(place // _BLOCK)[place % _BLOCK]))

    def __iter__(self) -> Iterator[ResultPath]:
        """Make one path after the other."""
        return (to_path(self._root, text) for text in self.texts())

    def __eq__(self, other: object) -> bool:
        """Compare with another sequence of paths."""
        if not isinstance(other, (SavedPaths, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment] # as a list

    def __add__(self, other: Iterable[ResultPath]) -> list[ResultPath]:
        """Return a list of these paths and others."""
        return [*self, *other]

    def __radd__(self, other: Iterable[ResultPath]) -> list[ResultPath]:
        """Return a list of others and these paths."""
        return [*other, *self]

    def __repr__(self) -> str:
        """Return the paths as a list shows them."""
        return repr(list(self))
