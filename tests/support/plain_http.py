"""Requests as plain as they are on the wire, to test the test bench without a client of an object store."""

from __future__ import annotations

import http.client
import urllib.parse
from dataclasses import dataclass

from .loopback import HOST

CREATE = {
    "s3": {"If-None-Match": "*"},
    "gcs": {"x-goog-if-generation-match": "0", "Authorization": "Bearer test"},
    "azure": {"If-None-Match": "*", "x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"},
}
"""The headers of a PUT that creates, by protocol."""
LIST = {
    "s3": "list-type=2&prefix={}",
    "gcs": "list-type=2&prefix={}",
    "azure": "restype=container&comp=list&prefix={}",
}
"""The query of a listing, by protocol."""


@dataclass
class Answer:
    """An answer; a status of 0 is a connection that was closed."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(
    port: int,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    query: str = "",
) -> Answer:
    """Send one request over a connection of its own."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    target = urllib.parse.quote(path) + (f"?{query}" if query else "")
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())
    except (http.client.HTTPException, OSError):
        return Answer(0, {}, b"")
    finally:
        connection.close()


def create(port: int, dialect: str, key: str, body: bytes = b"1", bucket: str = "bucket") -> Answer:
    """Send a PUT that creates an object."""
    return send(port, "PUT", f"/{bucket}/{key}", CREATE[dialect], body)
