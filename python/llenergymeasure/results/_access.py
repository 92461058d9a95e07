"""The access to an object store: what a user passed for it, and the clients that are made of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from inspect import iscoroutinefunction as is_coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from llenergymeasure import _store
from llenergymeasure.results import _cache

if TYPE_CHECKING:
    from llenergymeasure.types import CredentialProvider, Options

_MAX_CLIENTS: Final = 32
_PREFIXES: Final = ("AWS_", "GOOGLE_", "AZURE_", _cache.DIRECTORY, _cache.MAX_BYTES)
"""The variables of the environment that a client reads when it is made."""


CacheChoice: TypeAlias = "bool | str"
"""The directory of the cache of records, or True for that of the user, or False for no cache."""


class Access:
    """The options and the credential provider that a user passed, and the clients made of them.

    The paths that come of one path share its access, and so its connections. A pickle has what the user
    passed, and never a value of the environment.
    """

    __slots__ = ("_clients", "cache", "credential_provider", "options")

    def __init__(
        self,
        options: dict[str, str] | None = None,
        credential_provider: CredentialProvider | None = None,
        cache: CacheChoice = True,  # noqa: FBT002 - a setting of three kinds
    ) -> None:
        self.options = options
        self.cache = cache
        self.credential_provider = credential_provider
        self._clients: dict[object, _store.ObjectStorage] = {}

    def changed(
        self,
        options: Options | None,
        credential_provider: CredentialProvider | None,
        cache: CacheChoice | None = None,
    ) -> Access:
        """Return an access with other options, another provider or cache; None keeps the old ones.

        Raises:
            TypeError: An argument is of a wrong type.
        """
        if credential_provider is not None and not callable(credential_provider):
            given = type(credential_provider).__name__
            raise TypeError(f"credential_provider expects a function that returns a mapping, got {given}")
        if is_coroutine(credential_provider) or is_coroutine(getattr(credential_provider, "__call__", None)):  # noqa: B004 - of an instance
            raise TypeError(
                "credential_provider expects a function that returns a mapping, got a coroutine function; "
                "use the synchronous form"
            )
        return Access(
            self.options if options is None else checked_options(options),
            self.credential_provider if credential_provider is None else credential_provider,
            self.cache if cache is None else cache,
        )

    def storage(self, url: str, bucket: str) -> _store.ObjectStorage:
        """Return the location of a URL for the extension; clients of one bucket share their connections.

        Raises:
            ValueError: An option is unknown.
        """
        # A process that changes its environment, or is forked, gets a client of its own.
        variables = (item for item in os.environ.items() if item[0].startswith(_PREFIXES))
        key = (bucket, os.getpid(), frozenset(variables))
        client = self._clients.get(key)
        if client is None:
            cache = None
            if self.cache:
                directory = self.cache if isinstance(self.cache, str) else str(_cache.directory())
                cache = directory, _cache.most_bytes()
            client = _store.ObjectStorage(bucket, self.options, self.credential_provider, cache)
            while len(self._clients) >= _MAX_CLIENTS:
                self._clients.pop(next(iter(self._clients)), None)
            self._clients[key] = client
        return client.at(url)

    def is_like(self, other: Access) -> bool:
        """Return True if two accesses lead to the same objects for certain."""
        return self is other or (
            self.options == other.options and self.credential_provider is other.credential_provider
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the user passed."""
        return Access, (self.options, self.credential_provider, self.cache)


NO_ACCESS: Final = Access()
"""The access of a user who passed nothing: that of the environment."""


def checked_options(options: Options) -> dict[str, str]:
    """Return options as texts; the text of True is `true`.

    Raises:
        TypeError: `options` is not a mapping of texts to texts, booleans and integers. The message has no
            value, which may be a secret.
    """
    if not isinstance(options, Mapping):
        raise TypeError(f"options expects a mapping, got {type(options).__name__}")
    texts = {}
    for key, value in options.items():
        if not isinstance(key, str):
            raise TypeError(f"options expects names that are strings, got {type(key).__name__}")
        if not isinstance(value, (str, bool, int)):
            raise TypeError(f"options expects a string as {key!r}, got {type(value).__name__}")
        texts[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts
