"""`llem bench`."""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llenergymeasure.cli.commands.bench.record import smallest_size
from llenergymeasure.results import _disk as mounts
from support.processes import HANG, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]


MEMORY = Path("/dev/shm")


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """Return an empty directory, in memory where possible, so that flushes are fast."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as directory:
        yield Path(directory)


def members_of(process: subprocess.Popen[bytes]) -> set[int]:
    """Return the ids of the children of a process."""
    return {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


def measuring(process: subprocess.Popen[bytes], directory: Path) -> set[int]:
    """Wait until a bench measures; return the ids of its other processes."""
    wait_until(lambda: any(directory.glob(".llem-bench-*/measured/*/*")), message="nothing is measured")
    return members_of(process)


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def test_bench_json_lists_every_way_with_its_baseline(llem: Run, tmp_path: Path, quick: Path) -> None:
    picture = () if find_spec("matplotlib") is None else ("--plot", "OUT.PNG")
    done = llem("bench", "--results", "20", "--json", "--dir", quick, *picture)
    report = json.loads(done.stdout)
    ways = {
        (way["name"], way["durable"], way["batch"], way["threads"], way["processes"])
        for way in report["ways"]
    }
    baselines = {(one["name"], one["durable"]): one["samples_us"] for one in report["baselines"]}
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
    dumps = {("baseline + dump", True), ("baseline + dump", False)}
    assert baselines.keys() == {*dumps, ("dump", None), ("read", None)}
    for way in report["ways"]:
        baseline = baselines[("read", None) if way["name"] == "load" else ("baseline + dump", False)]
        ratios = [one / other for one, other in zip(way["samples_us"], baseline, strict=True)]
        assert len(way["samples_us"]) == report["rounds"] >= 3
        assert way["us_per_result"] == statistics.median(way["samples_us"])
        assert way["ratio_to_baseline"] == pytest.approx(statistics.median(ratios))
        assert (way["ratio_to_durable_baseline"] is None) == (way["durable"] is None)
    assert report["results"] == 20
    assert report["record_bytes"] == 9000
    assert report["disk"]["directory"] == str(quick)
    assert list(quick.iterdir()) == []
    for name in picture[1:]:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_bench_table_fits_80_columns_and_progress_stays_on_the_terminal(
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
    for label, count in (("baseline + dump", 2), ("save ", 2), ("save_many", 6), ("writer", 5), ("load", 1)):
        assert sum(line.startswith(f"  {label}") for line in lines) == count
    assert any(line.startswith("  4 processes, a writer each") for line in lines)
    mount = mounts.mount_of(quick)
    if mount and mount.kind == "tmpfs":
        assert 0 < out.index("This is a tmpfs: ") < out.index("µs/result")


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
def test_bench_with_invalid_options_exits_2_and_writes_nothing(
    llem: Run, tmp_path: Path, args: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    done = llem("bench", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llem bench: ")
    assert done.stderr.endswith("\nTry 'llem bench --help'.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bench_with_too_small_size_names_the_smallest(llem: Run) -> None:
    done = llem("bench", "--size", "10")
    assert f"--size expects at least {smallest_size()} bytes, the smallest record; got 10\n" in done.stderr


def test_bench_without_matplotlib_refuses_plot_at_once(patched_llem: Run, tmp_path: Path) -> None:
    done = patched_llem('sys.modules["matplotlib"] = None', "bench", "--plot", "out.svg")
    assert (done.returncode, done.stdout) == (1, "")
    expected = "expected matplotlib, got none installed; do: pip install 'llenergymeasure-store[plot]'"
    assert done.stderr == f"llem bench: {expected}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "there", "needed"),
    [((10**8, None), "100 MB", "MB"), ((10**15, 1000), "1,000 files", "files")],
)
def test_bench_without_room_reports_room_and_need(
    patched_llem: Run, tmp_path: Path, free: tuple[int, int | None], there: str, needed: str
) -> None:
    patch = f"from llenergymeasure.cli.commands.bench import command\ncommand.room = lambda _: {free}"
    done = patched_llem(patch, "bench")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"llem bench: --dir . has room for {there}, but the ")
    assert f" {needed}; use fewer --results" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_bench_with_enormous_record_refuses_at_once(llem: Run) -> None:
    done = llem("bench", "--size", str(10**18))
    assert done.returncode == 1
    assert "has room for" in done.stderr


def test_bench_with_failing_write_reports_one_sentence(llem: Run, tmp_path: Path) -> None:
    done = llem(
        "bench", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)), timeout=HANG
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("llem bench: File too large [EFBIG]")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status", "expected"),
    [
        (signal.SIGINT, 130, b"llem bench: interrupted\n"),
        (signal.SIGTERM, 143, b""),
    ],
)
def test_signal_bench_leaves_no_file_and_no_process(
    start: Start, quick: Path, number: signal.Signals, status: int, expected: bytes
) -> None:
    process = start("bench", "--dir", str(quick))
    members = measuring(process, quick)
    process.send_signal(number)
    out, stderr = process.communicate()
    assert (process.returncode, out, stderr) == (status, b"", expected)
    assert list(quick.iterdir()) == []
    assert len(members) == 4
    assert alive(members) == set()


def test_kill_bench_ends_its_processes(start: Start, quick: Path) -> None:
    process = start("bench", "--dir", str(quick))
    members = measuring(process, quick)
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(members), message="the processes still run")


def test_bench_with_killed_process_reports_one_sentence(start: Start, quick: Path) -> None:
    process = start("bench", "--results", "100", "--dir", str(quick))
    members = measuring(process, quick)
    os.kill(min(members), signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr == b"llem bench: a process of the bench ended with status -9\n"
    assert list(quick.iterdir()) == []
    assert alive(members) == set()
