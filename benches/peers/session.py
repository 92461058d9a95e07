"""The interface of contenders: save one result a number of times into a directory."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from importlib import metadata
from pathlib import Path
from typing import ClassVar

__all__ = ["Session"]


class Session(ABC):
    """One contender in one fresh directory; its constructor is not timed.

    It starts from the result as a pydantic model, and serialises it at each save, as a sweep does.
    """

    distribution: ClassVar[str]

    def __init__(self, directory: Path, record: str) -> None:
        self.directory = directory
        self.expected: object = json.loads(record)

    @classmethod
    def version(cls) -> str:
        """Return the version of the package that saves."""
        return metadata.version(cls.distribution)

    @abstractmethod
    def save(self, count: int) -> None:
        """Save the result a number of times, each as a new result; the bench times this call."""

    @abstractmethod
    def last(self) -> object:
        """Return the last result as JSON values, which must equal `expected`."""
