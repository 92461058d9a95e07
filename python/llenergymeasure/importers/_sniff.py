"""The shape of an unknown file, from its first kilobytes: detection opens a file once."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._text import encoding_of, is_compressed, open_bytes

__all__ = ["Shape", "head_of", "shape_of"]

HEAD = 1 << 18
"""Bytes of a file that its detection reads."""

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(:?)|[{}\[\]]', re.DOTALL)
_DEPTH = 3
"""Levels of nested objects whose keys are collected."""


class Shape(NamedTuple):
    """The shape of a file.

    Attributes:
        kind: `"json"`, `"csv"`, `"directory"`, `"parquet"`, `"text"`, `"binary"` or `"empty"`.
        keys: The keys of the first object of a JSON file. Keys of nested objects follow their parents', with
            a dot. A truncated object has those before its end.
        columns: The column names of a CSV file.
    """

    kind: str
    keys: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a few words for an error message."""
        if self.kind == "json":
            top = sorted(key for key in self.keys if "." not in key)
            return f"JSON with the keys {_few(top)}" if top else "JSON without an object"
        if self.kind == "csv":
            return f"CSV with the columns {_few(self.columns)}"
        names = {
            "directory": "a directory",
            "parquet": "a Parquet file",
            "text": "text",
            "empty": "an empty file",
        }
        return names.get(self.kind, "a binary file")


def shape_of(path: Path) -> Shape:
    """Return the shape of a file.

    Raises:
        OSError: The file cannot be read.
    """
    status = os.stat(path)  # noqa: PTH116 - also for an empty name
    return _shape(path, status.st_mtime_ns, status.st_size)


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed."""
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        head = file.read(HEAD)
    if is_compressed(head):
        try:
            with open_bytes(path) as file:
                head = file.read1(HEAD)  # type: ignore[attr-defined]  # a truncated file has its first bytes
        except (OSError, EOFError, NotImportableError):
            return head
    return head


@lru_cache(maxsize=8)
def _shape(path: Path, _changed: int, _size: int) -> Shape:
    if path.is_dir():
        return Shape("directory")
    head = head_of(path)
    if head.startswith(b"PAR1"):
        return Shape("parquet")
    encoding = encoding_of(head)
    if encoding == "utf-8" and b"\0" in head:
        return Shape("binary")
    text = head.decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    if not text:
        return Shape("empty")
    if text[0] in "{[":
        return Shape("json", frozenset(_keys(text)))
    columns = tuple(name.strip(' "') for name in text.splitlines()[0].split(","))
    return Shape("csv", columns=columns) if len(columns) > 1 else Shape("text")


def _keys(text: str) -> set[str]:
    """Return the keys of the first object, also of a truncated one, of a document or in an array."""
    keys: set[str] = set()
    above: list[str] = []
    """The key of each open object or array; those of an array are empty."""
    base = None
    last = ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == "{":
            if base is None:
                base = len(above)
            above.append(last)
            last = ""
        elif mark == "[":
            above.append("")
            last = ""
        elif mark in ("}", "]"):
            if above:
                above.pop()
            if base is not None and len(above) <= base:
                break
        elif token[2] and base is not None:
            last = token[1]
            if len(above) - base <= _DEPTH:
                keys.add(".".join([*(name for name in above[base + 1 :] if name), last]))
        else:
            last = ""
    return keys


def _few(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    shown = ", ".join(name[:30] for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown
