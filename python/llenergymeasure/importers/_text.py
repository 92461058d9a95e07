"""The text of a file: gzip and zstd are decompressed, UTF-16 is decoded, and byte order marks are skipped."""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from llenergymeasure import _store
from llenergymeasure.errors import NotImportableError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["MARK", "encoding_of", "is_compressed", "open_bytes", "open_text", "open_utf8", "utf8_of"]

MARK = "\ufeff"
"""The byte order mark; files that were put together have it in the middle, too."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def is_compressed(head: bytes) -> bool:
    """Return True for the first bytes of a file of gzip or zstd."""
    return head.startswith((_GZIP, _ZSTD))


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text by its first bytes; a mark stays in the text."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) > 1 and head[0] == 0 != head[1]:
        return "utf-16-be"
    if len(head) > 1 and head[1] == 0 != head[0]:
        return "utf-16-le"
    return "utf-8"


def open_bytes(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading, decompressed.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - a path may be empty
        head = file.read(4)
    if head.startswith(_GZIP):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if head.startswith(_ZSTD):
        return io.BufferedReader(cast("io.RawIOBase", _Zstd(path)))
    return open(path, "rb")  # noqa: PTH123


@contextmanager
def open_utf8(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a text file as UTF-8, decompressed; bytes that are no UTF-8 stay as they are.

    Raises:
        OSError: The file cannot be read.
        NotImportableError: The compression of the file is damaged, or its UTF-16 is.
    """
    with open_bytes(path) as file, utf8_of(file) as text:
        yield text


@contextmanager
def utf8_of(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Decompress an open file, and decode it from UTF-16; see `open_utf8`."""
    buffered = file if hasattr(file, "peek") else io.BufferedReader(cast("io.RawIOBase", file))
    head = buffered.peek(4)[:4]
    if is_compressed(head) and not isinstance(file, gzip.GzipFile):
        with _decompressed(buffered, head) as inner, utf8_of(inner) as text:
            yield text
        return
    try:
        encoding = encoding_of(head)
        yield buffered if encoding == "utf-8" else io.BytesIO(buffered.read().decode(encoding).encode())
    except UnicodeDecodeError:
        raise NotImportableError(
            "expected text in UTF-16, got bytes that are not; convert the file"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged("gzip", error) from None


@contextmanager
def _decompressed(file: IO[bytes], head: bytes) -> Iterator[IO[bytes]]:
    """Decompress a stream; the extension reads zstd from a file alone."""
    if head.startswith(_GZIP):
        with gzip.GzipFile(fileobj=file) as inner:
            yield cast("IO[bytes]", inner)
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        yield io.BufferedReader(cast("io.RawIOBase", _Zstd(copy.name)))


@contextmanager
def open_text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a text file, decompressed; its lines end as the file has them.

    Raises:
        OSError: The file cannot be read.
        NotImportableError: The compression of the file is damaged, or it is no text.
    """
    with open_utf8(path) as file:
        text = io.TextIOWrapper(cast("io.BufferedReader", file), encoding="utf-8", newline="")
        try:
            yield text
            text.detach()
        except UnicodeDecodeError as error:
            raise NotImportableError(
                f"expected text in UTF-8 or UTF-16, got the byte {error.object[error.start]:#04x}; "
                "convert the file"
            ) from None


class _Zstd(io.RawIOBase):
    """The text in a file of zstd."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._reader = _store.ZstdReader(path)  # type: ignore[arg-type]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            content = self._reader.read(len(buffer))
        except OSError as error:
            raise _damaged("zstd", error) from None
        buffer[: len(content)] = content
        return len(content)


def _damaged(kind: str, error: Exception) -> NotImportableError:
    return NotImportableError(
        f"expected a complete file of {kind}, got one that cannot be decompressed ({error}); copy it again"
    )
