"""Roots and paths that callers give: on a file system, or in an object store."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from llenergymeasure import _store
from llenergymeasure.domain._protocols import is_store_path
from llenergymeasure.errors import PersistenceError

if TYPE_CHECKING:
    from llenergymeasure._store import ObjectStorage
    from llenergymeasure.results._access import CacheChoice
    from llenergymeasure.results.store_path import StorePath
    from llenergymeasure.types import CredentialProvider, Options, PathArgument, RootArgument

_PATH: Final = type(Path())

URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?:/|\Z)|([sS]3|[gG][sS]|[aA][zZ]|[fF][iI][lL][eE]):")
"""A scheme of two characters or more, as `s3:/` too: `Path("s3://x")` is `s3:/x`. `C:/` is a drive."""

Place: TypeAlias = "str | StorePath"
"""A path on a file system, as `str`, or in an object store."""


def local_path(path: PathArgument, name: str = "path") -> str:
    """Return a path on a file system, with a leading `~` expanded, or that of a `file://` URL.

    Args:
        path: The path as the caller gave it.
        name: The parameter, for the message.

    Raises:
        TypeError: `path` is not a string or a path.
        ValueError: `path` is another URL, or the home directory that it names is unknown.
    """
    place = _found(path, name)
    if isinstance(place, str):
        return place
    raise ValueError(
        f"{name} expects a path on a file system, got the URL {str(place)!r}; use a local file, and copy it"
    )


def located(path: RootArgument, name: str = "path") -> Place:
    """Return a path on a file system as `local_path`, or a path in an object store.

    Raises:
        TypeError: `path` is not a string, a path or an object store.
        ValueError: `path` is an invalid URL, or in an unknown home directory; or this build has no object
            stores.
    """
    place = _found(path, name)
    if not isinstance(place, str) and not hasattr(_store, "ObjectStorage"):
        raise ValueError(
            f"{name} expects a path on a file system, got the URL {str(place)!r}; "
            "this build has no object stores: install the published wheel"
        )
    return place


def absolute(path: RootArgument, name: str = "path") -> Path | StorePath:
    """Return a root: a path made absolute by the working directory, or a path in an object store.

    Symlinks and `..` stay unresolved.

    Raises:
        PersistenceError: The working directory was removed.
        TypeError, ValueError: As `located`.
    """
    place = located(path, name)
    if not isinstance(place, str):
        return place
    # Parsing a path takes several microseconds.
    local = path if type(path) is _PATH and place == os.fspath(path) else Path(place)
    try:
        return local.absolute()
    except OSError as error:  # the working directory was removed
        raise PersistenceError(error.errno, error.strerror, place, "open_output_dir") from error


def with_access(
    root: Path | StorePath,
    options: Options | None,
    credential_provider: CredentialProvider | None,
    cache: CacheChoice | None = None,
) -> Path | StorePath:
    """Return a root with the options, the credential provider and the cache of a caller.

    Raises:
        TypeError: `options` or `credential_provider` is of a wrong type.
        ValueError: An option is unknown, or the root is on a file system and takes neither.
    """
    if isinstance(root, Path):
        if options or credential_provider is not None:
            given = "options" if options else "credential_provider"
            raise ValueError(
                f"{given} expects the URL of an object store as root, got the path {str(root)!r}"
            )
        return root
    from llenergymeasure.results.store_path import StorePath  # noqa: PLC0415 - not for local roots

    path = StorePath(root, options=options, credential_provider=credential_provider)._with_cache(cache)  # noqa: SLF001 - as in handle
    handle(path)  # an unknown option is an error here, and not of the first save
    return path


def handle(place: Path | Place) -> str | ObjectStorage:
    """Return a place for the extension."""
    if isinstance(place, (str, Path)):
        return str(place)
    return place._storage()  # noqa: SLF001 - users have no need of it


def to_place(origin: Place, found: str) -> Place:
    """Return a path that the extension found at a place: the same string, or a path with the same access."""
    return found if isinstance(origin, str) else origin._at(found)  # noqa: SLF001 - as in handle


def to_path(origin: Place, found: str | Path) -> Path | StorePath:
    """Return a path that the extension found at a place."""
    if isinstance(found, Path):
        return found
    return Path(found) if isinstance(origin, str) else origin._at(found)  # noqa: SLF001 - as in handle


def file_system_path(place: Place, what: str) -> str:
    """Return the path of a place for `os.fspath`.

    Raises:
        TypeError: The place is in an object store, where no file has a path.
    """
    if isinstance(place, str):
        return place
    raise TypeError(f"expected {what} on a file system, got {place}; use str() of its path for the URL")


def joined(place: Place, name: str) -> Place:
    """Return a place below another one; an absolute name replaces a path on a file system."""
    return os.path.join(place, name) if isinstance(place, str) else place.joinpath(name)  # noqa: PTH118


def _found(path: RootArgument, name: str) -> Place:
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type] # anything else is not a path
    except TypeError:
        return _of_object_store(path, name)
    if text.startswith("~"):
        return _in_home(text, name)
    # The pattern needs a colon, and most paths have none.
    url = URL.match(text) if ":" in text else None
    return text if url is None else _of_url(text, name)


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


def _of_url(text: str, name: str) -> Place:
    from llenergymeasure.results import _urls  # noqa: PLC0415 - not for local paths

    scheme = _urls.scheme_of(text)
    if scheme == "file":
        return _urls.path_of_file_url(text, name)
    if scheme not in _urls.SCHEMES:
        raise _urls.unknown_scheme(text, name)
    from llenergymeasure.results.store_path import StorePath  # noqa: PLC0415 - not for local paths

    return StorePath._of(_urls.normal_url(text, name))  # noqa: SLF001 - as in handle


def _of_object_store(path: object, name: str) -> Place:
    """Return the path that is not `os.PathLike`: a `StorePath`, or the prefix of a store of obstore."""
    from llenergymeasure.results import _obstore  # noqa: PLC0415 - not for local paths
    from llenergymeasure.results.store_path import StorePath  # noqa: PLC0415 - as above

    if isinstance(path, StorePath):
        return path
    place = _obstore.place_of(path, name)
    if place is not None:
        return place
    raise TypeError(f"{name} expects a path, a URL or a StorePath, got {type(path).__name__}")


def shown_source(source: Any) -> str:  # noqa: ANN401 - as local_source
    """Return the path or the URL of a source that `local_source` returned."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else str(source.url)


class _Refused:
    """A source that is refused as the store reads it, so that the result is saved in any case."""

    def __init__(self, error: ValueError) -> None:
        self._error = error

    def __fspath__(self) -> str:
        raise self._error


def local_source(source: Any) -> Any:  # noqa: ANN401 - a source, for the extension
    """Return the source of a sidecar for the extension; a refused path fails as the store reads it."""
    if source is None or not (_is_path(source) or is_store_path(source)):
        return source
    try:
        return handle(located(source, "timeseries_source"))
    except ValueError as error:
        return _Refused(error)


def _is_path(source: object) -> bool:
    return isinstance(source, (str, os.PathLike)) and not hasattr(source, "__arrow_c_stream__")
