"""The differences between the protocols of S3, GCS and Azure, for the doubles."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from xml.sax.saxutils import escape

from .http11 import Request, Response, respond

ACCOUNT = "devstoreaccount1"


@dataclass
class Stored:
    """An object: its bytes, the names and values of its metadata, and its version."""

    data: bytes
    metadata: dict[str, str]
    generation: int
    written: float = field(default_factory=time.time)

    @property
    def etag(self) -> str:
        """The quoted entity tag: it changes with each write."""
        return f'"{hashlib.md5(self.data + b"%d" % self.generation, usedforsecurity=False).hexdigest()}"'


@dataclass
class Dialect:
    """The differences between the protocols: one class each."""

    metadata = "x-amz-meta-"
    created = 200
    missing = "NoSuchKey"
    missing_bucket = "NoSuchBucket"
    taken = (412, "PreconditionFailed")
    sizes = ("max-keys", "continuation-token")

    def bucket_and_key(self, path: str) -> tuple[str, str]:
        """Split the path of a URL."""
        bucket, _, key = path.lstrip("/").partition("/")
        return bucket, key

    def is_create(self, headers: dict[str, str]) -> bool:
        """Return whether a PUT has the condition that the object is absent."""
        return headers.get("if-none-match") == "*"

    def check_put(self, request: Request) -> str:
        """Return what the real service would not accept in a PUT."""
        return "" if "x-amz-copy-source" not in request.headers else "copies are not supported"

    def error(self, status: int, code: str, path: str) -> Response:
        """Build an error as the service answers it."""
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message>'
            f"<Resource>{escape(path)}</Resource><RequestId>DOUBLE1</RequestId></Error>"
        )
        return respond(status, {"x-amz-request-id": "DOUBLE1"}, body)

    def headers(self, one: Stored) -> dict[str, str]:
        """Return the headers that describe an object."""
        named = {f"{self.metadata}{name}": value for name, value in one.metadata.items()}
        return {"ETag": one.etag, "Last-Modified": formatdate(one.written, usegmt=True), **named}

    def listing(
        self, page: list[tuple[str, Stored]], folders: list[str], query: dict[str, str], more: str
    ) -> str:
        """Write a page of a listing as XML."""
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_iso(one.written)}</LastModified>"
            f"<ETag>{escape(one.etag)}</ETag><Size>{len(one.data)}</Size></Contents>"
            for key, one in page
        )
        rows += "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
        )
        token = f"<NextContinuationToken>{escape(more)}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>bucket</Name>'
            f"<Prefix>{escape(query.get('prefix', ''))}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>{rows}{token}</ListBucketResult>"
        )

    def after(self, query: dict[str, str]) -> tuple[str, bool]:
        """Return the key to list after, and whether the listing includes it."""
        return query.get("continuation-token") or query.get("start-after", ""), False


class Gcs(Dialect):
    """The XML API of Google Cloud Storage."""

    metadata = "x-goog-meta-"

    def is_create(self, headers: dict[str, str]) -> bool:
        return headers.get("x-goog-if-generation-match") == "0"

    def check_put(self, request: Request) -> str:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return "no bearer token"
        if "if-none-match" in request.headers:
            return "GCS ignores If-None-Match"
        return "copies are not supported" if "x-goog-copy-source" in request.headers else ""

    def headers(self, one: Stored) -> dict[str, str]:
        return {**super().headers(one), "x-goog-generation": str(one.generation)}


class Azure(Dialect):
    """The Blob service of Azure."""

    metadata = "x-ms-meta-"
    created = 201
    missing = "BlobNotFound"
    missing_bucket = "ContainerNotFound"
    taken = (409, "BlobAlreadyExists")
    sizes = ("maxresults", "marker")

    def bucket_and_key(self, path: str) -> tuple[str, str]:
        return super().bucket_and_key(path.removeprefix(f"/{ACCOUNT}"))

    def check_put(self, request: Request) -> str:
        headers = request.headers
        if headers.get("x-ms-blob-type") != "BlockBlob":
            return "expected x-ms-blob-type: BlockBlob"
        if "x-ms-version" not in headers:
            return "no x-ms-version"
        names = [name.removeprefix(self.metadata) for name in headers if name.startswith(self.metadata)]
        wrong = [name for name in names if not re.fullmatch(r"[A-Za-z_]\w*", name)]
        return f"invalid names of metadata: {wrong}" if wrong else ""

    def error(self, status: int, code: str, path: str) -> Response:
        message = f"<Message>{code} {escape(path)}</Message>"
        body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>{message}</Error>'
        return respond(status, {"x-ms-error-code": code, "x-ms-request-id": "DOUBLE1"}, body)

    def headers(self, one: Stored) -> dict[str, str]:
        return {**super().headers(one), "x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"}

    def listing(
        self, page: list[tuple[str, Stored]], folders: list[str], query: dict[str, str], more: str
    ) -> str:
        rows = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties>"
            f"<Last-Modified>{formatdate(one.written, usegmt=True)}</Last-Modified><Etag>{one.etag}</Etag>"
            f"<Content-Length>{len(one.data)}</Content-Length>"
            "<Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
            for key, one in page
        )
        rows += "".join(f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in folders)
        return (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="bucket">'
            f"<Prefix>{escape(query.get('prefix', ''))}</Prefix><Blobs>{rows}</Blobs>"
            f"<NextMarker>{escape(more)}</NextMarker></EnumerationResults>"
        )

    def after(self, query: dict[str, str]) -> tuple[str, bool]:
        return query.get("marker") or query.get("startFrom", ""), True


DIALECTS = {"s3": Dialect, "gcs": Gcs, "azure": Azure}


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03}Z"
