"""An object store in a directory, in place of the extension's: for tests of what Python does around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import _store
from llenergymeasure.results._access import NO_ACCESS


class FakeStorage:
    """A location: the directory `place/bucket/...` stands for the URL `s3://bucket/...`."""

    place: Path
    """The directory of all buckets."""
    made: list[FakeStorage]
    """The clients that were made, in order."""
    promise: tuple[str, str] = ("full", "")
    answers: dict[tuple[str, str], str | None]
    """The answers of `resolve`, by URL and id."""

    def __init__(
        self,
        url: str,
        options: dict[str, str] | None = None,
        credential_provider: object = None,
        _cache: tuple[str, int] | None = None,
    ) -> None:
        if "wrong" in (options or {}):
            raise ValueError("options expects a known name, got 'wrong'")
        self.url, self.options, self.credential_provider = url, options, credential_provider
        self.client: FakeStorage = self
        type(self).made.append(self)

    def at(self, url: str) -> FakeStorage:
        """Return another location of the same client."""
        assert url.startswith(self.client.url)
        location = object.__new__(type(self))
        location.url, location.client = url, self.client
        return location

    def durability(self) -> tuple[str, str]:
        """Return the promise."""
        return self.promise

    def unknown_service(self) -> str | None:
        """Return the address of a service that is not known."""
        return (self.client.options or {}).get("endpoint")

    def look(self, keys: list[str]) -> list[tuple[int, str | None] | None]:
        """Return the size and the tag of each object."""
        files = [Path(self.directory, key) for key in keys]
        return [(file.stat().st_size, None) if file.exists() else None for file in files]

    def resolve(self, result: str, save_id: str) -> str | None:
        """Return the prepared answer."""
        return self.answers[result, save_id]

    @property
    def directory(self) -> str:
        """The directory of the location."""
        scheme, _, rest = self.url.partition("://")
        return str(self.place / scheme / rest)

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a client")


class _Wrapped:
    """An object of the extension that returns URLs in place of the paths of directories."""

    def __init__(self, wrapped: Any, back: Callable[[Any], Any]) -> None:
        self._wrapped, self._back = wrapped, back

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        return _called(value, self._back) if callable(value) else value

    def collect(self, outcomes: dict[int, Any], *arguments: Any) -> bool:
        """Collect the outcomes of a bulk save."""
        more: bool = self._wrapped.collect(outcomes, *arguments)
        outcomes.update({index: self._back(outcome) for index, outcome in outcomes.items()})
        return more

    def read(self, *, progress: Any = None) -> Any:
        """Begin to read a scan."""
        return _Wrapped(self._wrapped.read(progress=progress), self._back)


def _called(function: Callable[..., Any], back: Callable[[Any], Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        here = [_in_place(argument) for argument in arguments]
        return back(function(*here, **{name: _in_place(value) for name, value in named.items()}))

    return call


def _in_place(argument: Any) -> Any:
    return argument.directory if isinstance(argument, FakeStorage) else argument


def install(monkeypatch: pytest.MonkeyPatch, place: Path) -> type[FakeStorage]:
    """Let the extension's functions take fake locations, in a directory that has a bucket `bucket`."""
    kind = type(
        "ObjectStorage", (FakeStorage,), {"place": place, "made": [], "answers": {}, "promise": ("full", "")}
    )
    (place / "s3" / "bucket").mkdir(parents=True)
    prefix = f"{place}/s3/"

    def back(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(map(back, value))
        if isinstance(value, (str, Path)) and str(value).startswith(prefix):
            return f"s3://{str(value).removeprefix(prefix)}"
        return value

    def wrapped(function: Callable[..., Any], *, is_of_tree: bool) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            root = arguments[0] if arguments else None
            if isinstance(root, FakeStorage) and is_of_tree:  # a bucket has no directories to create
                Path(root.directory).mkdir(parents=True, exist_ok=True)
            is_remote = any(isinstance(one, FakeStorage) for one in (*arguments, *named.values()))
            to_url = back if is_remote else lambda value: value
            made = _called(function, to_url)(*arguments, **named)
            return _Wrapped(made, to_url) if isinstance(function, type) else made

        return call

    of_tree = ("Bulk", "Scan", "Traces", "Documents", "Inspection", "completed", "clean")
    for name in ("save", "read", "missing_sidecar", "sidecar_path", "read_timeseries", *of_tree):
        monkeypatch.setattr(_store, name, wrapped(getattr(_store, name), is_of_tree=name in of_tree))
    monkeypatch.setattr(_store, "ObjectStorage", kind, raising=False)
    monkeypatch.setattr(NO_ACCESS, "_clients", {})  # made of another class
    return kind
