"""The configurations of a sweep without a result: `ResultStore.missing`."""

from __future__ import annotations

import json
from collections.abc import Generator, Hashable
from contextlib import closing, suppress

from llenergymeasure.domain._comparable import comparable
from llenergymeasure.results._columns import CONFIG
from llenergymeasure.results._paths import Place
from llenergymeasure.results._plan import scan_results


def stored_among(
    root: Place, wanted: set[Hashable], *, limit: int | None, follow_links: bool
) -> set[Hashable]:
    """Return the wanted configurations that a result below a root has.

    Args:
        root: The root.
        wanted: Normalised configurations, as `comparable` returns them.
        limit: The largest record in bytes.
        follow_links: Follow symlinks to directories.
    """
    found: set[Hashable] = set()
    with closing(_configs(root, limit=limit, follow_links=follow_links)) as configs:
        for config in configs:
            if config in wanted:
                found.add(config)
                if found == wanted:
                    break
    return found


def _configs(root: Place, *, limit: int | None, follow_links: bool) -> Generator[Hashable, None, None]:
    """Yield the configurations below a root; `completed` has warned of invalid files and of links."""
    scan = scan_results(
        root,
        [CONFIG],
        config="json",
        on_error="collect",
        limit=limit,
        follow_links=follow_links,
        warns_of_links=False,
    )
    for batch in scan:
        for text in set(batch.to_pydict()[CONFIG]):
            # A configuration that is nested too deep or has too long a number is not of this package.
            with suppress(ValueError, RecursionError):
                yield comparable(json.loads(text))
