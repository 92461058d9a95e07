"""Small object stores in memory with the protocols of S3, GCS and Azure, which check what is sent.

They record each violation of the rules of the store: a PUT without a condition, a request that the real
service would not accept. `conditions` makes a double as bad as some real servers: "ignored" overwrites, and
"racy" checks the condition without atomicity.
"""

from __future__ import annotations

import asyncio
import base64
import bisect
import re
import sys
from typing import Any
from urllib.parse import unquote

from .dialects import DIALECTS, Azure, Dialect, Stored
from .http11 import Request, Response, respond
from .loopback import Program, Service, run

BUCKET = "bucket"
PAGE = 1000


class _Double(Service):
    def __init__(self, dialect: str) -> None:
        self._dialect = DIALECTS[dialect]()
        self._conditions = "honoured"
        self._buckets: dict[str, dict[str, Stored]] = {BUCKET: {}}
        self._sorted: dict[str, list[str]] = {BUCKET: []}
        self._violations: list[str] = []
        self._generation = 1_700_000_000_000_000

    def do(self, command: str, **arguments: Any) -> Any:
        bucket = arguments.get("bucket", BUCKET)
        if command == "new":
            self._buckets[bucket], self._sorted[bucket] = {}, []
        elif command == "conditions":
            self._conditions = arguments["conditions"]
        elif command == "put":
            one = self._store(bucket, arguments["key"], base64.b64decode(arguments["data"]), {})
            one.written -= arguments["age"]
        elif command == "remove":
            self._remove(bucket, arguments["key"])
        elif command == "objects":
            objects = self._buckets[bucket].items()
            return {key: base64.b64encode(one.data).decode() for key, one in objects}
        elif command == "age":
            for one in self._buckets[bucket].values():
                one.written -= arguments["seconds"]
        else:
            violations, self._violations = self._violations, []
            return violations
        return None

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        response = await self._respond(request)
        writer.write(response.encoded(request.method))
        return True

    async def _respond(self, request: Request) -> Response:
        bucket, key = self._dialect.bucket_and_key(request.path)
        if bucket not in self._buckets:
            return self._dialect.error(404, self._dialect.missing_bucket, request.path)
        if key and request.method == "PUT":
            return await self._put(bucket, key, request)
        if key and request.method == "DELETE":
            return self._delete(bucket, key, request)
        if key and request.method in ("GET", "HEAD"):
            return self._get(bucket, key, request)
        return self._respond_for_bucket(bucket, request)

    def _respond_for_bucket(self, bucket: str, request: Request) -> Response:
        if request.method == "GET":
            return self._list(bucket, request)
        if request.method == "POST" and "delete" in request.query:
            return self._delete_many(bucket, request)
        if request.method == "POST" and request.query.get("comp") == "batch":
            return self._delete_batch(bucket, request)
        self._violations.append(f"unknown request: {request.method} {request.target}")
        return self._dialect.error(400, "InvalidRequest", request.path)

    async def _put(self, bucket: str, key: str, request: Request) -> Response:
        if wrong := self._dialect.check_put(request):
            self._violations.append(f"PUT {key}: {wrong}")
            return self._dialect.error(400, "InvalidRequest", request.path)
        is_create = self._dialect.is_create(request.headers)
        if not is_create:
            self._violations.append(f"PUT {key}: not a create")
        is_taken = key in self._buckets[bucket]
        if self._conditions == "racy":
            await asyncio.sleep(0.05)
        if is_create and is_taken and self._conditions != "ignored":
            return self._dialect.error(*self._dialect.taken, request.path)
        prefix = self._dialect.metadata
        headers = request.headers.items()
        metadata = {name.removeprefix(prefix): value for name, value in headers if name.startswith(prefix)}
        one = self._store(bucket, key, request.body, metadata)
        described = self._dialect.headers(one)
        return respond(self._dialect.created, described | {"Content-Type": "text/plain"}, b"")

    def _store(self, bucket: str, key: str, data: bytes, metadata: dict[str, str]) -> Stored:
        self._generation += 1
        if key not in self._buckets[bucket]:
            bisect.insort(self._sorted[bucket], key)
        one = self._buckets[bucket][key] = Stored(data, metadata, self._generation)
        return one

    def _remove(self, bucket: str, key: str) -> bool:
        if self._buckets[bucket].pop(key, None) is None:
            return False
        self._sorted[bucket].remove(key)
        return True

    def _get(self, bucket: str, key: str, request: Request) -> Response:
        one = self._buckets[bucket].get(key)
        if one is None:
            return self._dialect.error(404, self._dialect.missing, request.path)
        headers = self._dialect.headers(one)
        if request.headers.get("if-match") not in (None, "*", one.etag):
            return self._dialect.error(412, "PreconditionFailed", request.path)
        if request.headers.get("if-none-match") in ("*", one.etag):
            return respond(304, headers)
        if request.method == "HEAD":
            response = respond(200, headers)
            response.length = b"%d" % len(one.data)
            return response
        return self._get_range(one, headers, request)

    def _get_range(self, one: Stored, headers: dict[str, str], request: Request) -> Response:
        size = len(one.data)
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if wanted is None:
            return respond(200, headers | {"Content-Type": "application/octet-stream"}, one.data)
        first, last = wanted.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if start >= size:
            return self._dialect.error(416, "InvalidRange", request.path)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return respond(206, headers, one.data[start:end])

    def _list(self, bucket: str, request: Request) -> Response:
        query, objects, keys = request.query, self._buckets[bucket], self._sorted[bucket]
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(PAGE, int(query.get(self._dialect.sizes[0]) or PAGE))
        after, is_included = self._dialect.after(query)
        start = (bisect.bisect_left if is_included else bisect.bisect_right)(keys, after)
        page: list[tuple[str, Stored]] = []
        folders: list[str] = []
        more = ""
        for key in keys[max(start, bisect.bisect_left(keys, prefix)) :]:
            if not key.startswith(prefix):
                break
            folder = _folder(key, prefix, delimiter)
            if folder and (folder in folders or (after.startswith(folder) and not is_included)):
                continue
            if len(page) + len(folders) == limit:
                more = key if is_included else max([*folders[-1:], *(name for name, _ in page[-1:])])
                break
            if folder:
                folders.append(folder)
            else:
                page.append((key, objects[key]))
        return respond(200, {}, self._dialect.listing(page, folders, query, more))

    def _delete(self, bucket: str, key: str, request: Request) -> Response:
        if self._remove(bucket, key):
            return respond(202 if isinstance(self._dialect, Azure) else 204)
        if type(self._dialect) is Dialect:  # S3 does not say that there was nothing
            return respond(204)
        return self._dialect.error(404, self._dialect.missing, request.path)

    def _delete_many(self, bucket: str, request: Request) -> Response:
        """Carry out DeleteObjects of S3."""
        escaped = re.findall(r"<Key>(.*?)</Key>", request.body.decode())
        for key in escaped:
            self._remove(bucket, re.sub(r"&(lt|gt|amp|quot|apos);", _unescape, key))
        rows = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in escaped)
        return respond(200, {}, f'<?xml version="1.0" encoding="UTF-8"?><DeleteResult>{rows}</DeleteResult>')

    def _delete_batch(self, bucket: str, request: Request) -> Response:
        """Carry out Blob Batch of Azure."""
        parts = []
        for number, target in re.findall(
            r"Content-ID: (\d+)\r\n.*?DELETE (\S+) HTTP", request.body.decode(), re.DOTALL
        ):
            _, key = self._dialect.bucket_and_key(unquote(target))
            status = "202 Accepted" if self._remove(bucket, key) else "404 The specified blob does not exist."
            code = "" if status.startswith("202") else "x-ms-error-code: BlobNotFound\r\n"
            parts.append(
                "--batchresponse_1\r\nContent-Type: application/http\r\n"
                f"Content-ID: {number}\r\n\r\nHTTP/1.1 {status}\r\n{code}x-ms-version: 2023-11-03\r\n\r\n\r\n"
            )
        body = "".join(parts) + "--batchresponse_1--\r\n"
        return respond(202, {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}, body.encode())


def _folder(key: str, prefix: str, delimiter: str) -> str:
    rest = key[len(prefix) :]
    return prefix + rest[: rest.index(delimiter) + 1] if delimiter and delimiter in rest else ""


def _unescape(found: re.Match[str]) -> str:
    return {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}[found[1]]


class Double(Program):
    """A double of "s3", "gcs" or "azure", with one bucket to begin with."""

    def __init__(self, dialect: str, conditions: str = "honoured") -> None:
        super().__init__("doubles", dialect)
        self.dialect = dialect
        self.do("conditions", conditions=conditions)

    def new_bucket(self, bucket: str) -> None:
        """Create a bucket."""
        self.do("new", bucket=bucket)

    def put(self, bucket: str, key: str, data: bytes, age: float = 0) -> None:
        """Write an object, `age` seconds ago."""
        self.do("put", bucket=bucket, key=key, data=base64.b64encode(data).decode(), age=age)

    def remove(self, bucket: str, key: str) -> None:
        """Remove an object."""
        self.do("remove", bucket=bucket, key=key)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return the bytes of every object by its key."""
        return {key: base64.b64decode(data) for key, data in self.do("objects", bucket=bucket).items()}

    def age(self, bucket: str, seconds: float) -> None:
        """Make every object older."""
        self.do("age", bucket=bucket, seconds=seconds)

    def violations(self) -> list[str]:
        """Return the violations since the last call."""
        found: list[str] = self.do("violations")
        return found


if __name__ == "__main__":
    run(_Double(sys.argv[1]))
