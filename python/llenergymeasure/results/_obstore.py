"""Stores of the package obstore as roots; the package itself is never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llenergymeasure.results._urls import shown

if TYPE_CHECKING:
    from llenergymeasure.results._paths import Place

_BUCKETS: Final = {
    "S3Store": ("s3", "bucket"),
    "GCSStore": ("gs", "bucket"),
    "AzureStore": ("az", "container_name"),
}
"""The scheme, and the key of the bucket, of each class of store."""


def place_of(store: object, name: str) -> Place | None:
    """Return the place of a store of obstore, with its configuration; None for any other object.

    Its configuration is what its user passed to it, and not the environment.

    Raises:
        ValueError: The store is in memory, or of HTTP.
    """
    kinds = [kind.__name__ for kind in type(store).__mro__ if kind.__module__.partition(".")[0] == "obstore"]
    if not kinds:
        return None
    of: Any = store
    if "LocalStore" in kinds:
        if of.prefix is None:
            raise ValueError(f"{name} expects a LocalStore with a prefix, got one without; give a path")
        return str(of.prefix)
    kind = next((kind for kind in kinds if kind in _BUCKETS), None)
    if kind is None:
        where = f" of {shown(str(of.url))!r}" if "HTTPStore" in kinds else ""
        raise ValueError(f"{name} expects a store of S3, GCS or Azure, got the {kinds[0]}{where}")
    from llenergymeasure.results.store_path import StorePath  # noqa: PLC0415 - not for local stores

    scheme, key = _BUCKETS[kind]
    options = {**dict(of.config), **dict(of.client_options or {})}
    bucket = options.pop(key, None)
    if bucket is None:
        raise ValueError(f"{name} expects a store with a bucket, got a {kind} without one")
    path = StorePath(f"{scheme}://{bucket}", options=options, credential_provider=of.credential_provider)
    return path.joinpath(of.prefix) if of.prefix else path
