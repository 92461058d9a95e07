"""Object stores on this machine for tests: each has a free port, a directory of data and a health check."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .loopback import HOST
from .processes import HANG

KEY, SECRET = "test", "testtest"


@dataclass(frozen=True)
class Server:
    """A server with the protocol of S3, and the credentials of its one user."""

    name: str
    port: int
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return f"http://{HOST}:{self.port}"

    @cache  # noqa: B019 - a client takes long to make, and there are few servers
    def client(self, attempts: int = 3) -> Any:
        """Return a client of botocore, which is not the client under test; threads may share it.

        A server closes connections that are idle, which is one failed attempt.
        """
        import botocore.session
        from botocore.config import Config

        config = Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=64,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return botocore.session.Session().create_client(
            "s3",
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=config,
        )

    def new_bucket(self) -> str:
        """Create a bucket with a new name, and return the name."""
        bucket = f"llem-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=bucket)
        return bucket


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def find_program(name: str) -> str | None:
    """Return the path of a program of this environment, or of the system."""
    beside = Path(sysconfig.get_path("scripts")) / name
    return str(beside) if beside.is_file() else shutil.which(name)


def answers(port: int) -> bool:
    """Return whether a server accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a session of its own, and end it with all its children."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # Its data is disposable, and a proper end takes SeaweedFS five seconds.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(HANG)


def wait_for(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], object]) -> None:
    """Wait until a server is ready; report the end of its log if it ends, or never is."""
    end = time.monotonic() + HANG
    while not is_ready():
        if process.poll() is not None or time.monotonic() > end:
            message = f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}"
            raise RuntimeError(message)
        time.sleep(0.05)


def responds(server: Server) -> Callable[[], bool]:
    """Return a check that a server lists its buckets."""

    def check() -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        if answers(server.port):
            with contextlib.suppress(BotoCoreError, ClientError):
                server.client().list_buckets()
                return True
        return False

    return check


@contextmanager
def moto(scratch: Path) -> Iterator[Server]:
    """Run moto: everything is in memory."""
    server, log = Server("moto", free_port()), scratch / "moto.log"
    script = str(Path(__file__).with_name("moto_server.py"))
    command = [sys.executable, "-W", "ignore", script, "-H", HOST, "-p", str(server.port)]
    with running(command, log) as process:
        wait_for(process, log, lambda: answers(server.port))
        yield server


@contextmanager
def seaweedfs(scratch: Path) -> Iterator[Server]:
    """Run SeaweedFS: master, volume server, filer and S3 in one process."""
    weed = find_program("weed")
    assert weed is not None
    server, log, data = Server("seaweedfs", free_port()), scratch / "weed.log", scratch / "weed"
    data.mkdir()
    identity = {
        "name": "t",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (scratch / "s3.json").write_text(json.dumps({"identities": [identity]}))
    # Its gRPC ports are these plus 10000 unless set. Each bucket takes seven volumes.
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3.port")}
    ports["s3.port"] = server.port
    flags = [f"-{name}{'' if '.' in name else '.port'}={port}" for name, port in ports.items()]
    grpc = {name.partition(".")[0]: free_port() for name in ports}
    flags += [f"-{name}.port.grpc={port}" for name, port in grpc.items()]
    command = [
        *(weed, "-logtostderr=true", "server", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}"),
        *("-filer", "-s3", f"-s3.config={scratch / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-volume.max=5000", "-master.volumeSizeLimitMB=64", *flags),
    ]
    with running(command, log) as process:
        wait_for(process, log, responds(server))
        yield server
    # It is killed, and so leaves its Unix sockets.
    for port in (*ports.values(), *grpc.values()):
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            path.unlink()


@contextmanager
def rclone(scratch: Path) -> Iterator[Server]:
    """Run rclone, which ignores conditions."""
    program = find_program("rclone")
    assert program is not None
    server, log, data = Server("rclone", free_port()), scratch / "rclone.log", scratch / "rclone"
    data.mkdir()
    address = f"{HOST}:{server.port}"
    command = [program, "serve", "s3", "--addr", address, "--auth-key", f"{KEY},{SECRET}", str(data)]
    with running(command, log, RCLONE_CONFIG=str(scratch / "rclone.conf")) as process:
        wait_for(process, log, responds(server))
        yield server


@contextmanager
def s3s_fs(scratch: Path) -> Iterator[Server]:
    """Run s3s-fs, which checks conditions without atomicity."""
    program = find_program("s3s-fs")
    assert program is not None
    server, log, data = Server("s3s-fs", free_port()), scratch / "s3s.log", scratch / "s3s"
    data.mkdir()
    address = ["--host", HOST, "--port", str(server.port)]
    command = [program, *address, "--access-key", KEY, "--secret-key", SECRET, str(data)]
    with running(command, log) as process:
        wait_for(process, log, responds(server))
        yield server
