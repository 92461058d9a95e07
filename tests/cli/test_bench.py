"""`llem bench`."""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llenergymeasure.cli.commands.bench import disk as _disk
from llenergymeasure.cli.commands.bench.contenders import contenders
from llenergymeasure.cli.commands.bench.measurements import Figures, Report
from llenergymeasure.cli.commands.bench.plot import draw
from llenergymeasure.cli.commands.bench.record import encode, result_of_size, smallest_size
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results import _disk as mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="there is no matplotlib")
MEMORY = Path("/dev/shm")


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """Make an empty directory whose flushes wait for nothing, where the machine has such a place."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as directory:
        yield Path(directory)


def run_patched(patch: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program after some lines of Python that stand for another machine."""
    code = f"import sys\nfrom llenergymeasure.cli import main\n{patch}\nsys.exit(main())\n"
    return subprocess.run(
        [sys.executable, "-c", code, "bench", *args], cwd=cwd, capture_output=True, text=True, check=False
    )


def members_of(process: subprocess.Popen[bytes]) -> set[int]:
    """Return the numbers of the processes that one has started."""
    return {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


def measuring(process: subprocess.Popen[bytes], directory: Path) -> set[int]:
    """Wait until a bench is in the middle of its rounds; return its other processes."""
    for _ in range(1000):
        if any(directory.glob(".llem-bench-*/measured/*/*")):
            return members_of(process)
        time.sleep(0.01)
    raise AssertionError("nothing is measured")


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def mounted(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> mounts.Mount:
    """Find the mount of a directory where mountinfo has that line about it."""
    table = tmp_path / "mountinfo"
    table.write_bytes(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n7 " + os.fsencode(line) + b"\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    monkeypatch.setattr(mounts, "_mount_number", lambda _: b"7")
    monkeypatch.setattr(_disk, "flush_us", lambda _: 500.0)
    mount = mounts.mount_of(tmp_path)
    assert mount is not None
    return mount


# What is measured


def test_json_is_one_document_with_every_way_beside_its_floor(llem: Run, tmp_path: Path, quick: Path) -> None:
    picture = () if find_spec("matplotlib") is None else ("--plot", "OUT.PNG")
    done = llem("bench", "--results", "20", "--json", "--dir", quick, *picture)
    report = json.loads(done.stdout)
    ways = {
        (way["name"], way["durable"], way["batch"], way["threads"], way["processes"])
        for way in report["ways"]
    }
    floors = {(floor["name"], floor["durable"]): floor["samples_us"] for floor in report["floors"]}
    assert done.returncode == 0
    assert ways == {
        ("load", None, 1, 1, 1),
        ("save", True, 1, 1, 1),
        ("save", False, 1, 1, 1),
        *(("save_many", durable, batch, 1, 1) for durable in (True, False) for batch in (1, 8, 20)),
        *(("writer", True, batch, 1, 1) for batch in (1, 8, 20)),
        *(("writer", True, 20, threads, 1) for threads in (4, 16)),
        ("writer", True, 20, 1, 4),
    }
    assert floors.keys() == {("floor + dump", True), ("floor + dump", False), ("dump", None), ("read", None)}
    for way in report["ways"]:
        floor = floors["read", None] if way["name"] == "load" else floors["floor + dump", False]
        pairs = zip(way["samples_us"], floor, strict=True)
        assert len(way["samples_us"]) == report["rounds"] >= 3
        assert way["us_per_result"] == statistics.median(way["samples_us"])
        assert way["ratio_to_floor"] == pytest.approx(statistics.median(one / other for one, other in pairs))
        assert (way["ratio_to_durable_floor"] is None) == (way["durable"] is None)
    assert report["results"] == 20
    assert report["record_bytes"] == 9000
    assert report["disk"]["directory"] == str(quick)
    assert list(quick.iterdir()) == []
    for name in picture[1:]:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("beyond_the_smallest", [0, 1, 35, 36, 7000, 100_001])
def test_a_record_has_exactly_the_size_that_was_asked_for_and_comes_back(beyond_the_smallest: int) -> None:
    size = smallest_size() + beyond_the_smallest
    result = result_of_size(size)
    assert len(encode(result)) == size
    assert ExperimentResult.model_validate_json(encode(result)) == result


# What is said of the disk


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0:1 / /x rw - tmpfs none rw", "a tmpfs: a flush costs nothing here and keeps nothing"),
        ("0 0:1 / /x rw - ramfs none rw", "a ramfs"),
        ("0 0:1 / /x rw - nfs4 host:/export rw,vers=4.2", "a network mount (nfs4)"),
        ("0 0:1 / /x rw - cifs //host/share rw", "a network mount (cifs)"),
        ("0 0:1 / /x rw - lustre 10.0.0.1@tcp:/scratch rw", "a network mount (lustre)"),
        ("0 0:1 / /x rw - 9p share rw", "a network mount (9p)"),
        ("0 0:1 / /x rw - fuse.sshfs host: rw", "a FUSE mount (fuse.sshfs)"),
        ("0 0:1 / /x rw - overlay overlay rw,upperdir=/u,volatile", "volatile: it leaves out every flush"),
        ("0 0:1 / /x rw - overlay overlay rw,upperdir=/u,fsync=volatile", "volatile"),
        ("0 8:1 / /x rw - xfs /dev/sda2 rw,nobarrier", "without barriers"),
        ("0 8:1 / /x rw,sync - xfs /dev/sda2 rw", "mounted sync"),
    ],
)
def test_a_place_where_durable_figures_mean_something_else_is_called_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, said: str
) -> None:
    mounted(line, monkeypatch, tmp_path)
    (doubt,) = _disk.describe(tmp_path).doubts
    assert said in doubt


@pytest.mark.parametrize(
    "line",
    [
        "0 8:1 / /x rw,relatime shared:1 master:2 - xfs /dev/sda2 rw,attr2",
        "0 0:1 / /x rw - btrfs /dev/sda2 rw,ssd",
        "0 0:1 / /x rw - overlay overlay rw,upperdir=/u,workdir=/w",
        "0 8:1 / /x rw - fuseblk /dev/sda2 rw",
    ],
)
def test_an_ordinary_disk_is_not_doubted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str) -> None:
    mounted(line, monkeypatch, tmp_path)
    assert _disk.describe(tmp_path).doubts == []


def test_mountinfo_is_read_with_its_optional_fields_and_escapes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = r"0 8:1 /sub /mü\040a\134b rw,noatime shared:1 master:2 - xfs /dev/disk\040one rw,attr2"
    mount = mounted(line, monkeypatch, tmp_path)
    assert mount == mounts.Mount("xfs", "/dev/disk one", "/mü a\\b", "rw,noatime", "rw,attr2")


def test_a_flush_that_is_too_quick_for_a_device_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted("0 8:1 / /x rw - xfs /dev/sda2 rw", monkeypatch, tmp_path)
    monkeypatch.setattr(_disk, "flush_us", lambda _: 3.0)
    disk = _disk.describe(tmp_path)
    assert disk.doubts == ["A flush takes 3.0 µs: it does not reach a device."]
    assert not disk.flush_reaches_device


# What is shown


def test_the_table_fits_eighty_columns_and_the_progress_is_on_the_terminal_alone(
    terminal: Terminal, quick: Path
) -> None:
    status, out, seen = terminal("bench", "--results", "20", "--dir", str(quick))
    lines = out.splitlines()
    assert status == 0
    assert list(quick.iterdir()) == []
    assert "Measuring" in seen
    assert "Measuring" not in out
    assert "\x1b" not in out
    assert max(map(len, lines)) <= 80
    for label in ("directory", "file system", "options", "one flush", "one record   9,000 bytes", "versions"):
        assert any(line.startswith(f"  {label}") for line in lines)
    for label, count in (("floor + dump", 2), ("save ", 2), ("save_many", 6), ("writer", 5), ("load", 1)):
        assert sum(line.startswith(f"  {label}") for line in lines) == count
    assert any(line.startswith("  4 processes, a writer each") for line in lines)
    mount = mounts.mount_of(quick)
    if mount and mount.kind == "tmpfs":
        assert 0 < out.index("This is a tmpfs: ") < out.index("µs/result")


def some_report() -> Report:
    """Make up a report."""
    ways = [contender.way for contender in contenders(1000)]
    figures = Figures({way: [number + 1.0, number + 2.0, number + 3.0] for number, way in enumerate(ways)})
    mount = mounts.Mount("xfs", "/dev/sda2", "/x", "rw", "rw")
    return Report(Path("/x"), _disk.Disk(mount, 500.0, []), 9000, 1000, figures)


def test_a_report_has_the_machine_and_the_disk_for_programs() -> None:
    report = some_report().as_json()
    assert report["disk"] == {
        "directory": "/x",
        "file_system": "xfs",
        "device": "/dev/sda2",
        "mount_point": "/x",
        "mount_options": "rw",
        "super_options": "rw",
        "flush_us": 500.0,
        "flush_reaches_device": True,
    }
    assert report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


@needs_matplotlib
def test_the_plot_names_every_curve_its_units_and_its_place() -> None:
    drawn = draw(some_report(), "svg").decode()
    curves = ("save_many, durable", "writer, durable", "save_many, not durable")
    levels = ("save, durable", "save, not durable", "durable floor + dump", "floor + dump")
    units = ("time per result (µs)", "batch size (results of one call, or between two flushes of a writer)")
    for label in (*curves, *levels, *units):
        # It draws letters as shapes, and says what they are in comments.
        assert f"<!-- {label} -->" in drawn
    assert "<!-- Saving results on xfs (/dev/sda2), records of 9.00 kB -->" in drawn


# What goes wrong


@pytest.mark.parametrize(
    "args",
    [
        ("--dir", "missing"),
        ("--dir", "file"),
        ("--dir", ""),
        ("--results", "0"),
        ("--size", "1000"),
        ("--plot", "out.pdf"),
        ("--plot", "missing/out.svg"),
    ],
)
def test_wrong_usage_is_status_2_and_touches_nothing(
    llem: Run, tmp_path: Path, args: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    done = llem("bench", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llem bench: ")
    assert done.stderr.endswith("\nTry 'llem bench --help'.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_size_that_is_too_small_is_told_with_the_smallest(llem: Run) -> None:
    done = llem("bench", "--size", "10")
    assert f"--size 10 is too small: the smallest record has {smallest_size()} bytes\n" in done.stderr


def test_without_matplotlib_a_plot_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    done = run_patched('sys.modules["matplotlib"] = None', "--plot", "out.svg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "llem bench: --plot needs matplotlib: pip install 'llenergymeasure-store[plot]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "there", "needed"),
    [((10**8, None), "100 MB", "MB"), ((10**15, 1000), "1,000 files", "files")],
)
def test_too_little_room_is_refused_with_what_is_there_and_what_is_needed(
    tmp_path: Path, free: tuple[int, int | None], there: str, needed: str
) -> None:
    patch = f"from llenergymeasure.cli.commands.bench import command\ncommand.room = lambda _: {free}"
    done = run_patched(patch, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"llem bench: --dir . has room for {there}, and up to ")
    assert f"{needed} are needed for the " in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_no_disk_holds_is_refused_before_it_is_made(llem: Run) -> None:
    done = llem("bench", "--size", str(10**18))
    assert done.returncode == 1
    assert "has room for" in done.stderr


def test_a_disk_that_does_not_take_the_record_ends_it_in_one_sentence(llem: Run, tmp_path: Path) -> None:
    done = llem(
        "bench", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)), timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("llem bench: [Errno 27] File too large")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, b"llem bench: interrupted\n"),
        (signal.SIGTERM, 143, b""),
    ],
)
def test_a_signal_ends_it_and_leaves_no_file_and_no_process(
    start: Start, quick: Path, number: signal.Signals, status: int, said: bytes
) -> None:
    process = start("bench", "--dir", str(quick))
    members = measuring(process, quick)
    process.send_signal(number)
    out, stderr = process.communicate()
    assert (process.returncode, out, stderr) == (status, b"", said)
    assert list(quick.iterdir()) == []
    assert len(members) == 4
    assert alive(members) == set()


def test_its_processes_end_by_themselves_when_it_is_killed(start: Start, quick: Path) -> None:
    process = start("bench", "--dir", str(quick))
    members = measuring(process, quick)
    process.kill()
    process.communicate()
    for _ in range(1000):
        if not alive(members):
            return
        time.sleep(0.01)
    raise AssertionError("they still run")


def test_a_process_that_dies_ends_the_bench_in_one_sentence(start: Start, quick: Path) -> None:
    process = start("bench", "--results", "100", "--dir", str(quick))
    members = measuring(process, quick)
    os.kill(min(members), signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr == b"llem bench: one of the processes that save at once ended with status -9\n"
    assert list(quick.iterdir()) == []
    assert alive(members) == set()
