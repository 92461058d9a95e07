"""The runs that a sweep lacks: `ResultStore.missing`."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Hashable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from operator import index
from typing import Generic, TypeVar

from llenergymeasure.domain._comparable import comparable
from llenergymeasure.domain._json import to_json_object
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.results._columns import CONFIG
from llenergymeasure.results._paths import Place
from llenergymeasure.results._plan import count_hashes, scan_results

Config = TypeVar("Config")

_HASH = "measurement_config_hash"


@dataclass
class _Asked(Generic[Config]):
    """A configuration that is asked for, in the spelling that came first."""

    config: Config
    digests: set[str] = field(default_factory=set)
    runs: range = range(0)
    """The repeats that the shard has, by their numbers."""


def missing_runs(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    configs: Iterable[Config],
    repeats: int,
    shard: tuple[int, int] | None,
    *,
    retry_failed: bool,
    limit: int | None,
    follow_links: bool,
) -> list[Config]:
    """Return the configurations to run; see `ResultStore.missing`."""
    repeats = _at_least(repeats, 1, "repeats")
    part = _checked_shard(shard)
    asked: dict[Hashable, _Asked[Config]] = {}
    for config in configs:
        digest = compute_measurement_config_hash(config)
        form = comparable(to_json_object(config))
        asked.setdefault(form, _Asked(config)).digests.add(digest)
    _divide(asked.values(), repeats, part)
    asked = {form: one for form, one in asked.items() if one.runs}
    done = _count(root, asked, repeats, retry_failed=retry_failed, limit=limit, follow_links=follow_links)
    # A whole round of the sweep comes before the next repeat of its first configuration.
    lacking = ((run, one.config) for form, one in asked.items() for run in one.runs if run >= done[form])
    return [config for _, config in sorted(lacking, key=lambda pair: pair[0])]


def _at_least(value: object, least: int, name: str) -> int:
    try:
        number = index(value)  # type: ignore[arg-type] # anything else is not an integer
    except TypeError:
        raise TypeError(f"{name} expects an integer, got {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name} expects at least {least}, got {number}")
    return number


def _checked_shard(shard: object) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    if not isinstance(shard, (tuple, list)) or len(shard) != 2:  # noqa: PLR2004 - a pair
        raise TypeError(f"shard expects a pair of a number and the number of shards, got {shard!r}")
    number, count = _at_least(shard[0], 0, "shard"), _at_least(shard[1], 1, "the number of shards")
    if number >= count:
        raise ValueError(
            f"shard expects a number from 0 to {count - 1} of {count} shards, got {number}; "
            "count the shards from 0"
        )
    return number, count


def _divide(asked: Iterable[_Asked[Config]], repeats: int, shard: tuple[int, int]) -> None:
    """Give each configuration the repeats that a shard has.

    The repeats of all configurations, in the order of the hashes, are cut into pieces whose lengths differ by
    one at most. So few configurations have their repeats in different shards.
    """
    ordered = sorted(asked, key=lambda one: min(one.digests))
    number, count = shard
    total = len(ordered) * repeats
    first, end = number * total // count, (number + 1) * total // count
    for place, one in enumerate(ordered):
        begin = place * repeats
        one.runs = range(max(first - begin, 0), max(min(end - begin, repeats), 0))


class _Tally(Generic[Config]):
    """The number of runs of each configuration, which the records of a kind add to."""

    def __init__(self, asked: dict[Hashable, _Asked[Config]], repeats: int) -> None:
        self.done: Counter[Hashable] = Counter()
        self._repeats, self._short = repeats, {*asked}
        self._forms: defaultdict[str, set[Hashable]] = defaultdict(set)
        for form, one in asked.items():
            for digest in one.digests:
                self._forms[digest].add(form)

    def add_hashes(self, counts: dict[str, int]) -> None:
        """Add records by their hash."""
        for digest in self._forms.keys() & counts.keys():
            for form in self._forms[digest]:
                self._add(form, counts[digest])

    def add_equal(self, configs: Iterator[tuple[str, Hashable]]) -> None:
        """Add the records that have the configuration, and the hash of another one."""
        while self._short and (record := next(configs, None)) is not None:
            digest, form = record
            if form in self._short and form not in self._forms.get(digest, ()):
                self._add(form, 1)

    def _add(self, form: Hashable, count: int) -> None:
        self.done[form] += count
        if self.done[form] >= self._repeats:
            self._short.discard(form)


def _count(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    asked: dict[Hashable, _Asked[Config]],
    repeats: int,
    *,
    retry_failed: bool,
    limit: int | None,
    follow_links: bool,
) -> Counter[Hashable]:
    """Count the runs of each configuration below a root, at least up to the repeats."""
    tally = _Tally(asked, repeats)
    if not asked or (isinstance(root, str) and not os.path.lexists(root)):
        return tally.done
    hashes, failures = count_hashes(root, limit=limit, follow_links=follow_links)
    tally.add_hashes(hashes)
    if with_failures := bool(failures and not retry_failed):
        failed, _ = count_hashes(root, limit=limit, follow_links=follow_links, failures=True)
        tally.add_hashes(failed)
    for is_failure in (False, True) if with_failures else (False,):
        with closing(_configs(root, limit, follow_links=follow_links, failures=is_failure)) as configs:
            tally.add_equal(configs)
    return tally.done


def _configs(
    root: Place, limit: int | None, *, follow_links: bool, failures: bool
) -> Generator[tuple[str, Hashable], None, None]:
    """Yield the hash and the configuration of each record; the count of the hashes has warned."""
    scan = scan_results(
        root,
        [_HASH, CONFIG],
        config="json",
        on_error="collect",
        limit=limit,
        follow_links=follow_links,
        warns_of_links=False,
        failures=failures,
    )
    forms: dict[str, Hashable] = {}
    for batch in scan:
        columns = batch.to_pydict()
        forms = {text: form for text in set(columns[CONFIG]) for form in _form(text, forms)}
        for digest, text in zip(columns[_HASH], columns[CONFIG], strict=True):
            if text in forms:
                yield digest, forms[text]


def _form(text: str, known: dict[str, Hashable]) -> list[Hashable]:
    """Return the configuration in a text; none where it is of no program that uses this package."""
    if text in known:
        return [known[text]]
    # It is nested too deep, or has too long a number.
    with suppress(ValueError, RecursionError):
        return [comparable(json.loads(text))]
    return []
