"""HTTP/1.1 messages, as far as the programs of the test bench need them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http.client import responses
from urllib.parse import parse_qs, unquote, urlsplit

NO_BODY = (204, 304)
"""Statuses of responses without a body."""
HOP = (b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect")
"""Headers that belong to one connection, or that this module sets itself."""


@dataclass
class Request:
    """A request: its method, its target as sent, its headers by lower-case names, and its body."""

    method: str
    target: str
    headers: dict[str, str]
    head: bytes
    body: bytes

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter."""
        pairs = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[-1] for name, values in pairs.items()}

    def forwarded(self) -> bytes:
        """Return the bytes that send this request on over another connection."""
        lines = [line for line in self.head.split(b"\r\n")[1:] if line and not _is_hop(line)]
        if self.body or self.method in ("PUT", "POST"):
            lines.append(b"Content-Length: %d" % len(self.body))
        first = self.head.split(b"\r\n", 1)[0]
        return b"\r\n".join([first, *lines, b"", b""]) + self.body


@dataclass
class Response:
    """A response: its status, its header lines, and its body."""

    status: int
    lines: list[bytes]
    body: bytes
    closes: bool = False
    length: bytes | None = None
    """The length that the answer to a HEAD states."""

    def encoded(self, method: str) -> bytes:
        """Return the bytes that answer a request of that method."""
        reason = responses.get(self.status, "")
        lines = [f"HTTP/1.1 {self.status} {reason}".encode(), *self.lines]
        is_bare = method == "HEAD" or self.status in NO_BODY
        length = self.length if method == "HEAD" and self.length is not None else b"%d" % len(self.body)
        if self.status not in NO_BODY:
            lines.append(b"Content-Length: " + length)
        return b"\r\n".join([*lines, b"", b""]) + (b"" if is_bare else self.body)


def respond(status: int, headers: dict[str, str] | None = None, body: bytes | str = b"") -> Response:
    """Build a response; a body of text is XML."""
    named = dict(headers or {})
    if isinstance(body, str):
        named.setdefault("Content-Type", "application/xml")
        body = body.encode()
    return Response(status, [f"{name}: {value}".encode("latin-1") for name, value in named.items()], body)


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """Read a request with its body; return None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    headers = _headers(head)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, target, headers, head, await _body(reader, headers, b""))


async def read_response(reader: asyncio.StreamReader, method: str) -> Response:
    """Read the response to a request of that method, without interim responses."""
    status = 100
    while 100 <= status < 200:
        head = await reader.readuntil(b"\r\n\r\n")
        first = head.split(b"\r\n", 1)[0]
        status = int(first.split(b" ", 2)[1])
    headers = _headers(head)
    lines = [line for line in head.split(b"\r\n")[1:] if line and not _is_hop(line)]
    closes = first.startswith(b"HTTP/1.0") or headers.get("connection", "").lower() == "close"
    if method == "HEAD" or status in NO_BODY:
        length = headers.get("content-length")
        return Response(status, lines, b"", closes, None if length is None else length.encode())
    if "content-length" not in headers and "transfer-encoding" not in headers:
        return Response(status, lines, await reader.read(), closes=True)
    return Response(status, lines, await _body(reader, headers, b""), closes)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str], body: bytes) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return body
        body += chunk[:-2]


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {
        name.strip().lower().decode("latin-1"): value.strip().decode("latin-1") for name, _, value in pairs
    }


def _is_hop(line: bytes) -> bool:
    return line.partition(b":")[0].strip().lower() in HOP
