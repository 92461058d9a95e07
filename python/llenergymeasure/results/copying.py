"""Copies of whole results, with their power traces, from other stores: `ResultStore.copy_from`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._warnings import warn
from llenergymeasure.errors import BulkSaveError, LLEMError, SaveInterrupted
from llenergymeasure.results._columns import RECORD_CHECK
from llenergymeasure.results._compare import Copy, compare
from llenergymeasure.results._conditions import listed
from llenergymeasure.results._copy_names import PulledNames, PushedNames
from llenergymeasure.results._encode import Encoded, directory_name, naming_sidecar, to_record
from llenergymeasure.results._limit import max_bytes
from llenergymeasure.results._load import Faults, parse_record, read_record, sidecar_fault
from llenergymeasure.results._paths import Place, handle, joined, to_path
from llenergymeasure.results.save_many import save_pairs

if TYPE_CHECKING:
    from llenergymeasure.results.store import ResultStore
    from llenergymeasure.results.types import Condition, Progress
    from llenergymeasure.types import ResultPath

__all__ = ["Copier", "CopyInterrupted", "Copying", "Found", "Skipped", "Unreadable", "copy_results"]

INSIDE: Final = "it is in this store"
SAME: Final = "this store has the same record"
SAME_FAILURE: Final = "this store has the same failure"
SAME_WITHOUT_TRACE: Final = "this store has the same record, without its power trace"

_DIGEST_BYTES: Final = 16


@dataclass(repr=False)
class Copying:
    """The outcome of a copy, by the path of each source's `result.json`.

    Attributes:
        root: The root of the store that the results were copied to.
        copied: The path of each new `result.json` or `failure.json`; in a dry run, which chooses no names,
            the root.
        renamed: The new name of each copied directory whose name has changed, as where it was taken.
        skipped: The reason why a result was not copied: the store has it already.
        failed: The error of each result that is not a valid result, or was not saved. A `SidecarError` has
            the path of a record that was copied without its power trace: `result_path`. A
            `ResultCorruptError` may be that of a copy whose power trace has other bytes.
        dry_run: True if nothing was copied.
    """

    root: ResultPath
    copied: dict[ResultPath, ResultPath] = field(default_factory=dict)
    renamed: dict[ResultPath, str] = field(default_factory=dict)
    skipped: dict[ResultPath, str] = field(default_factory=dict)
    failed: dict[ResultPath, Exception] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def ok(self) -> bool:
        """True if no result failed."""
        return not self.failed

    def note_copied(self, copied: dict[ResultPath, ResultPath]) -> None:
        """Add copies, and the new names of those whose name has changed."""
        self.copied.update(copied)
        given = {path: copy.parent.name for path, copy in copied.items()}
        self.renamed.update({path: name for path, name in given.items() if name != path.parent.name})

    def __repr__(self) -> str:
        """Return the counts and the root."""
        return f"<Copying to {str(self.root)!r}: {self}>"

    def __str__(self) -> str:
        """Return the counts as in `12 copied, 3 skipped, 1 failed`."""
        counts = ((len(self.skipped), "skipped"), (len(self.failed), "failed"))
        parts = [
            f"{len(self.copied):,} {'to copy' if self.dry_run else 'copied'}",
            *(f"{count:,} {what}" for count, what in counts if count),
        ]
        return ", ".join(parts)


class CopyInterrupted(SaveInterrupted):
    """A `SaveInterrupted` of a copy.

    Attributes:
        copying: What was copied, renamed and skipped, and what failed, until then.
    """

    def __init__(self, copying: Copying, unconfirmed: dict[ResultPath, ResultPath]) -> None:
        """Store the outcome so far, and the copies without an answer."""
        super().__init__(copying.copied, copying.failed, unconfirmed)
        self.args = (copying, unconfirmed)
        self.copying = copying


class Found(NamedTuple):
    """A result to copy: its record on disk, its content, and its power trace, or None."""

    path: ResultPath
    encoded: Encoded
    sidecar: Place | None

    @property
    def digest(self) -> bytes:
        """The digest of the record that a copy writes."""
        return _digest(self.encoded.with_sidecar or self.encoded.record)


class Skipped(NamedTuple):
    """A result that the store has already."""

    path: ResultPath
    reason: str


class Unreadable(NamedTuple):
    """A file that is not a valid result."""

    path: ResultPath
    error: Exception


class Copier:
    """A finder of the results that a store lacks.

    A result in the store's own tree is not copied, so that a store in a store never grows without end. A
    result whose record the store has is not copied again, so that an interrupted copy can be repeated. A
    record that occurs twice in one source is two results.

    Args:
        target: The store to copy to. Its records are read before the first copy; memory holds 16 bytes of
            each, and the paths of a batch of the source.
        redact: Find records without their credentials; see `ResultStore.save`.
    """

    def __init__(self, target: ResultStore, *, redact: bool = False) -> None:
        """Create a finder for a store, which need not exist."""
        self._target, self._redact = target, redact
        root = target._root  # noqa: SLF001 - not for users
        self._target_place = os.path.realpath(root) if isinstance(root, str) else root
        # The number of records with each digest, and of those without a power trace.
        self._there: Counter[bytes] | None = None
        self._bare: Counter[bytes] = Counter()
        self._noted: Counter[bytes] = Counter()
        self.missing = Faults("sidecars are missing")

    def find(
        self, source: ResultStore, where: Iterable[Condition] | None
    ) -> Iterator[Found | Skipped | Unreadable]:
        """Find the results of another store that meet the conditions, in the order of their paths."""
        scan = source.scan(["path"], where=where, on_error="collect")
        there = self._read_target()
        there.update(self._noted)
        self._noted.clear()
        used: Counter[bytes] = Counter()
        self.missing = Faults("sidecars are missing")
        reported = 0
        for batch in scan:
            yield from (Unreadable(*error) for error in list(scan.errors.items())[reported:])
            reported = len(scan.errors)
            for place in batch.to_pydict()["path"]:
                found = self._look_at(source, place)
                if isinstance(found, Found) and there[found.digest] > used[found.digest]:
                    used[found.digest] += 1
                    is_bare = found.sidecar is not None and self._bare[found.digest] > 0
                    found = Skipped(found.path, SAME_WITHOUT_TRACE if is_bare else SAME)
                yield found
        yield from (Unreadable(*error) for error in list(scan.errors.items())[reported:])

    def note_saved(self, found: Found) -> None:
        """Note that the store has a result now, for the sources after the current one."""
        self._noted[found.digest] += 1

    def _look_at(self, source: ResultStore, place: str) -> Found | Skipped | Unreadable:
        directory = joined(source._root, place)  # noqa: SLF001 - not for users
        if isinstance(directory, str):
            directory = os.path.normpath(directory)
        record = joined(directory, _store.RECORD)
        path = to_path(record, str(record))
        if self.holds(directory):
            return Skipped(path, INSIDE)
        try:
            return self._read(directory, record, source.max_record_bytes)
        except (LLEMError, ValidationError) as error:
            return Unreadable(path, error)

    def holds(self, directory: Place | Path) -> bool:
        """Return True for a directory in the tree of the store to copy to."""
        root = self._target_place
        if isinstance(directory, Path):
            directory = str(directory)
        if isinstance(directory, str) and isinstance(root, str):
            place = os.path.realpath(directory)
            return place == root or place.startswith(os.path.join(root, ""))  # noqa: PTH118
        if isinstance(directory, str) or isinstance(root, str):
            return False
        return directory._is_surely_in(root)  # noqa: SLF001 - not for users

    def _read(self, directory: Place, record: Place, limit: int) -> Found:
        _, content, has_sidecar = read_record(record, limit)
        result = parse_record(record, content)
        name, problem = result.timeseries, None
        if name is None:
            name = _store.SIDECAR if has_sidecar else None
        else:
            problem = sidecar_fault(record, name, found=has_sidecar)
        if problem is not None:
            self.missing.add(f"{record} {problem}")
        clean = result
        if self._redact:
            from llenergymeasure.domain.secrets import redacted  # noqa: PLC0415 - rarely needed

            clean = redacted(result)
        compact = _store.compact(content) if clean is result else to_record(clean)
        sidecar = with_sidecar = None
        if name is not None and problem is None:
            sidecar = joined(directory, name)
            with_sidecar = compact if result.timeseries == _store.SIDECAR else naming_sidecar(clean)
        base = _store.given_base(str(directory).rpartition("/")[2])
        encoded = Encoded(base or directory_name(result), compact, with_sidecar)
        return Found(to_path(record, str(record)), encoded, sidecar)

    def _read_target(self) -> Counter[bytes]:
        if self._there is None:
            self._there = Counter()
            root = self._target_place
            if not isinstance(root, str) or os.path.isdir(root):  # noqa: PTH112
                documents = _store.Documents(
                    handle(root),
                    RECORD_CHECK(),
                    max_bytes=max_bytes(self._target.max_record_bytes),
                    follow_links=self._target.follow_links,
                )
                while (read := documents.next()) is not None:
                    for _, content, has_sidecar, fault, _ in read:
                        if content is not None and fault is None:
                            digest = _digest(_store.compact(content))
                            self._there[digest] += 1
                            self._bare[digest] += not has_sidecar
        return self._there


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


def copy_results(  # noqa: PLR0913 - the parameters of the method
    target: ResultStore,
    source: ResultStore,
    where: Iterable[Condition] | None,
    *,
    durable: bool,
    redact: bool,
    dry_run: bool,
    progress: Progress | None,
    flush_method: str | None,
) -> Copying:
    """Copy results and failures from another store; see `ResultStore.copy_from`."""
    # Not with the package, since it loads `concurrent.futures`; and before the first copy.
    from llenergymeasure.results._copy_failures import copy_failures  # noqa: PLC0415

    where = None if where is None else listed(where)
    copying = Copying(target.root, dry_run=dry_run)
    copier = Copier(target, redact=redact)
    paths: list[ResultPath] = []
    sidecars: list[Place | None] = []

    choose = _choice_of_names(target, source)

    def pairs() -> Iterator[tuple[Encoded, Place | None]]:
        for found in copier.find(source, where):
            if isinstance(found, Skipped):
                copying.skipped[found.path] = found.reason
            elif isinstance(found, Unreadable):
                copying.failed[found.path] = found.error
            elif dry_run:
                copying.copied[found.path] = target.root
            else:
                paths.append(found.path)
                sidecars.append(found.sidecar)
                yield (
                    choose(found.encoded, found.path.parent.name, found.sidecar is not None),
                    found.sidecar,
                )

    try:
        saved = dict(
            enumerate(
                save_pairs(
                    target._root,  # noqa: SLF001 - not for users
                    pairs(),
                    None,
                    durable=durable,
                    progress=progress,
                    flush_method=flush_method,
                )
            )
        )
    except BulkSaveError as error:
        saved = error.saved
        copying.failed.update({paths[index]: failure for index, failure in error.failed.items()})
    except SaveInterrupted as interrupt:
        copying.failed.update({paths[index]: failure for index, failure in interrupt.failed.items()})
        copying.note_copied({paths[index]: copy for index, copy in interrupt.saved.items()})
        unconfirmed = {paths[index]: copy for index, copy in interrupt.unconfirmed.items()}
        raise CopyInterrupted(copying, unconfirmed) from interrupt
    copying.note_copied({paths[index]: path for index, path in saved.items()})
    _compare_traces(
        copying,
        [
            Copy(paths[index], trace, path)
            for index, path in saved.items()
            if (trace := sidecars[index]) is not None
        ],
    )
    try:
        copy_failures(
            copying,
            target,
            source,
            where,
            skipped=lambda path: INSIDE if copier.holds(path.parent) else None,
            same=SAME_FAILURE,
            durable=durable,
            redact=redact,
        )
    except KeyboardInterrupt as interrupt:
        raise CopyInterrupted(copying, {}) from interrupt
    copier.missing.warn()
    if copying.failed:
        path, first = next(iter(copying.failed.items()))
        total = len(copying.copied) + len(copying.failed)
        warn(
            f"{len(copying.failed)} of {total} results were not copied completely; the first: {path}: {first}"
        )
    return copying


def _choice_of_names(target: ResultStore, source: ResultStore) -> Callable[[Encoded, str, bool], Encoded]:
    """Return the function that chooses names, from a result, its name, and true if it has a power trace."""
    is_local, is_from_local = (isinstance(store._root, str) for store in (target, source))  # noqa: SLF001
    if not is_local:
        return PushedNames(source.root).choose
    if not is_from_local:
        return PulledNames(target.root).choose
    return lambda encoded, _name, _with_sidecar: encoded


def _compare_traces(copying: Copying, copies: list[Copy]) -> None:
    """Move each copy whose power trace differs from its source to the failures."""
    try:
        differing = compare(copies)
    except KeyboardInterrupt as interrupt:
        raise CopyInterrupted(copying, {}) from interrupt
    copying.failed.update(differing)
    for path in differing:
        del copying.copied[path]
        copying.renamed.pop(path, None)
