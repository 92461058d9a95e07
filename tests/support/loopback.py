"""Programs of the test bench that serve HTTP on this machine, each in a process of its own.

A test steers such a program by lines of JSON over its standard input and output.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from typing import Any

from .http11 import Request, read_request
from .processes import HANG

HOST = "127.0.0.1"
LINE_LIMIT = 1 << 26
"""The longest head, or control line, in bytes."""


class Service(ABC):
    """The inside of a program: it answers requests, and the commands of a test."""

    @abstractmethod
    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; return whether the connection stays open."""

    @abstractmethod
    def do(self, command: str, **arguments: Any) -> Any:
        """Carry out a command of the test, and return a JSON value."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while (request := await read_request(reader, writer)) is not None:
                if not await self.answer(request, writer):
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()


def run(service: Service, host: str = HOST) -> None:
    """Serve until the standard input ends."""
    asyncio.run(_run(service, host))


async def _run(service: Service, host: str) -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    server = await asyncio.start_server(service.serve, host, 0, limit=LINE_LIMIT, backlog=1024)
    _say(server.sockets[0].getsockname()[1])
    while line := await commands.readline():
        _say(service.do(**json.loads(line)))
    # asyncio would report each connection that it cancels.
    os._exit(0)


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class Program:
    """A program under way, and the way to steer it."""

    host = HOST

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"support.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self.port = int(self._read())

    @property
    def endpoint(self) -> str:
        """The URL of the program."""
        return f"http://{self.host}:{self.port}"

    def do(self, command: str, **arguments: Any) -> Any:
        """Send a command, and return its answer."""
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
            return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the program ended; its error is above"
        return json.loads(line)

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(HANG)
        self._process.stdout.close()
