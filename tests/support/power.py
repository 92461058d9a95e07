"""Disks that a test freezes at an instant, and the checks of each after a power cut.

All disks lie on a file system in memory that can clone files, so that a state costs some milliseconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultStore

from .disks import first_line, run_tool
from .results import record_text

FUSE_DISK = Path(__file__).parents[2] / "tools" / "fuse_disk.py"
FICLONE = 0x40049409


@dataclass(frozen=True)
class Kind:
    """The command that makes a file system, its size, and its mount options."""

    make: str
    size: int
    options: str = "loop"


KINDS = {
    "ext4": Kind("mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0", 48 << 20),
    # nouuid: a cloned disk has the UUID of the original.
    "xfs": Kind("mkfs.xfs -q -f", 300 << 20, "loop,nouuid"),
    "btrfs": Kind("mkfs.btrfs -q -f", 160 << 20, "loop,nodiscard"),
}


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    top: Path
    """The root of the file system."""
    root: Path
    """The directory for results: the same, or an overlay with its upper side there."""


@dataclass
class Ledger:
    """The submitted results, and the acknowledged ones in their order."""

    records: dict[bytes, str] = field(default_factory=dict)
    """The bytes of every possible record, with the result's id."""
    results: dict[str, ExperimentResult] = field(default_factory=dict)
    sidecars: set[bytes] = field(default_factory=set)
    acknowledged: list[tuple[str, str, int]] = field(default_factory=list)
    """The path below the mount, the result's id, and the length of the log."""

    def add(self, result: ExperimentResult) -> None:
        """Note a result that is about to be submitted."""
        with_sidecar = result.model_copy(update={"timeseries": "timeseries.parquet"})
        for form in (result, with_sidecar):
            self.records[record_text(form).encode()] = result.experiment_id
        self.results[result.experiment_id] = result

    def learn(self, root: Path) -> None:
        """Note the results of another run of the same saves."""
        for record in root.glob("*/result.json"):
            loaded = ExperimentResult.from_json(record)
            self.results[loaded.experiment_id] = loaded
            self.records[record.read_bytes()] = loaded.experiment_id
        self.sidecars |= {path.read_bytes() for path in root.glob("*/timeseries.parquet")}


class Lab:
    """A place to make disks, to freeze them, and to check their content."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._pristine: dict[str, Path] = {}

    def image(self, kind: str) -> Path:
        """Return a new disk with an empty file system."""
        if kind not in self._pristine:
            pristine = self.home / f"{kind}.pristine"
            with pristine.open("wb") as file:
                file.truncate(KINDS[kind].size)
            run_tool(*KINDS[kind].make.split(), pristine)
            self._pristine[kind] = pristine
        return self.clone(self._pristine[kind])

    def clone(self, image: Path) -> Path:
        """Return a copy of a disk at this instant: everything written to it, flushed or not."""
        handle, name = tempfile.mkstemp(dir=self.home, prefix="disk-")
        try:
            with image.open("rb") as original:
                fcntl.ioctl(handle, FICLONE, original.fileno())
        finally:
            os.close(handle)
        return Path(name)

    @contextlib.contextmanager
    def mounted(self, kind: str, device: Path, *, overlay: bool = False, options: str = "") -> Iterator[Disk]:
        """Mount a disk, with `overlay` below an overlay whose upper side is on the disk."""
        with contextlib.ExitStack() as undo:
            top = Path(tempfile.mkdtemp(dir=self.home, prefix="mount-"))
            undo.callback(top.rmdir)
            how = ",".join(filter(None, (KINDS[kind].options, options)))
            undo.callback(unmount, top)
            run_tool("mount", "-t", kind, "-o", how, device, top)
            if not overlay:
                yield Disk(top, top)
                return
            lower, upper, work = (top / name for name in ("lower", "upper", "work"))
            for directory in (lower, upper, work):
                directory.mkdir(exist_ok=True)
            run_tool("sync", "--file-system", top)
            root = Path(tempfile.mkdtemp(dir=self.home, prefix="overlay-"))
            undo.callback(root.rmdir)
            sides = f"lowerdir={lower},upperdir={upper},workdir={work}"
            undo.callback(unmount, root)
            run_tool("mount", "-t", "overlay", "-o", sides, "none", root)
            yield Disk(top, root)

    @contextlib.contextmanager
    def logging(self, image: Path, log: Path) -> Iterator[Path]:
        """Serve an image as a disk that logs every write and flush."""
        with contextlib.ExitStack() as undo:
            directory = Path(tempfile.mkdtemp(dir=self.home, prefix="fuse-"))
            undo.callback(directory.rmdir)
            undo.callback(unmount, directory)  # the server may mount in its last moment
            command: list[str | Path] = [sys.executable, FUSE_DISK, image, directory, "--log", log]
            # In its own session: Ctrl-C is for pytest, which must unmount the disk first.
            server = undo.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
            )
            undo.callback(server.kill)
            undo.callback(unmount, directory)
            assert server.stdout is not None
            answer = server.stdout.readline().strip()
            if answer != "ready":
                pytest.skip(answer or "no FUSE disk can be served here")
            yield directory / "disk"

    def inspect(
        self, kind: str, image: Path, ledger: Ledger, acknowledged: int, *, overlay: bool = False
    ) -> list[str]:
        """Return the violations on a disk after a power cut, and remove the image.

        `acknowledged` is the number of the ledger's acknowledgements before the cut.
        """
        return self.examine(kind, image, lambda root: violations(root, ledger, acknowledged), overlay=overlay)

    def examine(
        self, kind: str, image: Path, check: Callable[[Path], list[str]], *, overlay: bool = False
    ) -> list[str]:
        """Mount a disk after a power cut, return the violations that a check finds, and remove the image."""
        try:
            with self.mounted(kind, image, overlay=overlay) as disk:
                return check(disk.root)
        except subprocess.CalledProcessError as error:
            return [f"unreadable: {first_line(error)}"]
        except OSError as error:
            return [f"unreadable: {error}"]
        finally:
            image.unlink()


def violations(root: Path, ledger: Ledger, acknowledged: int) -> list[str]:
    """Check every invariant of a power cut, and return violations of the form `kind: text`."""
    found: list[str] = []
    store = ResultStore(root)
    there: dict[str, str] = {}
    for record in sorted(root.glob("**/result.json")):
        name = str(record.relative_to(root))
        try:
            content = record.read_bytes()
            if content not in ledger.records:
                found.append(f"torn: {name} has {len(content)} bytes that are not a result")
                continue
            there[name] = ledger.records[content]
            loaded = store.load(record, missing_sidecar="error")
            saved = ledger.results[there[name]]
            if loaded.model_copy(update={"timeseries": saved.timeseries}) != saved:
                found.append(f"changed: {name} is not what was saved")
        except Exception as error:  # noqa: BLE001 - every error is a violation
            found.append(f"unreadable: {name}: {error}")
    for sidecar in root.glob("**/timeseries.parquet"):
        try:
            content = sidecar.read_bytes()
        except OSError as error:
            found.append(f"unreadable: {error}")
            continue
        if content not in ledger.sidecars:
            found.append(
                f"torn: {sidecar.relative_to(root)} has {len(content)} bytes that are not a power trace"
            )
    for name, number, _ in ledger.acknowledged[:acknowledged]:
        if there.get(name) != number:
            found.append(f"lost: {name} was acknowledged for result {number}, and has {there.get(name)}")
    return found


def unmount(where: Path) -> None:
    """Unmount, even while files are open, or do nothing without a mount.

    Callers register it before the mount, which Ctrl-C may interrupt.
    """
    with contextlib.suppress(subprocess.CalledProcessError):
        run_tool("umount", where)
        return
    with contextlib.suppress(subprocess.CalledProcessError):
        run_tool("umount", "--lazy", where)


def ignore_signals(until: contextlib.ExitStack) -> None:
    """Ignore Ctrl-C and SIGTERM until a stack unwinds, as an interrupted cleanup leaves mounts behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        until.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))


def interrupt(*_: object) -> None:
    """End the tests as Ctrl-C does, with all cleanup."""
    raise KeyboardInterrupt


def flush_foreign_file(kind: str, top: Path) -> None:
    """Flush the file of another program, or take a snapshot on btrfs, which commits the journal.

    The commit exposes a rename whose file was never flushed.
    """
    handle = os.open(top / "foreign", os.O_WRONLY | os.O_CREAT)
    os.write(handle, b"foreign")
    os.fsync(handle)
    os.close(handle)
    if kind == "btrfs":
        volume = top / "foreign-volume"
        if not volume.exists():
            run_tool("btrfs", "subvolume", "create", volume)
        run_tool(
            "btrfs", "subvolume", "snapshot", volume, top / f"snapshot{len(list(top.glob('snapshot*')))}"
        )
