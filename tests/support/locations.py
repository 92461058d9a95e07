"""Places for a store, and their contents as another client sees them."""

from __future__ import annotations

import os
import time
import uuid
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llenergymeasure import ResultStore

from .dialects import ACCOUNT
from .doubles import Double
from .loopback import HOST
from .servers import KEY, SECRET, Server

PREFIX = "team/sweep 1"
"""The prefix of a store in its bucket: a space must work."""


class Location(ABC):
    """An empty place for a store. Its files are named by paths relative to the root."""

    name: str
    root: str
    is_remote = True
    host = HOST
    port = 0

    @property
    @abstractmethod
    def options(self) -> dict[str, str] | None:
        """The options that a user passes to the store."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Return the bytes of every file below the root."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write a file without the store."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file without the store."""

    @abstractmethod
    def fresh(self) -> Location:
        """Return another empty location of the same kind."""

    def through(self, proxy: Any) -> Location:
        """Return this location as the clients of a proxy see it."""
        raise NotImplementedError

    def violations(self) -> list[str]:
        """Return what a double did not accept."""
        return []

    def store(self, **settings: Any) -> ResultStore:
        """Open a store; `options` are added to those of the location."""
        options = (self.options or {}) | settings.pop("options", {})
        # The parameter exists only for object stores.
        return ResultStore(self.root, **({"options": options} if self.is_remote else {}), **settings)

    def job(self) -> dict[str, Any]:
        """Return what a worker process needs to open the store."""
        return {"root": self.root, "options": self.options}

    def records(self) -> list[str]:
        """Return the names of all records."""
        return sorted(name for name in self.files() if name.endswith("/result.json"))


class LocalLocation(Location):
    """A directory."""

    name = "local"
    is_remote = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.root = str(path)

    @property
    def options(self) -> dict[str, str] | None:
        return None

    def files(self) -> dict[str, bytes]:
        found = (path for path in self._path.rglob("*") if path.is_file())
        return {path.relative_to(self._path).as_posix(): path.read_bytes() for path in found}

    def put(self, name: str, data: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, name: str) -> None:
        path = self._path / name
        path.unlink()
        with suppress(OSError):
            path.parent.rmdir()

    def age(self, seconds: float) -> None:
        """Make every file and directory older."""
        when = time.time() - seconds
        for path in [*self._path.rglob("*"), self._path]:
            os.utime(path, (when, when))

    def fresh(self) -> Location:
        return LocalLocation(self._path.with_name(f"local-{uuid.uuid4().hex[:8]}"))


class S3Location(Location):
    """A new bucket of a server."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self.port = server.port
        self._server = server
        self.client = server.client()
        self.bucket = server.new_bucket()
        self.root = f"s3://{self.bucket}/{PREFIX}"

    @property
    def options(self) -> dict[str, str]:
        return {
            "endpoint": f"http://{self.host}:{self.port}",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "region": self._server.region,
        }

    def files(self) -> dict[str, bytes]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{PREFIX}/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        # Ceph takes 40 ms to answer a request, and so many of them at once.
        with ThreadPoolExecutor(32) as pool:
            return {
                key.removeprefix(f"{PREFIX}/"): data
                for key, data in zip(keys, pool.map(self._read, keys), strict=True)
            }

    def _read(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def key(self, name: str) -> str:
        """Return the key of a file in the bucket."""
        return f"{PREFIX}/{name}"

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.key(name))

    def fresh(self) -> Location:
        return S3Location(self._server)

    def through(self, proxy: Any) -> Location:
        return _through(self, proxy)


@dataclass
class DoubleLocation(Location):
    """A new bucket of a double."""

    double: Double
    name: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.port = self.double.dialect, self.double.port
        self.bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        self.double.new_bucket(self.bucket)
        scheme = {"s3": "s3", "gcs": "gs", "azure": "az"}[self.name]
        self.root = f"{scheme}://{self.bucket}/{PREFIX}"

    @property
    def options(self) -> dict[str, str]:
        endpoint = f"http://{self.host}:{self.port}"
        if self.name == "gcs":
            return {"base_url": endpoint, "bearer_token": "test"}
        if self.name == "azure":
            return {"endpoint": endpoint, "account_name": ACCOUNT, "skip_signature": "true"}
        return {
            "endpoint": endpoint,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "region": "us-east-1",
        }

    def files(self) -> dict[str, bytes]:
        return {
            key.removeprefix(f"{PREFIX}/"): data
            for key, data in self.double.objects(self.bucket).items()
            if key.startswith(f"{PREFIX}/")
        }

    def put(self, name: str, data: bytes) -> None:
        self.double.put(self.bucket, f"{PREFIX}/{name}", data)

    def remove(self, name: str) -> None:
        self.double.remove(self.bucket, f"{PREFIX}/{name}")

    def age(self, seconds: float) -> None:
        """Make every object older."""
        self.double.age(self.bucket, seconds)

    def fresh(self) -> Location:
        return DoubleLocation(self.double)

    def through(self, proxy: Any) -> Location:
        return _through(self, proxy)

    def violations(self) -> list[str]:
        return self.double.violations()


def _through(location: S3Location | DoubleLocation, proxy: Any) -> Location:
    seen: Location = location.__class__.__new__(location.__class__)
    seen.__dict__.update(location.__dict__)
    seen.host, seen.port = proxy.host, proxy.port
    return seen


def double_location(double: Double) -> Location:
    """Open a new bucket of a double."""
    return DoubleLocation(double)
