"""`StorePath`: the path of a result in an object store."""

# ruff: noqa: SLF001 - the attributes of a path are private to this file

from __future__ import annotations

import os
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from llenergymeasure.results._access import NO_ACCESS, Access
from llenergymeasure.results._urls import SCHEMES, components, normal_url, scheme_of, shown

if TYPE_CHECKING:
    from typing_extensions import Self

    from llenergymeasure import _store
    from llenergymeasure.results._access import CacheChoice
    from llenergymeasure.types import CredentialProvider, Options

__all__ = ["StorePath"]

_Name: TypeAlias = "str | os.PathLike[str]"

_ANCHOR_SLASHES: Final = 2


class StorePath:
    """The path of an object, or of a prefix, in an object store.

    `str()` of a path is its URL: `s3://bucket/prefix/name/result.json`. Its parts have the names that
    `pathlib` gives them. It is not an `os.PathLike`, since no file system has the object: `open(path)` raises
    a `TypeError`.

    The text after the bucket is literal, as in the programs of the clouds: a `%` is not decoded. Repeated
    slashes, a slash at the end and `.` are dropped.

    Paths are equal if their URLs are, and they are ordered by their components. A path carries the options
    and the credential provider that its user passed, and so does its pickle; its repr has the URL only.

    Args:
        url: A URL that begins with `s3://`, `gs://` or `az://`, or another path.
        names: More components, as for `joinpath`.
        options: As for `ResultStore`. None is that of `url`, if that is a path.
        credential_provider: As for `ResultStore`. None is that of `url`, if that is a path.

    Raises:
        TypeError: `options` or `credential_provider` is of a wrong type.
        ValueError: The URL has another scheme, no bucket, credentials, a query, `..`, or a control character.
    """

    __slots__ = ("_access", "_url")

    _access: Access
    _url: str

    def __init__(
        self,
        url: str | StorePath,
        *names: _Name,
        options: Options | None = None,
        credential_provider: CredentialProvider | None = None,
    ) -> None:
        """Create a path; no request is made."""
        if isinstance(url, StorePath):
            self._url, self._access = url._url, url._access
        else:
            if not isinstance(url, str):
                raise TypeError(f"url expects a string or a StorePath, got {type(url).__name__}")
            self._url, self._access = normal_url(url), NO_ACCESS
        if names:
            self._url = self.joinpath(*names)._url
        if options is not None or credential_provider is not None:
            self._access = self._access.changed(options, credential_provider)

    def _at(self, url: str) -> StorePath:
        """Return the path of a URL that the store itself returned, with the access of this path."""
        return StorePath._of(url, self._access)

    def _with_cache(self, cache: CacheChoice | None) -> StorePath:
        """Return the same path with another cache; None keeps this one."""
        return self if cache is None else StorePath._of(self._url, self._access.changed(None, None, cache))

    @staticmethod
    def _of(url: str, access: Access = NO_ACCESS) -> StorePath:
        path = StorePath.__new__(StorePath)
        path._url, path._access = url, access
        return path

    def _find(self, path: _Name | StorePath) -> StorePath:
        """Return a path below this one, or that of a URL, with the access of this one if it has none."""
        if isinstance(path, str) and scheme_of(path) in SCHEMES:
            path = StorePath(path)
        if not isinstance(path, StorePath):
            return self.joinpath(path)
        return self._at(path._url) if path._access is NO_ACCESS else path

    def _is_surely_in(self, root: StorePath) -> bool:
        """Return True if this is `root` or below it: one URL may be two buckets at two endpoints."""
        return self.is_relative_to(root) and self._access.is_like(root._access)

    def _storage(self) -> _store.ObjectStorage:
        """Return the location for the extension."""
        return self._access.storage(self._url, self.parts[0])

    def _origin(self) -> StorePath:
        """Return the same path, but one whose pickle has the URL only."""
        origin = _Origin.__new__(_Origin)
        origin._url, origin._access = self._url, self._access
        return origin

    @property
    def parts(self) -> tuple[str, ...]:
        """The scheme with the bucket, as `s3://bucket`, and each component after it."""
        scheme, _, bucket, *names = self._url.split("/")
        return (f"{scheme}//{bucket}", *names)

    @property
    def parent(self) -> StorePath:
        """The path without its last component; a bucket is its own parent."""
        head, _, _ = self._url.rpartition("/")
        return self if self._url.count("/") == _ANCHOR_SLASHES else self._at(head)

    @property
    def parents(self) -> tuple[StorePath, ...]:
        """The parent, its parent, and so on to the bucket."""
        found, path = [], self
        while (parent := path.parent) is not path:
            found.append(parent)
            path = parent
        return tuple(found)

    @property
    def name(self) -> str:
        """The last component; an empty string for a bucket."""
        return self._url.rpartition("/")[2] if self._url.count("/") > _ANCHOR_SLASHES else ""

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on, as `.json`; an empty string without one."""
        return PurePosixPath(self.name).suffix

    def joinpath(self, *names: _Name) -> StorePath:
        """Return a path below this one. A name may have several components: `path / "a/b"`.

        Raises:
            ValueError: A name begins with a slash, is a URL, or has `..` or a control character.
        """
        url = self._url
        for given in names:
            name = given.as_posix() if isinstance(given, PurePath) else os.fspath(given)
            if not isinstance(name, str):
                raise TypeError(f"name expects a string, got {type(name).__name__}")
            if name.startswith("/") or "://" in name:
                raise ValueError(f"name expects a path relative to {url}, got {shown(name)!r}")
            url = "/".join([url, *components(name.split("/"), "name")])
        return self._at(url)

    def __truediv__(self, name: _Name) -> StorePath:
        """Return a path below this one, as `joinpath`."""
        if not isinstance(name, (str, os.PathLike)):
            return NotImplemented
        return self.joinpath(name)

    def with_name(self, name: str) -> StorePath:
        """Return the path with another last component.

        Raises:
            ValueError: This path is a bucket, or `name` is not one component.
        """
        if not self.name:
            raise ValueError(f"expected a path with a name, got the bucket {self}")
        if not name or name == "." or "/" in name:
            raise ValueError(f"name expects one component, got {name!r}")
        return self.parent.joinpath(name)

    def is_relative_to(self, other: str | StorePath) -> bool:
        """Return True if the path is `other` or below it."""
        root = str(other if isinstance(other, StorePath) else StorePath(other))
        return self._url == root or self._url.startswith(f"{root}/")

    def relative_to(self, other: str | StorePath) -> PurePosixPath:
        """Return the path below `other`.

        Raises:
            ValueError: The path is not `other`, nor below it.
        """
        root = other if isinstance(other, StorePath) else StorePath(other)
        if not self.is_relative_to(root):
            raise ValueError(f"expected a path below {root}, got {self}")
        return PurePosixPath(*self.parts[len(root.parts) :])

    def __str__(self) -> str:
        """Return the URL."""
        return self._url

    def __repr__(self) -> str:
        """Return the class and the URL, without options and credentials."""
        return f"StorePath({self._url!r})"

    def __eq__(self, other: object) -> bool:
        """Compare the URLs."""
        return self._url == other._url if isinstance(other, StorePath) else NotImplemented

    def __hash__(self) -> int:
        """Return the hash of the URL."""
        return hash(self._url)

    def __lt__(self, other: object) -> bool:
        """Compare the components."""
        return self.parts < other.parts if isinstance(other, StorePath) else NotImplemented

    def __le__(self, other: object) -> bool:
        """Compare the components."""
        return self.parts <= other.parts if isinstance(other, StorePath) else NotImplemented

    def __gt__(self, other: object) -> bool:
        """Compare the components."""
        return self.parts > other.parts if isinstance(other, StorePath) else NotImplemented

    def __ge__(self, other: object) -> bool:
        """Compare the components."""
        return self.parts >= other.parts if isinstance(other, StorePath) else NotImplemented

    def __copy__(self) -> Self:
        """Return the path itself, which never changes."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return the path itself: a credential provider need not support copies."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the URL, and the options and the credential provider that the user passed."""
        return StorePath._of, ((self._url,) if self._access is NO_ACCESS else (self._url, self._access))


class _Origin(StorePath):
    """The record that a result was loaded from.

    Its pickle has the URL only: a result may go anywhere, and must not take credentials with it.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return StorePath._of, (self._url,)
