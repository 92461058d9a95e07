"""The description of a disk, the table and the plot of `llem bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llenergymeasure.cli.commands.bench import disk as _disk
from llenergymeasure.cli.commands.bench.contenders import contenders
from llenergymeasure.cli.commands.bench.measurements import Measurements, Report
from llenergymeasure.cli.commands.bench.plot import draw
from llenergymeasure.cli.commands.bench.record import encode, result_of_size, smallest_size
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.plotting import render
from llenergymeasure.results import _disk as mounts

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]


needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="there is no matplotlib")


def mounted(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> mounts.Mount:
    """Return the mount of a directory for a faked line of mountinfo."""
    table = tmp_path / "mountinfo"
    table.write_bytes(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n7 " + os.fsencode(line) + b"\n")
    monkeypatch.setattr(mounts, "_MOUNTS", table)
    monkeypatch.setattr(mounts, "_mount_number", lambda _: b"7")
    monkeypatch.setattr(_disk, "flush_us", lambda _: 500.0)
    mount = mounts.mount_of(tmp_path)
    assert mount is not None
    return mount


@pytest.mark.parametrize("beyond_the_smallest", [0, 1, 35, 36, 7000, 100_001])
def test_make_record_of_a_size_has_that_size_and_validates(beyond_the_smallest: int) -> None:
    size = smallest_size() + beyond_the_smallest
    result = result_of_size(size)
    assert len(encode(result)) == size
    assert ExperimentResult.model_validate_json(encode(result)) == result


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 0:1 / /x rw - tmpfs none rw", "a tmpfs: a flush is free here and keeps nothing"),
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
def test_describe_unusual_mount_names_the_doubt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, expected: str
) -> None:
    mounted(line, monkeypatch, tmp_path)
    (doubt,) = _disk.describe(tmp_path).doubts
    assert expected in doubt


@pytest.mark.parametrize(
    "line",
    [
        "0 8:1 / /x rw,relatime shared:1 master:2 - xfs /dev/sda2 rw,attr2",
        "0 0:1 / /x rw - btrfs /dev/sda2 rw,ssd",
        "0 0:1 / /x rw - overlay overlay rw,upperdir=/u,workdir=/w",
        "0 8:1 / /x rw - fuseblk /dev/sda2 rw",
    ],
)
def test_describe_ordinary_disk_names_no_doubt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    mounted(line, monkeypatch, tmp_path)
    assert _disk.describe(tmp_path).doubts == []


def test_parse_mountinfo_reads_optional_fields_and_escapes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = r"0 8:1 /sub /mü\040a\134b rw,noatime shared:1 master:2 - xfs /dev/disk\040one rw,attr2"
    mount = mounted(line, monkeypatch, tmp_path)
    assert mount == mounts.Mount("xfs", "/dev/disk one", "/mü a\\b", "rw,noatime", "rw,attr2")


def test_describe_disk_with_implausibly_fast_flush_names_the_doubt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted("0 8:1 / /x rw - xfs /dev/sda2 rw", monkeypatch, tmp_path)
    monkeypatch.setattr(_disk, "flush_us", lambda _: 3.0)
    disk = _disk.describe(tmp_path)
    assert disk.doubts == ["A flush takes 3.0 µs: it does not reach a device."]
    assert not disk.flush_reaches_device


def some_report() -> Report:
    """Return a made-up report."""
    ways = [contender.way for contender in contenders(1000)]
    samples = {way: [number + 1.0, number + 2.0, number + 3.0] for number, way in enumerate(ways)}
    mount = mounts.Mount("xfs", "/dev/sda2", "/x", "rw", "rw")
    return Report(Path("/x"), _disk.Disk(mount, 500.0, []), 9000, 1000, Measurements(samples))


def test_report_as_json_describes_machine_and_disk() -> None:
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
def test_draw_bench_labels_curves_units_and_place() -> None:
    drawn = render(draw(some_report()), "svg").decode()
    curves = ("save_many, durable", "writer, durable", "save_many, not durable")
    levels = ("save, durable", "save, not durable", "durable baseline + dump", "baseline + dump")
    units = ("time per result (µs)", "batch size (results of one call, or between two flushes of a writer)")
    for label in (*curves, *levels, *units):
        assert f">{label}</text>" in drawn
    assert "Saving results on xfs (/dev/sda2), records of 9.00 kB" in drawn
