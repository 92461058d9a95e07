"""A proxy between a client and an object store that loses, delays and refuses, by a seeded plan.

It also counts: `requests` has each request with the status that the server gave.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from .http11 import Request, Response, read_response, respond
from .loopback import HOST, LINE_LIMIT, Program, Service, run
from .processes import wait_until

REFUSALS = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "unavailable": (503, "ServiceUnavailable", "The service is unavailable."),
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "conflict": (409, "ConditionalRequestConflict", "A conflicting conditional operation is under way."),
    "expired": (403, "ExpiredToken", "The provided token has expired."),
    "clock_skew": (403, "RequestTimeTooSkewed", "The difference between the clocks is too large."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "bad_key": (403, "InvalidAccessKeyId", "The access key does not exist in our records."),
    "bad_signature": (403, "SignatureDoesNotMatch", "The signature does not match."),
    "wrong_region": (400, "AuthorizationHeaderMalformed", "The region is wrong; expecting 'eu-west-1'"),
}
"""Faults that answer without the server: status, code, message."""
FAULTS = {
    "drop_before": "close the connection before the server has the request",
    "late": "close the connection, and let the server have the request `late` seconds later",
    "stall": "let the server have the request after `stall` seconds of silence",
    "lose_500": "answer 500 after the server has carried out the request",
    "drop_after": "close the connection after the server has carried out the request",
    "cut": "close the connection within the answer",
    "slow": "answer `slow` seconds later",
    **{name: f"answer {status} {code}" for name, (status, code, _) in REFUSALS.items()},
}
LOSSES = {
    "PUT": ("lose_500", "drop_after", "drop_before", "slow_down", "late", "conflict"),
    "GET": ("error", "drop_before", "cut", "slow_down"),
    "LIST": ("error", "drop_before", "cut", "slow_down"),
    "HEAD": ("error", "drop_before", "slow_down"),
}
"""The faults of `losses`, by the kind of request."""


def losses(**rates: float) -> dict[str, dict[str, float]]:
    """Spread the rate of each kind of request evenly over its faults: `losses(PUT=0.4, GET=0.1)`."""
    return {kind: dict.fromkeys(LOSSES[kind], rate / len(LOSSES[kind])) for kind, rate in rates.items()}


def kind_of(request: Request) -> str:
    """Return the method, or LIST and DELETE where another method carries them."""
    query = request.query
    if request.method == "GET" and ("list-type" in query or query.get("comp") == "list"):
        return "LIST"
    if request.method == "POST" and ("delete" in query or query.get("comp") == "batch"):
        return "DELETE"
    return request.method


@dataclass
class Rule:
    """A fault for certain requests: of a kind, whose key matches, after `skip` others, `times` times."""

    fault: str
    kind: str = ""
    key: str = ""
    skip: int = 0
    times: int = 1 << 60
    seen: int = 0

    def applies(self, kind: str, key: str) -> bool:
        """Count a request that matches, and return whether this rule decides on it."""
        if (self.kind and self.kind != kind) or not re.search(self.key, key):
            return False
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times


@dataclass
class Plan:
    """The faults to come; a rate decides by the key and the attempt, so that no order of arrival matters."""

    seed: int = 0
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    late: float = 0.3
    slow: float = 0.3
    stall: float = 5.0
    kill_pid: int = 0
    kill_at: int = 0
    kill_when: str = "before"
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fault(self, kind: str, target: str) -> str:
        """Return the fault for a request, or an empty string."""
        for rule in self.rules:
            if rule.applies(kind, target):
                return rule.fault
        rates = self.rates.get(kind)
        if not rates:
            return ""
        self.attempts[kind, target] += 1
        # A rate per key alone would let a key fail for ever.
        draw = random.Random(f"{self.seed} {kind} {target} {self.attempts[kind, target]}").random()
        for name, rate in rates.items():
            draw -= rate
            if draw < 0:
                return name
        return ""


class _Backend:
    """One connection to the server, opened anew where the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: Request) -> Response:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=LINE_LIMIT)
        reader, writer = self._streams
        try:
            writer.write(request.forwarded())
            await writer.drain()
            response = await read_response(reader, request.method)
        except BaseException:
            self.close()
            raise
        if response.closes:
            self.close()
        return response

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class _Proxy(Service):
    def __init__(self, port: int) -> None:
        self._port = port
        self._plan = Plan()
        self._log: list[dict[str, Any]] = []
        self._number = 0
        self._landing: set[asyncio.Task[None]] = set()
        self._backends: dict[asyncio.StreamWriter, _Backend] = {}

    def do(self, command: str, **arguments: Any) -> Any:
        if command == "plan":
            rules = [Rule(**rule) for rule in arguments.pop("rules", [])]
            self._plan, self._number = Plan(rules=rules, **arguments), 0
        elif command == "port":
            self._port = arguments["port"]
        elif command == "clear":
            self._log.clear()
        elif command == "landing":
            return len(self._landing)
        else:
            return self._log
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._backends[writer] = _Backend(self._port)
        try:
            await super().serve(reader, writer)
        finally:
            self._backends.pop(writer).close()

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        plan, kind = self._plan, kind_of(request)
        self._number += 1
        fault = plan.fault(kind, request.path)
        entry = {
            "kind": kind,
            "key": request.path,
            "query": request.query,
            "headers": {name: text for name, text in request.headers.items() if name != "authorization"},
            "size": len(request.body),
            "fault": fault,
            "status": None,
            "at": time.time(),
            "peer": writer.get_extra_info("peername")[0],
        }
        self._log.append(entry)
        is_last = plan.kill_pid != 0 and self._number == plan.kill_at
        if is_last and plan.kill_when == "before":
            return self._kill(plan)
        if fault in REFUSALS:
            writer.write(refuse(fault, request.path).encoded(request.method))
            return True
        if fault == "late":
            self._land(request, plan.late, entry)
        if fault in ("drop_before", "late"):
            return _drop(writer)
        if fault == "stall":
            await asyncio.sleep(plan.stall)
        try:
            response = await self._backends[writer].send(request)
        except (OSError, asyncio.IncompleteReadError) as error:
            entry["status"] = f"{type(error).__name__}: {error}"
            return _drop(writer)
        entry["status"] = response.status
        return self._kill(plan) if is_last else await self._return(request, response, fault, writer)

    async def _return(
        self, request: Request, response: Response, fault: str, writer: asyncio.StreamWriter
    ) -> bool:
        """Return the answer of the server, or what the fault makes of it."""
        if fault == "drop_after":
            return _drop(writer)
        if fault == "lose_500":
            response = refuse("error", request.path)
        if fault == "slow":
            await asyncio.sleep(self._plan.slow)
        encoded = response.encoded(request.method)
        if fault == "cut":
            writer.write(encoded[: -max(4, len(response.body) // 2)])
            await writer.drain()
            return False
        writer.write(encoded)
        return True

    def _kill(self, plan: Plan) -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(plan.kill_pid, signal.SIGKILL)
        plan.kill_pid = 0
        return False

    def _land(self, request: Request, seconds: float, entry: dict[str, Any]) -> None:
        async def land() -> None:
            await asyncio.sleep(seconds)
            backend = _Backend(self._port)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                entry["status"] = (await backend.send(request)).status
            backend.close()

        task = asyncio.create_task(land())
        self._landing.add(task)
        task.add_done_callback(self._landing.discard)


def _drop(writer: asyncio.StreamWriter) -> bool:
    writer.transport.abort()
    return False


def refuse(fault: str, path: str) -> Response:
    """Build the answer of a fault that the server does not see, in the form of S3."""
    status, code, message = REFUSALS[fault]
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message>'
        f"<Resource>{escape(path)}</Resource><RequestId>PROXY{status}</RequestId></Error>"
    )
    headers = {"x-amz-request-id": f"PROXY{status}", "x-ms-error-code": code}
    return respond(status, headers, body)


class FaultyProxy(Program):
    """A proxy in front of a server on this machine; without a plan, it counts and changes nothing."""

    def __init__(self, port: int, host: str = HOST) -> None:
        super().__init__("faulty_proxy", str(port), host)
        self.host = host

    def plan(self, **plan: Any) -> None:
        """Set the fields of a `Plan`, and count requests from one again; `rules` are dictionaries."""
        self.do("plan", **plan)

    def kill(self, pid: int, at: int, when: str) -> None:
        """Kill a process at the n-th request from now on, `before` or `after` the server carries it out."""
        self.plan(kill_pid=pid, kill_at=at, kill_when=when)

    def requests(self, kind: str = "", key: str = "") -> list[dict[str, Any]]:
        """Return the requests of a kind, with a key that matches, in the order of arrival."""
        log = self.do("log")
        return [one for one in log if one["kind"] == (kind or one["kind"]) and re.search(key, one["key"])]

    def counts(self) -> dict[str, int]:
        """Return the number of requests of each kind."""
        return dict(Counter(one["kind"] for one in self.requests()))

    def clear(self) -> None:
        """Forget the requests so far."""
        self.do("clear")

    def settle(self) -> None:
        """Wait until every late request has landed."""
        wait_until(lambda: self.do("landing") == 0)


if __name__ == "__main__":
    run(_Proxy(int(sys.argv[1])), sys.argv[2])
