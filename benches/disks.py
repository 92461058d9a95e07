"""Make fresh file systems on loop devices, as root, optionally with slow flushes.

    python benches/disks.py ext4 --flush-ms 5 -- COMMAND {dir}

An old file system distorts measurements by its history, and the root of a build machine may have no journal.
Each disk is new, on a sparse image, and is removed after use.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

__all__ = ["KINDS", "SCRATCH", "SIZE", "UnavailableError", "btrfs", "disk", "ext4", "missing", "xfs"]

KINDS = {
    # Inodes for 9 KB results; not lazy, else a kernel thread writes during the first minutes.
    "ext4": "mkfs.ext4 -q -F -i 8192 -m 0 -E lazy_itable_init=0,lazy_journal_init=0",
    "xfs": "mkfs.xfs -q -f",
    "btrfs": "mkfs.btrfs -q -f",
}
"""The command that makes each kind."""
FUSE_DISK = Path(__file__).parents[1] / "tools" / "fuse_disk.py"
SIZE = 4 << 30
SCRATCH = Path("/var/tmp")  # noqa: S108 - often a disk where /tmp is not; names are random
UNMOUNT_ATTEMPTS = 50


class UnavailableError(RuntimeError):
    """A disk cannot be made on this machine."""


def missing(kind: str, *, flush_ms: float = 0) -> str | None:
    """Return what this machine lacks for a disk; None if it can make one."""
    if sys.platform != "linux":
        return "only Linux has loop devices"
    if os.geteuid():
        return "only root can mount"
    for tool in (KINDS[kind].split()[0], "mount", "umount"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not Path("/dev/loop-control").exists():
        return "this kernel has no loop devices"
    if flush_ms and not Path("/dev/fuse").exists():
        return "this kernel has no FUSE, which slow flushes need"
    return None


@contextlib.contextmanager
def disk(kind: str, scratch: Path, *, flush_ms: float = 0, size: int = SIZE) -> Iterator[Path]:
    """Make a file system, mount it, and remove it after the block, also after an error.

    Args:
        kind: One of `KINDS`.
        scratch: An existing directory for the image and the mount; a real disk, not a tmpfs.
        flush_ms: The least milliseconds of each flush of the device.
        size: Bytes of the device; the image is sparse.

    Yields:
        The root of the file system, empty.

    Raises:
        UnavailableError: This machine cannot make it.
    """
    lacking = missing(kind, flush_ms=flush_ms)
    if lacking:
        raise UnavailableError(lacking)
    signals = contextlib.ExitStack()
    with signals, contextlib.ExitStack() as undo:
        home = Path(tempfile.mkdtemp(prefix=".llem-disk-", dir=scratch)).resolve()
        undo.callback(home.rmdir)
        image = home / "image"
        undo.callback(image.unlink)
        with image.open("wb") as file:
            file.truncate(size)
        _run(*KINDS[kind].split(), image)
        device = undo.enter_context(_slowed(image, home / "slow", flush_ms)) if flush_ms else image
        undo.enter_context(_mounted(kind, device, home / kind))
        if kind == "ext4":
            (home / kind / "lost+found").rmdir()
        undo.callback(_ignore_signals, signals)  # last in, first out
        yield home / kind


ext4, xfs, btrfs = (partial(disk, kind) for kind in KINDS)


@contextlib.contextmanager
def _slowed(image: Path, directory: Path, flush_ms: float) -> Iterator[Path]:
    """Serve an image as a file whose flushes are slow."""
    directory.mkdir()
    command: list[str | Path] = [sys.executable, FUSE_DISK, image, directory, "--flush-ms", str(flush_ms)]
    try:
        # In its own session: Ctrl-C is for the bench, which must unmount the disk first.
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
            try:
                assert server.stdout is not None
                answer = server.stdout.readline().strip()
                if answer != "ready":
                    raise UnavailableError(answer or f"{FUSE_DISK.name} failed")
                yield directory / "disk"
            finally:
                server.kill()
    finally:
        with contextlib.suppress(UnavailableError):  # it was not mounted
            _run("umount", "--lazy", directory)
        directory.rmdir()


@contextlib.contextmanager
def _mounted(kind: str, device: Path, directory: Path) -> Iterator[None]:
    """Mount an image, whose loop device ends with the mount."""
    directory.mkdir()
    try:
        _run("mount", "-t", kind, "-o", "loop", device, directory)
        yield
    finally:
        if directory.is_mount():
            _unmount(directory)
        directory.rmdir()


def _unmount(directory: Path) -> None:
    """Unmount; after several attempts, even while files are open."""
    for _ in range(UNMOUNT_ATTEMPTS):
        with contextlib.suppress(UnavailableError):
            _run("umount", directory)
            return
        time.sleep(0.1)
    _run("umount", "--lazy", directory)


def _ignore_signals(until: contextlib.ExitStack) -> None:
    """Ignore Ctrl-C and SIGTERM until a stack unwinds, as an interrupted cleanup leaves mounts behind."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            until.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, start_new_session=True)
    if done.returncode:
        complaint, *_ = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UnavailableError(f"{command[0]} failed: {complaint}")


def main() -> None:
    """Run a command on a disk."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        with disk(options.kind, options.scratch, flush_ms=options.flush_ms) as directory:
            if options.command:
                command = [argument.replace("{dir}", str(directory)) for argument in options.command]
                sys.exit(subprocess.run(command, check=False).returncode)
            print(f"{directory} stays until Ctrl-C", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    except UnavailableError as lacking:
        sys.exit(f"SKIP: no {options.kind} can be made: {lacking}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options] {ext4,xfs,btrfs} [-- COMMAND ...]",
        description=__doc__.partition("\n")[0] if __doc__ else None,
        epilog="{dir} in the command becomes the directory. Without a command, the disk stays until Ctrl-C.",
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--flush-ms", type=float, default=0, help="the least milliseconds of each flush")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="directory for the image")
    ours, theirs = sys.argv[1:], []
    if "--" in ours:
        split = ours.index("--")
        ours, theirs = ours[:split], ours[split + 1 :]
    return parser.parse_args(ours, argparse.Namespace(command=theirs))


if __name__ == "__main__":
    main()
