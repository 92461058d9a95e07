"""Report of the symlinks to directories that a reader of a tree did not follow."""

from __future__ import annotations

from typing import TypeAlias

from llenergymeasure._log import log
from llenergymeasure._warnings import warn
from llenergymeasure.results._paths import Place

Links: TypeAlias = "tuple[int, int, str | None]"
"""The number of links to directories, the number of links that cannot be followed, and the first of both."""


def warn_of_links(root: Place, links: Links) -> None:
    """Warn once of all links that a reader skipped.

    Warns:
        UserWarning: A link to a directory was not followed, or a link cannot be followed.
    """
    to_directories, broken, first = links
    parts = []
    if to_directories:
        noun, verb = _inflected(to_directories, "was", "were")
        target = "a directory" if to_directories == 1 else "directories"
        parts.append(
            f"{to_directories} {noun} to {target} {verb} not followed "
            "(follow_links=True or --follow-links follows them)"
        )
    if broken:
        noun, _ = _inflected(broken, "", "")
        parts.append(f"{broken} {noun} cannot be followed")
    if parts:
        text = f"{' and '.join(parts)} in {str(root)!r}; the first: {first!r}"
        log([text])
        warn(text)


def _inflected(count: int, one: str, several: str) -> tuple[str, str]:
    return ("symbolic link", one) if count == 1 else ("symbolic links", several)
