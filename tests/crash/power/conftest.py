"""Disks that can be frozen at an instant, and what must be on each after a power cut.

All of it lies on a file system in memory whose files can be cloned: a state costs some milliseconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

FUSE_DISK = Path(__file__).parents[3] / "tools" / "fuse_disk.py"
FICLONE = 0x40049409
HANG = 60


@dataclass(frozen=True)
class Kind:
    """How a file system is made and mounted."""

    make: str
    size: int
    options: str = "loop"


KINDS = {
    "ext4": Kind("mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0", 48 << 20),
    # A copy has the identity of the original.
    "xfs": Kind("mkfs.xfs -q -f", 300 << 20, "loop,nouuid"),
    "btrfs": Kind("mkfs.btrfs -q -f", 160 << 20, "loop,nodiscard"),
}


@dataclass(frozen=True)
class Disk:
    """A mounted file system."""

    top: Path
    """Its own root."""
    root: Path
    """Where results go: there, or on an overlay that keeps them there."""


@dataclass
class Ledger:
    """What was handed over to be saved, and what was acknowledged, in that order."""

    whole: dict[bytes, str] = field(default_factory=dict)
    """The bytes of every record that there may be, and whose they are."""
    results: dict[str, ExperimentResult] = field(default_factory=dict)
    sidecars: set[bytes] = field(default_factory=set)
    acknowledged: list[tuple[str, str, int]] = field(default_factory=list)
    """The path below the mount, the result's id, and where the log was."""

    def add(self, result: ExperimentResult) -> None:
        """Note a result that is handed over."""
        beside = result.model_copy(update={"timeseries": "timeseries.parquet"})
        for form in (result, beside):
            self.whole[form.model_dump_json(indent=2).encode()] = result.experiment_id
        self.results[result.experiment_id] = result

    def learn(self, root: Path) -> None:
        """Note what another run of the same saves has left."""
        for record in root.glob("*/result.json"):
            loaded = ExperimentResult.from_json(record)
            self.results[loaded.experiment_id] = loaded
            self.whole[record.read_bytes()] = loaded.experiment_id
        self.sidecars |= {path.read_bytes() for path in root.glob("*/timeseries.parquet")}


class Lab:
    """Makes disks, freezes them, and looks at what they hold."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._pristine: dict[str, Path] = {}

    def image(self, kind: str) -> Path:
        """A new disk with an empty file system."""
        if kind not in self._pristine:
            pristine = self.home / f"{kind}.pristine"
            with pristine.open("wb") as file:
                file.truncate(KINDS[kind].size)
            run(*KINDS[kind].make.split(), pristine)
            self._pristine[kind] = pristine
        return self.clone(self._pristine[kind])

    def clone(self, image: Path) -> Path:
        """A disk as it is at this instant: all that was written to it, flushed or not."""
        handle, name = tempfile.mkstemp(dir=self.home, prefix="disk-")
        try:
            with image.open("rb") as original:
                fcntl.ioctl(handle, FICLONE, original.fileno())
        finally:
            os.close(handle)
        return Path(name)

    @contextlib.contextmanager
    def mounted(self, kind: str, device: Path, *, overlay: bool = False, options: str = "") -> Iterator[Disk]:
        """Mount a disk; with an overlay on top, whose upper side is on the disk."""
        with contextlib.ExitStack() as undo:
            top = Path(tempfile.mkdtemp(dir=self.home, prefix="mount-"))
            undo.callback(top.rmdir)
            how = ",".join(filter(None, (KINDS[kind].options, options)))
            undo.callback(unmount, top)
            run("mount", "-t", kind, "-o", how, device, top)
            if not overlay:
                yield Disk(top, top)
                return
            lower, upper, work = (top / name for name in ("lower", "upper", "work"))
            for directory in (lower, upper, work):
                directory.mkdir(exist_ok=True)
            run("sync", "--file-system", top)
            root = Path(tempfile.mkdtemp(dir=self.home, prefix="overlay-"))
            undo.callback(root.rmdir)
            sides = f"lowerdir={lower},upperdir={upper},workdir={work}"
            undo.callback(unmount, root)
            run("mount", "-t", "overlay", "-o", sides, "none", root)
            yield Disk(top, root)

    @contextlib.contextmanager
    def logging(self, image: Path, log: Path) -> Iterator[Path]:
        """Put a disk before an image that notes every write and flush in a log."""
        with contextlib.ExitStack() as undo:
            directory = Path(tempfile.mkdtemp(dir=self.home, prefix="fuse-"))
            undo.callback(directory.rmdir)
            undo.callback(unmount, directory)  # what a server mounted in its last moment
            command: list[str | Path] = [sys.executable, FUSE_DISK, image, directory, "--log", log]
            # In a session of its own: Ctrl-C is for pytest, which still has to unmount what lies on this.
            server = undo.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
            )
            undo.callback(server.kill)
            undo.callback(unmount, directory)
            assert server.stdout is not None
            answer = server.stdout.readline().strip()
            if answer != "ready":
                pytest.skip(answer or "no FUSE disk can be served")
            yield directory / "disk"

    def look(
        self, kind: str, image: Path, ledger: Ledger, acknowledged: int, *, overlay: bool = False
    ) -> list[str]:
        """What is wrong on a disk after a power cut, if anything; takes the image away.

        `acknowledged` is how many of the ledger's acknowledgements came before the cut.
        """
        try:
            with self.mounted(kind, image, overlay=overlay) as disk:
                return violations(disk.root, ledger, acknowledged)
        except subprocess.CalledProcessError as error:
            return [f"unreadable: {complaint(error)}"]
        except OSError as error:
            return [f"unreadable: {error}"]
        finally:
            image.unlink()


def violations(root: Path, ledger: Ledger, acknowledged: int) -> list[str]:
    """Check every invariant of a power cut; each violation begins with its kind and a colon."""
    found: list[str] = []
    store = ResultStore(root)
    there: dict[str, str] = {}
    for record in sorted(root.glob("**/result.json")):
        name = str(record.relative_to(root))
        try:
            content = record.read_bytes()
            if content not in ledger.whole:
                found.append(f"torn: {name} has {len(content)} bytes that are no result")
                continue
            there[name] = ledger.whole[content]
            loaded = store.load(record, missing_sidecar="error")
            saved = ledger.results[there[name]]
            if loaded.model_copy(update={"timeseries": saved.timeseries}) != saved:
                found.append(f"changed: {name} is not what was saved")
        except Exception as error:  # noqa: BLE001 - whatever came out is what is found
            found.append(f"unreadable: {name}: {error}")
    for sidecar in root.glob("**/timeseries.parquet"):
        try:
            content = sidecar.read_bytes()
        except OSError as error:
            found.append(f"unreadable: {error}")
            continue
        if content not in ledger.sidecars:
            found.append(f"torn: {sidecar.relative_to(root)} has {len(content)} bytes that are no trace")
    for name, number, _ in ledger.acknowledged[:acknowledged]:
        if there.get(name) != number:
            found.append(f"lost: {name} was acknowledged for result {number}, and has {there.get(name)}")
    return found


def run(*command: str | Path) -> None:
    """Run a tool of the system that needs root, out of the reach of Ctrl-C."""
    subprocess.run(command, check=True, capture_output=True, timeout=HANG, start_new_session=True)


def complaint(error: subprocess.CalledProcessError) -> str:
    """What a tool said, in one line."""
    first, *_ = error.stderr.decode().strip().splitlines() or [f"{error.cmd[0]} failed"]
    return str(first)


def unmount(where: Path) -> None:
    """Unmount; from under those who still have files open, if it must be.

    It is asked for before the mount is, which Ctrl-C may cut short: it may find nothing to do.
    """
    with contextlib.suppress(subprocess.CalledProcessError):
        run("umount", where)
        return
    with contextlib.suppress(subprocess.CalledProcessError):
        run("umount", "--lazy", where)


def ignore_signals(until: contextlib.ExitStack) -> None:
    """Ignore Ctrl-C and SIGTERM until a stack unwinds: an end that is interrupted leaves mounts behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        until.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))


def stop(*_: object) -> None:
    """End as Ctrl-C does, with everything taken away."""
    raise KeyboardInterrupt


def flush_something_else(kind: str, top: Path) -> None:
    """Somebody else's flush of a file of his own, which commits the journal; on btrfs his snapshot does.

    It shows what was renamed and never flushed.
    """
    handle = os.open(top / "foreign", os.O_WRONLY | os.O_CREAT)
    os.write(handle, b"foreign")
    os.fsync(handle)
    os.close(handle)
    if kind == "btrfs":
        volume = top / "foreign-volume"
        if not volume.exists():
            run("btrfs", "subvolume", "create", volume)
        run("btrfs", "subvolume", "snapshot", volume, top / f"snapshot{len(list(top.glob('snapshot*')))}")


@pytest.fixture(scope="session")
def foreign_flush() -> Callable[[str, Path], None]:
    """Somebody else's flush on the same file system."""
    return flush_something_else


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Disks that can be frozen, where root, loop devices and xfs are to be had."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only Linux's root can mount disks")
    for tool in ("mount", "umount", "mkfs.xfs"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with contextlib.ExitStack() as signals, contextlib.ExitStack() as undo:
        signals.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, stop))
        base = tmp_path_factory.mktemp("lab")
        memory, home = base / "memory", base / "home"
        try:
            memory.mkdir()
            undo.callback(unmount, memory)
            run("mount", "-t", "tmpfs", "-o", "size=75%", "none", memory)
            with (memory / "image").open("wb") as file:
                file.truncate(16 << 30)
            run("mkfs.xfs", "-q", "-m", "reflink=1", memory / "image")
            home.mkdir()
            undo.callback(unmount, home)
            run("mount", "-t", "xfs", "-o", "loop", memory / "image", home)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no disk can be made: {complaint(error)}")
        undo.callback(ignore_signals, signals)  # last in, first out
        yield Lab(home)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, lab: Lab) -> str:
    """A kind of file system that can be made and mounted here."""
    kind: str = request.param
    if shutil.which(KINDS[kind].make.split()[0]) is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    image = lab.image(kind)
    try:
        with lab.mounted(kind, image):
            pass
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no {kind} can be mounted: {complaint(error)}")
    finally:
        image.unlink()
    return kind


@pytest.fixture(scope="session")
def sources(parquet: Path, result: ExperimentResult, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Sidecars of both kinds, and their bytes."""
    arrow = Timeseries(timestamp_s=[0.25] * 700, gpu_index=[0] * 700, power_w=[125.0] * 700)
    saved = result.save(tmp_path_factory.mktemp("arrow"), arrow, durable=False)
    return [(parquet, parquet.read_bytes()), (arrow, saved.with_name("timeseries.parquet").read_bytes())]


Acknowledge = Callable[[ExperimentResult, Path], None]


@pytest.fixture(scope="session")
def save_in(result: ExperimentResult, sources: list[Any]) -> Callable[..., None]:
    """Save some results in one of the ways there are, and tell of each as soon as it is acknowledged.

    The ways are `single`, `sidecar`, `save_many` and `writer`, the last two with the engine that makes their
    barriers, as in `writer by syncfs`; a third of their results have sidecars.
    """

    def save_in(
        root: Path, how: str, ledger: Ledger, acknowledge: Acknowledge, *, count: int, durable: bool = True
    ) -> None:
        first = len(ledger.results)
        results = [result.model_copy(update={"experiment_id": f"{first + n}"}) for n in range(count)]
        ledger.sidecars |= {content for _, content in sources}
        verb, _, engine = how.partition(" by ")
        every = {"single": count + 1, "sidecar": 1}.get(verb, 3)
        traces = [sources[n // every % 2][0] if n % every == every - 1 else None for n in range(count)]
        for each in results:
            ledger.add(each)
        store = ResultStore(root)
        store._flush_method = engine or None
        if verb in ("single", "sidecar"):
            for each, trace in zip(results, traces, strict=True):
                acknowledge(each, store.save(each, trace, durable=durable))
        elif verb == "save_many":
            saved = store.save_many(results, timeseries_sources=traces, durable=durable)
            for each, path in zip(results, saved, strict=True):
                acknowledge(each, path)
        else:
            with store.writer(durable=durable) as writer:
                for each, trace in zip(results, traces, strict=True):
                    future = writer.submit(each, trace)
                    future.add_done_callback(lambda future, each=each: acknowledge(each, future.result()))  # type: ignore[misc]

    return save_in


@pytest.fixture
def ledger() -> Ledger:
    """An empty account of what is saved."""
    return Ledger()
