"""Serve a file as a disk for a loop device, with slow flushes or a log of every write.

    python tools/fuse_disk.py IMAGE DIRECTORY --flush-ms 5     # the disk of a laptop
    python tools/fuse_disk.py IMAGE DIRECTORY --log FILE

It serves a FUSE file system at DIRECTORY with one file, `disk`. It prints `ready` once the file is there, or
the reason why it cannot serve, and ends when DIRECTORY is unmounted.

Without a log, the kernel passes reads and writes of the file through to IMAGE (Linux >= 6.9), as fast as
without FUSE. The server handles only flushes: it flushes IMAGE, and answers when the time is over. With a
log, the server handles every write, and logs it before the answer: a header of 12 bytes, `ENTRY`, and the
written bytes; a flush is an entry of length 0.

The protocol is that of `linux/fuse.h`, implemented here so that nothing has to be installed or compiled.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys
import time
from collections.abc import Callable
from typing import NoReturn

__all__: list[str] = []

ENTRY = struct.Struct("<QI")  # of the log: offset, length

REQUEST = struct.Struct("<IIQQIII4x")  # length, opcode, unique, node, uid, gid, pid
REPLY = struct.Struct("<IiQ")  # length, negated errno, unique
ATTRIBUTES = struct.Struct("<QQQ24x12xIIII4x4x4x")  # inode, size, blocks, times, mode, links, uid, gid, ...

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH = 1, 2, 3, 14, 15, 16, 18, 20, 25
INIT, INTERRUPT, BATCH_FORGET = 26, 36, 42
NO_REPLY = (FORGET, INTERRUPT, BATCH_FORGET)

TRANSFER = struct.Struct("<8xQI20x")  # of a read or a write: offset, length; the bytes follow

VERSION, MINOR = 7, 40
BIG_WRITES = 1 << 5
LONGEST_WRITE = 1 << 17
INIT_EXTENDED = 1 << 30
PASS_THROUGH = 1 << (37 - 32)  # of the second word of flags
OPEN_PASS_THROUGH = 1 << 7
STACKED = 2
"""The greatest depth of stacked file systems, so that the image may lie on an overlay."""
BACKING_OPEN = 0x4010_E501  # _IOW(229, 1, struct fuse_backing_map)

FOR_EVER = 1 << 30
LONGEST_REQUEST = 1 << 18
DIRECTORY, DISK = 1, 2


def mounted(name: str, directory: str, mode: str) -> int:
    """Mount a FUSE file system, and return the descriptor of its requests."""
    device = os.open("/dev/fuse", os.O_RDWR)
    settings = f"fd={device},rootmode={mode},user_id={os.getuid()},group_id={os.getgid()}"
    # Not the program `mount`, which may send requests that wait for this server.
    mount = ctypes.CDLL(None, use_errno=True).mount
    if mount(name.encode(), os.fsencode(directory), b"fuse", 0, settings.encode()):
        _give_up(f"cannot mount a FUSE file system: {os.strerror(ctypes.get_errno())}")
    return device


def serve(device: int, answer: Callable[[int, int, bytes], bytes]) -> None:
    """Answer requests until the file system is unmounted: by opcode, node and body."""
    while True:
        try:
            request = os.read(device, LONGEST_REQUEST)
        except FileNotFoundError:  # the kernel withdrew the request
            continue
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            raise
        _, opcode, unique, node, *_ = REQUEST.unpack_from(request)
        if opcode in NO_REPLY:
            continue
        try:
            code, body = 0, answer(opcode, node, request[REQUEST.size :])
        except OSError as error:
            code, body = -(error.errno or errno.EIO), b""
        os.write(device, REPLY.pack(REPLY.size + len(body), code, unique) + body)


class FuseDisk:
    """A server of the kernel's requests for one directory and its file.

    Args:
        image: A descriptor of the file with the bytes.
        device: A descriptor of `/dev/fuse`, mounted.
        seconds: The least time of a flush.
        log: A descriptor of the log, or None without a log.
    """

    def __init__(self, image: int, device: int, seconds: float, log: int | None) -> None:
        self._image, self._device, self._seconds, self._log = image, device, seconds, log

    def serve(self) -> None:
        """Answer requests until the file system is unmounted."""
        serve(self._device, self._answer)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        answers: dict[int, Callable[[int, bytes], bytes]] = {
            INIT: self._start,
            LOOKUP: self._look_up,
            GETATTR: lambda node, _: struct.pack("<QII", FOR_EVER, 0, 0) + self._attributes(node),
            OPEN: self._open,
            READ: self._read,
            WRITE: self._write,
            FSYNC: self._flush,
            FLUSH: lambda *_: b"",  # at the close of a descriptor
            RELEASE: lambda *_: b"",
        }
        if opcode not in answers:
            raise OSError(errno.ENOSYS, "not served")
        return answers[opcode](node, body)

    def _start(self, _: int, body: bytes) -> bytes:
        flags, more, size = INIT_EXTENDED, PASS_THROUGH, 4096
        if self._log is not None:
            flags, more, size = BIG_WRITES, 0, LONGEST_WRITE
        elif not int.from_bytes(body[16:20], "little") & PASS_THROUGH:
            _give_up("this kernel's FUSE has no passthrough")
        print("ready", flush=True)
        return struct.pack("<IIIIHHIIHHII24x", VERSION, MINOR, 0, flags, 16, 12, size, 1, 0, 0, more, STACKED)

    def _look_up(self, node: int, name: bytes) -> bytes:
        if (node, name) != (DIRECTORY, b"disk\0"):
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return struct.pack("<QQQQII", DISK, 0, FOR_EVER, FOR_EVER, 0, 0) + self._attributes(DISK)

    def _open(self, *_: object) -> bytes:
        if self._log is not None:
            return struct.pack("<QIi", 0, 0, 0)
        # Only for a mutable buffer does the call return its answer.
        buffer = bytearray(struct.pack("<iIQ", self._image, 0, 0))
        backing = fcntl.ioctl(self._device, BACKING_OPEN, buffer)
        return struct.pack("<QIi", 0, OPEN_PASS_THROUGH, backing)

    def _read(self, _: int, body: bytes) -> bytes:
        offset, length = TRANSFER.unpack_from(body)
        return os.pread(self._image, length, offset)

    def _write(self, _: int, body: bytes) -> bytes:
        offset, length = TRANSFER.unpack_from(body)
        data = body[TRANSFER.size :][:length]
        self._note(ENTRY.pack(offset, length) + data)
        return struct.pack("<I4x", os.pwrite(self._image, data, offset))

    def _flush(self, *_: object) -> bytes:
        over = time.monotonic() + self._seconds
        self._note(ENTRY.pack(0, 0))
        if self._log is None:
            os.fdatasync(self._image)
        time.sleep(max(0, over - time.monotonic()))
        return b""

    def _note(self, entry: bytes) -> None:
        if self._log is not None and os.write(self._log, entry) != len(entry):
            raise OSError(errno.ENOSPC, "the log is incomplete")

    def _attributes(self, node: int) -> bytes:
        if node == DIRECTORY:
            return ATTRIBUTES.pack(node, 0, 0, stat.S_IFDIR | 0o700, 2, os.getuid(), os.getgid())
        size = os.fstat(self._image).st_size
        return ATTRIBUTES.pack(node, size, size // 512, stat.S_IFREG | 0o600, 1, os.getuid(), os.getgid())


def main() -> None:
    """Mount, serve, and end with the mount."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("image", help="the file with the bytes")
    parser.add_argument("directory", help="an empty directory for the mount")
    parser.add_argument("--flush-ms", type=float, default=0, help="the least milliseconds of each flush")
    parser.add_argument("--log", help="a new file for each write and flush")
    options = parser.parse_args()
    image = os.open(options.image, os.O_RDWR)
    log = None if options.log is None else os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    device = mounted("llem-disk", options.directory, "40700")
    FuseDisk(image, device, options.flush_ms / 1000, log).serve()


def _give_up(why: str) -> NoReturn:
    print(why, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
