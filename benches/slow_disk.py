"""A file whose every flush takes a while: the disk of a laptop, under a loop device.

    python benches/slow_disk.py IMAGE DIRECTORY MILLISECONDS

It serves a FUSE file system at DIRECTORY with one file in it, `disk`, and says `ready` once it is there, or
why it cannot be; it ends when DIRECTORY is unmounted. The kernel passes reads and writes of the file through
to IMAGE (Linux >= 6.9), as quick as without FUSE. Only a flush comes here: IMAGE is flushed, and the answer
waits until the time is over.

The protocol is that of `linux/fuse.h`, spoken here so that nothing has to be installed or compiled.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys
import time
from typing import NoReturn

__all__: list[str] = []

REQUEST = struct.Struct("<IIQQIII4x")  # length, opcode, unique, node, uid, gid, pid
REPLY = struct.Struct("<IiQ")  # length, negated errno, unique
ATTRIBUTES = struct.Struct("<QQQ24x12xIIII4x4x4x")  # inode, size, blocks, times, mode, links, uid, gid, ...

LOOKUP, FORGET, GETATTR, OPEN, RELEASE, FSYNC, FLUSH = 1, 2, 3, 14, 18, 20, 25
INIT, INTERRUPT, BATCH_FORGET = 26, 36, 42
NO_REPLY = (FORGET, INTERRUPT, BATCH_FORGET)

VERSION, MINOR = 7, 40
INIT_EXTENDED = 1 << 30
PASS_THROUGH = 1 << (37 - 32)  # of the second word of flags
OPEN_PASS_THROUGH = 1 << 7
STACKED = 2
"""The most that file systems may be stacked, so that the image may lie on an overlay."""
BACKING_OPEN = 0x4010_E501  # _IOW(229, 1, struct fuse_backing_map)

FOR_EVER = 1 << 30
LONGEST_REQUEST = 1 << 18
DIRECTORY, DISK = 1, 2


class SlowDisk:
    """Answers the kernel's requests for one directory and the file in it."""

    def __init__(self, image: int, device: int, seconds: float) -> None:
        self._image, self._device, self._seconds = image, device, seconds

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._device, LONGEST_REQUEST)
            except FileNotFoundError:  # withdrawn before it was read
                continue
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                raise
            _, opcode, unique, node, *_ = REQUEST.unpack_from(request)
            if opcode in NO_REPLY:
                continue
            try:
                code, body = 0, self._answer(opcode, node, request[REQUEST.size :])
            except OSError as error:
                code, body = -(error.errno or errno.EIO), b""
            os.write(self._device, REPLY.pack(REPLY.size + len(body), code, unique) + body)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        if opcode == INIT:
            if not int.from_bytes(body[16:20], "little") & PASS_THROUGH:
                _give_up("this kernel's FUSE passes nothing through")
            print("ready", flush=True)
            return struct.pack(
                "<IIIIHHIIHHII24x",
                *(VERSION, MINOR, 0, INIT_EXTENDED, 16, 12, 4096, 1, 0, 0, PASS_THROUGH, STACKED),
            )
        if opcode == LOOKUP and node == DIRECTORY and body == b"disk\0":
            return struct.pack("<QQQQII", DISK, 0, FOR_EVER, FOR_EVER, 0, 0) + self._attributes(DISK)
        if opcode == LOOKUP:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        if opcode == GETATTR:
            return struct.pack("<QII", FOR_EVER, 0, 0) + self._attributes(node)
        if opcode == OPEN:
            # The call returns its answer for no other kind of buffer.
            buffer = bytearray(struct.pack("<iIQ", self._image, 0, 0))
            backing = fcntl.ioctl(self._device, BACKING_OPEN, buffer)
            return struct.pack("<QIi", 0, OPEN_PASS_THROUGH, backing)
        if opcode == FSYNC:
            over = time.monotonic() + self._seconds
            os.fdatasync(self._image)
            time.sleep(max(0, over - time.monotonic()))
            return b""
        if opcode in (FLUSH, RELEASE):  # of a descriptor that is closed
            return b""
        raise OSError(errno.ENOSYS, "not served")

    def _attributes(self, node: int) -> bytes:
        if node == DIRECTORY:
            return ATTRIBUTES.pack(node, 0, 0, stat.S_IFDIR | 0o700, 2, os.getuid(), os.getgid())
        size = os.fstat(self._image).st_size
        return ATTRIBUTES.pack(node, size, size // 512, stat.S_IFREG | 0o600, 1, os.getuid(), os.getgid())


def main() -> None:
    """Mount, serve, and end with the mount."""
    image_path, directory, milliseconds = sys.argv[1:]
    image = os.open(image_path, os.O_RDWR)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40700,user_id={os.getuid()},group_id={os.getgid()}"
    # The call itself and not the program, which might ask for what is not served before it ends.
    mount = ctypes.CDLL(None, use_errno=True).mount
    if mount(b"llem-slow-disk", os.fsencode(directory), b"fuse", 0, options.encode()):
        _give_up(f"cannot mount a FUSE file system: {os.strerror(ctypes.get_errno())}")
    SlowDisk(image, device, float(milliseconds) / 1000).serve()


def _give_up(why: str) -> NoReturn:
    print(why, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
