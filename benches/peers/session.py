"""What every contender does: save one result a number of times into a directory of its own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from importlib import metadata
from pathlib import Path
from typing import ClassVar

__all__ = ["Session"]


class Session(ABC):
    """One contender at work in one fresh directory. What its constructor does is not timed.

    It starts from the result as a pydantic model, and serialises it anew at each save, as a sweep would.
    """

    distribution: ClassVar[str]

    def __init__(self, directory: Path, record: str) -> None:
        self.directory = directory
        self.expected: object = json.loads(record)

    @classmethod
    def version(cls) -> str:
        """The version of what saves."""
        return metadata.version(cls.distribution)

    @abstractmethod
    def save(self, count: int) -> None:
        """Save the result so many times, each as a result of its own; this is what is timed."""

    @abstractmethod
    def last(self) -> object:
        """Read the last result back, as JSON values: equal to `expected`, or nothing was measured."""
