"""The comparison of copied power traces with their sources, where one of the two is in an object store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from llenergymeasure import _store
from llenergymeasure._warnings import warn
from llenergymeasure.errors import PersistenceError, ResultCorruptError
from llenergymeasure.results._paths import Place, joined

if TYPE_CHECKING:
    from llenergymeasure.results.store_path import StorePath
    from llenergymeasure.types import ResultPath

_BATCH: Final = 1024
"""Objects that are looked for at once."""
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?\Z')
"""A tag that is a checksum, unless the service encrypts with a key of its own."""


class Copy(NamedTuple):
    """A power trace, and the record of its copy."""

    source: ResultPath
    """The record of the source."""
    sidecar: Place
    record: ResultPath


@dataclass(frozen=True)
class _Bytes:
    """A file or an object; its tag may be its checksum."""

    place: Place
    size: int
    tag: str | None = None

    def checksum(self) -> bytes:
        """Return the MD5 of all bytes, which are read."""
        digest = md5(usedforsecurity=False)
        if isinstance(self.place, str):
            with open(self.place, "rb") as file:  # noqa: PTH123 - as os.stat
                while part := file.read(1 << 20):
                    digest.update(part)
        else:
            digest.update(self.place._storage().get(self.size) or b"")  # noqa: SLF001 - not for users
        return digest.digest()


def compare(copies: Iterable[Copy]) -> dict[ResultPath, Exception]:
    """Compare power traces with their copies by length and checksum; return an error for each that differs.

    Two files on disks are not compared: the save has compared them.

    Warns:
        UserWarning: The store does not let this role look at the objects.
    """
    remote = [
        copy for copy in copies if not (isinstance(copy.sidecar, str) and isinstance(copy.record, Path))
    ]
    failed: dict[ResultPath, Exception] = {}
    try:
        for start in range(0, len(remote), _BATCH):
            failed |= _compare(remote[start : start + _BATCH])
    except PersistenceError as error:
        warn(f"the copied power traces were not all compared with their sources: {error}")
    return failed


def _compare(copies: Sequence[Copy]) -> dict[ResultPath, Exception]:
    places = [_sidecar(copy.record) for copy in copies]
    failed: dict[ResultPath, Exception] = {}
    for copy, place, source, made in zip(
        copies, places, _look([copy.sidecar for copy in copies]), _look(places), strict=True
    ):
        if (problem := _difference(source, made)) is not None:
            failed[copy.source] = ResultCorruptError(
                f"{place} expects the bytes of {copy.sidecar}, got {problem}; remove the copy, and copy again"
            )
    return failed


def _sidecar(record: ResultPath) -> Place:
    parent = record.parent
    return joined(str(parent) if isinstance(parent, Path) else parent, _store.SIDECAR)


def _look(places: Sequence[Place]) -> list[_Bytes | None]:
    """Return the size and the tag of each place, in order; those of one bucket are asked for together."""
    if any(isinstance(place, str) for place in places):
        return [_look_at_file(str(place)) for place in places]
    remote: list[StorePath] = [place for place in places if not isinstance(place, str)]
    bucket = remote[0].parents[-1]
    keys = [str(place).removeprefix(f"{bucket}/") for place in remote]
    found = bucket._storage().look(keys)  # noqa: SLF001 - not for users
    return [look and _Bytes(place, *look) for place, look in zip(remote, found, strict=True)]


def _look_at_file(place: str) -> _Bytes | None:
    try:
        return _Bytes(place, os.stat(place).st_size)  # noqa: PTH116 - as the places are texts
    except OSError:
        return None


def _difference(source: _Bytes | None, copy: _Bytes | None) -> str | None:
    """Return the difference of a copy as a phrase, or None."""
    if copy is None:
        return "nothing"
    if source is None:
        return None  # it was removed meanwhile
    if source.size != copy.size:
        return f"{copy.size} bytes instead of {source.size}"
    known = [_MD5.match(each.tag or "") for each in (source, copy)]
    tags = [bytes.fromhex(match[1]) for match in known if match]
    if not tags:
        return None
    if len(tags) == 1:
        tags.append(
            next(each for each, match in zip((source, copy), known, strict=True) if not match).checksum()
        )
    # A tag may be no checksum: the bytes decide.
    if tags[0] == tags[1] or source.checksum() == copy.checksum():
        return None
    return "other bytes of the same length"
