"""Serve a directory, read-only, as a disk on which every call takes a time, as on a network file system.

    python tools/fuse_slow.py SOURCE DIRECTORY --ms 1

It serves a FUSE file system at DIRECTORY with the files of SOURCE. The kernel keeps no names, so that each
open costs a call for each component of the path, one for the open and one for the read. It prints `ready`
once it serves, or the reason why it cannot, and ends when DIRECTORY is unmounted.
"""

from __future__ import annotations

import argparse
import errno
import os
import stat
import struct
import threading
import time
from collections.abc import Callable

from fuse_disk import (
    ATTRIBUTES,
    FOR_EVER,
    GETATTR,
    INIT,
    LOOKUP,
    MINOR,
    OPEN,
    READ,
    RELEASE,
    TRANSFER,
    VERSION,
    mounted,
    serve,
)

__all__: list[str] = []

OPENDIR, READDIR, RELEASEDIR = 27, 28, 29
THREADS = 48
"""Calls that are served at once."""
ENTRY = struct.Struct("<QQII")  # of a directory: inode, the next offset, length of the name, kind
ROOT = 1


class SlowDirectory:
    """A server of the kernel's requests for one tree.

    Args:
        source: The directory with the files.
        device: A descriptor of `/dev/fuse`, mounted.
        seconds: The time of each call.
    """

    def __init__(self, source: str, device: int, seconds: float) -> None:
        self._device, self._seconds = device, seconds
        self._lock = threading.Lock()
        self._paths = {ROOT: source}
        self._nodes = {source: ROOT}

    def serve(self) -> None:
        """Answer requests in several threads until the file system is unmounted."""
        threads = [threading.Thread(target=serve, args=(self._device, self._answer)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        answers: dict[int, Callable[[str, bytes], bytes]] = {
            INIT: self._start,
            LOOKUP: self._look_up,
            GETATTR: lambda path, _: struct.pack("<QII", FOR_EVER, 0, 0) + self._attributes(path),
            OPEN: lambda *_: bytes(16),
            OPENDIR: lambda *_: bytes(16),
            READ: self._read,
            READDIR: self._list,
            RELEASE: lambda *_: b"",
            RELEASEDIR: lambda *_: b"",
        }
        if opcode != INIT:
            time.sleep(self._seconds)
        if opcode not in answers:
            raise OSError(errno.ENOSYS, "not served")
        return answers[opcode](self._paths.get(node, ""), body)

    def _start(self, *_: object) -> bytes:
        print("ready", flush=True)
        return struct.pack("<IIIIHHIIHHII24x", VERSION, MINOR, 0, 0, 16, 12, 4096, 1, 0, 0, 0, 0)

    def _look_up(self, path: str, name: bytes) -> bytes:
        below = f"{path}/{os.fsdecode(name[:-1])}"
        attributes = self._attributes(below)
        return struct.pack("<QQQQII", self._node(below), 0, 0, FOR_EVER, 0, 0) + attributes

    def _node(self, path: str) -> int:
        with self._lock:
            node = self._nodes.setdefault(path, len(self._nodes) + 1)
            self._paths[node] = path
            return node

    def _read(self, path: str, body: bytes) -> bytes:
        offset, length = TRANSFER.unpack_from(body)
        with open(path, "rb") as file:  # noqa: PTH123 - one of many
            data: bytes = os.pread(file.fileno(), length, offset)
            return data

    def _list(self, path: str, body: bytes) -> bytes:
        offset, length = TRANSFER.unpack_from(body)
        entries = b""
        for place, name in enumerate(sorted(os.listdir(path))[offset:], offset + 1):  # noqa: PTH208 - names only
            encoded = os.fsencode(name)
            kind = stat.S_IFDIR >> 12 if os.path.isdir(f"{path}/{name}") else stat.S_IFREG >> 12  # noqa: PTH112
            entry = ENTRY.pack(place, place, len(encoded), kind) + encoded
            entry += bytes(-len(entry) % 8)
            if len(entries) + len(entry) > length:
                break
            entries += entry
        return entries

    def _attributes(self, path: str) -> bytes:
        status = os.stat(path)  # noqa: PTH116 - one of many
        size, node = status.st_size, self._node(path)
        return ATTRIBUTES.pack(
            node, size, size // 512, status.st_mode, status.st_nlink, os.getuid(), os.getgid()
        )


def main() -> None:
    """Mount, serve, and end with the mount."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("source", help="the directory with the files")
    parser.add_argument("directory", help="an empty directory for the mount")
    parser.add_argument("--ms", type=float, default=1, help="the milliseconds of each call")
    options = parser.parse_args()
    device = mounted("llem-slow", options.directory, "40755")
    SlowDirectory(os.path.abspath(options.source), device, options.ms / 1000).serve()  # noqa: PTH100


if __name__ == "__main__":
    main()
