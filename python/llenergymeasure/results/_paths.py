"""Paths that callers give: a leading `~` is expanded, and a URL is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from llenergymeasure.errors import PersistenceError

if TYPE_CHECKING:
    from llenergymeasure.results.types import TimeseriesSource

_PATH: Final = type(Path())

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?:/|\Z)")
"""A scheme of two characters or more, as `s3:/` too: `Path("s3://x")` is `s3:/x`. `C:/` is a drive."""


def local_path(path: str | os.PathLike[str], name: str = "path") -> str:
    """Return a path on a file system, with a leading `~` expanded.

    Args:
        path: The path as the caller gave it.
        name: The parameter, for the message.

    Raises:
        TypeError: `path` is not a string or a path.
        ValueError: `path` is a URL, or the home directory that it names is unknown.
    """
    text = os.fsdecode(path)
    if text.startswith("~"):
        return _in_home(text, name)
    # The pattern needs a colon, and most paths have none.
    url = _URL.match(text) if ":" in text else None
    if url is not None:
        raise ValueError(_refusal(text, url[1].lower(), name))
    return text


def _in_home(text: str, name: str) -> str:
    user = text[1:].partition("/")[0]
    # Python takes an empty HOME for the root directory.
    expanded = os.path.expanduser(text) if user or os.environ.get("HOME", "/") else text  # noqa: PTH111
    if os.path.isabs(expanded):  # noqa: PTH117
        return expanded
    whose = f"of the user {user!r}" if user else "of this user"
    raise ValueError(
        f"{name} expects a path in a known home directory, got {text!r}, but the home directory {whose} is "
        f"unknown; write ./{text} for a directory of that name"
    )


def _refusal(text: str, scheme: str, name: str) -> str:
    if scheme == "file":
        path = re.sub(r"\A/*(?=/)", "", unquote(text.partition(":")[2]).removeprefix("//localhost"))
        advice = f"give the path {path!r}" if path.startswith("/") else "give the path itself"
    elif "://" in text:
        advice = "mount the storage and give the path of its directory"
    else:
        advice = f"write ./{text} for a directory of that name"
    return f"{name} expects a path on a file system, got the URL {text!r}; {advice}"


def absolute(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return a local path made absolute by the working directory; symlinks and `..` stay unresolved.

    Raises:
        PersistenceError: The working directory was removed.
        ValueError: As `local_path`.
    """
    text = local_path(path, name)
    # Parsing a path takes several microseconds.
    local = path if type(path) is _PATH and not os.fspath(path).startswith("~") else Path(text)
    try:
        return local.absolute()
    except OSError as error:  # the working directory was removed
        raise PersistenceError(error.errno, error.strerror, text, "open_output_dir") from error


class _Refused:
    """A source that is refused as the store reads it, so that the result is saved in any case."""

    def __init__(self, error: ValueError) -> None:
        self._error = error

    def __fspath__(self) -> str:
        raise self._error


def local_source(source: TimeseriesSource | None) -> TimeseriesSource | None:
    """Return the source of a sidecar with its path expanded; a refused path fails as the store reads it."""
    if source is None or not isinstance(source, (str, os.PathLike)) or hasattr(source, "__arrow_c_stream__"):
        return source
    try:
        return local_path(source, "timeseries_source")
    except ValueError as error:
        return _Refused(error)
    except TypeError:  # a bytes path: the store reports it
        return source
