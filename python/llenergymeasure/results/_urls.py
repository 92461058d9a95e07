"""URLs of object stores and files, as callers give them."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from llenergymeasure.results._paths import URL

SCHEMES: Final = ("s3", "gs", "az")
"""The schemes of object stores."""

_LIKE: Final = {
    **dict.fromkeys(("s3a", "s3n"), "s3"),
    **dict.fromkeys(("gcs", "gsutil"), "gs"),
    **dict.fromkeys(("azure", "abfs", "abfss", "adl", "wasb", "wasbs"), "az"),
}
"""Schemes of other programs for the same services."""
_SERVICES: Final = (
    ("amazonaws.com", "s3"),
    ("storage.googleapis.com", "gs"),
    ("blob.core.windows.net", "az"),
)

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BUCKET: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]*\Z")
_CREDENTIALS: Final = re.compile(r"(?<=:)/+.*@")
"""Also with a slash, which a key may have."""


def scheme_of(text: str) -> str | None:
    """Return the scheme of a URL in lower case; None for a path."""
    found = URL.match(text)
    return None if found is None else (found[1] or found[2]).lower()


def shown(url: str) -> str:
    """Return a URL without the password and the query that it may have, for a message."""
    return _CREDENTIALS.sub("//***@", url.partition("?")[0] + "?***" * ("?" in url))


def normal_url(text: str, name: str = "url") -> str:
    """Return the URL of an object store with its scheme in lower case, and without empty and `.` components.

    The text after the bucket is literal: no `%` is decoded or encoded.

    Raises:
        ValueError: `text` is not the URL of an object store.
    """
    scheme = scheme_of(text)
    if scheme not in SCHEMES:
        kind = f"path {text!r}" if scheme is None else f"URL {shown(text)!r}"
        raise ValueError(f"{name} expects a URL that begins with s3://, gs:// or az://, got the {kind}")
    rest = text[len(scheme) + 1 :]
    if not rest.startswith("//"):
        raise ValueError(
            f"{name} expects a URL as {scheme}://bucket/prefix, got {shown(text)!r}; "
            f"give it as a string, since a pathlib.Path drops a slash, or write ./{scheme}: for a directory"
        )
    bucket, *names = rest[2:].split("/")
    if not _BUCKET.match(bucket.partition("?")[0]):
        what, advice = f"the name of a bucket after {scheme}://", "write its name"
        if "@" in rest:
            what, advice = "a URL without credentials", "give them as options"
        elif ":" in bucket:
            advice = "give the address of a service as options={'endpoint': ...}"
        raise ValueError(f"{name} expects {what}, got {shown(text)!r}; {advice}")
    if "?" in rest:
        raise ValueError(f"{name} expects a URL without a query, got {shown(text)!r}; give options=")
    return "/".join([f"{scheme}://{bucket}", *components(names, name)])


def components(names: list[str], name: str) -> list[str]:
    """Return the components of a path in a bucket without those that are empty or `.`.

    Raises:
        ValueError: A component is `..`, or has a control character or half a surrogate pair.
    """
    kept = [component for component in names if component not in ("", ".")]
    for component in kept:
        if component == "..":
            raise ValueError(f"{name} expects a URL without '..', got {'/'.join(names)!r}; use its parent")
        if _CONTROL.search(component):
            raise ValueError(f"{name} expects printable characters in Unicode, got {component!r}")
    return kept


def path_of_file_url(text: str, name: str) -> str:
    """Return the path of a `file:` URL (RFC 8089).

    Raises:
        ValueError: The URL has another host, a query, or no absolute path.
    """
    rest = text[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ValueError(
                f"{name} expects a file URL of this host, got {shown(text)!r}; write file:///path"
            )
        rest = slash + path
    if not rest.startswith("/"):
        raise ValueError(f"{name} expects a file URL with an absolute path, got {text!r}; write file:///path")
    if "?" in rest or "#" in rest:
        raise ValueError(f"{name} expects a file URL without ? and #, got {shown(text)!r}; write %3F and %23")
    return os.fsdecode(unquote_to_bytes(os.fsencode(rest)))


def unknown_scheme(text: str, name: str) -> ValueError:
    """Return the error for a URL that is neither of an object store nor of a file."""
    scheme = scheme_of(text) or ""
    like = _LIKE.get(scheme) or next((like for host, like in _SERVICES if host in text), None)
    if like is not None:
        advice = f"write {like}://bucket/prefix"
    elif scheme in ("http", "https"):
        advice = "write s3://bucket/prefix, and give the address of the service as options={'endpoint': ...}"
    elif "://" in text:
        advice = "mount the storage and give the path of its directory"
    else:
        advice = f"write ./{text} for a directory of that name"
    return ValueError(
        f"{name} expects a path or a URL that begins with s3://, gs://, az:// or file://, "
        f"got the URL {shown(text)!r}; {advice}"
    )
