"""Copies of the failures of another store, next to those of its results: `ResultStore.copy_from`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from llenergymeasure import _store
from llenergymeasure.domain.failure import FailedRun
from llenergymeasure.errors import LLEMError
from llenergymeasure.results._encode import directory_name
from llenergymeasure.results._plan import scan_results
from llenergymeasure.results.failures import encode_failure, raw_failures, save_encoded

if TYPE_CHECKING:
    from llenergymeasure.results.copying import Copying
    from llenergymeasure.results.store import ResultStore
    from llenergymeasure.results.types import Condition
    from llenergymeasure.types import ResultPath

__all__ = ["copy_failures"]

_THREADS = 16
_BATCH = 4 * _THREADS


class _Found(NamedTuple):
    """A failure to copy, and the bytes of its copy."""

    path: ResultPath
    record: bytes


def copy_failures(  # noqa: PLR0913 - keywords
    copying: Copying,
    target: ResultStore,
    source: ResultStore,
    where: Iterable[Condition] | None,
    *,
    skipped: Callable[[ResultPath], str | None],
    same: str,
    durable: bool,
    redact: bool,
) -> None:
    """Copy the failures that a store lacks, and add them to the outcome of the copy of its results.

    Args:
        copying: The outcome.
        target: The store to copy to.
        source: The store to copy from.
        where: The conditions on results. Those on other fields than a failure has select no failure.
        skipped: A function that returns why a failure is not copied, from its path, or None.
        same: The reason for a failure that the store has.
        durable: As for `ResultStore.save`.
        redact: As for `ResultStore.copy_from`.
    """
    found = _lacking(copying, target, source, where, skipped=skipped, same=same, redact=redact)

    def save(one: _Found) -> ResultPath | LLEMError:
        try:
            return save_encoded(target.root, _name(*one), one.record, durable=durable)
        except LLEMError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:  # many flushes or requests in flight share their time
        while batch := [*islice(found, _BATCH)]:
            for one, outcome in zip(batch, pool.map(save, batch), strict=True):
                if isinstance(outcome, LLEMError):
                    copying.failed[one.path] = outcome
                else:
                    copying.note_copied({one.path: outcome})


def _lacking(  # noqa: PLR0913 - as above
    copying: Copying,
    target: ResultStore,
    source: ResultStore,
    where: Iterable[Condition] | None,
    *,
    skipped: Callable[[ResultPath], str | None],
    same: str,
    redact: bool,
) -> Iterator[_Found]:
    """Yield the failures to copy; note the others, and in a dry run all of them, in the outcome."""
    wanted = None if where is None else _meeting(source, list(where))
    there: Counter[bytes] | None = None
    limit, follow_links = source.max_record_bytes, source.follow_links
    for path, content, fault in raw_failures(source._root, limit, follow_links=follow_links):  # noqa: SLF001
        if wanted is not None and path.parent not in wanted:
            continue
        if there is None:
            there = _digests(target)
        record = content if fault is not None else _encoded(content, redact=redact)
        if (reason := skipped(path)) is not None:
            copying.skipped[path] = reason
        elif fault is not None:
            copying.failed[path] = fault
        elif there[_digest(record)] > 0:
            there[_digest(record)] -= 1
            copying.skipped[path] = same
        elif copying.dry_run:
            copying.copied[path] = target.root
        else:
            yield _Found(path, record)


def _name(path: ResultPath, record: bytes) -> str:
    base = _store.given_base(path.parent.name)
    return base or _store.failure_name(directory_name(FailedRun.model_validate_json(record)))


def _encoded(content: bytes, *, redact: bool) -> bytes:
    """Return the bytes of a copy of a failure."""
    if redact:
        from llenergymeasure.domain.secrets import redacted_failure  # noqa: PLC0415 - rarely needed

        run = FailedRun.model_validate_json(content)
        clean = redacted_failure(run)
        if clean is not run:
            return encode_failure(clean)
    return _store.compact(content)


def _digests(store: ResultStore) -> Counter[bytes]:
    """Return the number of failures of a store with each digest."""
    limit, follow_links = store.max_record_bytes, store.follow_links
    read = raw_failures(store._root, limit, follow_links=follow_links)  # noqa: SLF001 - not for users
    return Counter(_digest(_store.compact(content)) for _, content, fault in read if fault is None)


def _digest(record: bytes) -> bytes:
    return blake2b(record, digest_size=16).digest()


def _meeting(source: ResultStore, where: list[Condition]) -> set[ResultPath]:
    """Return the directories of the failures that meet conditions; none if these are on other fields."""
    try:
        scan = scan_results(
            source._root,  # noqa: SLF001 - not for users
            ["path"],
            where=where,
            on_error="collect",
            limit=source.max_record_bytes,
            follow_links=source.follow_links,
            warns_of_links=False,
            failures=True,
        )
        return {source.root.joinpath(path) for batch in scan for path in batch.to_pydict()["path"]}
    except (ValueError, FileNotFoundError):
        return set()
