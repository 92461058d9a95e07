"""Measure how the costs of a store grow with the number of results, in one run.

    make bench-scale ARGS="--sizes 1000,10000,100000"
    make bench-scale ARGS="--sizes 10000,1000000 --disk xfs:24 --bytes 4000"     # as root

Each operation runs in a process of its own, which imports what it needs before the clock starts. The
processor time is that of all its threads; the peak is that of the whole process, with the interpreter. `cold`
drops the caches of the kernel first, as root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import machine
from disks import SCRATCH, disk
from output import add_options, console_for, end_on_sigterm, print_machine, scratch, write_json
from scale_report import MOST_GROWTH, MOST_MB, draw, markdown, show
from scale_steps import PEERS, STEPS
from tree import make_tree

OURS = Path(__file__)
CACHES = Path("/proc/sys/vm/drop_caches")


def main() -> None:
    """Measure and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add_options(parser, rounds=1)
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of results")
    parser.add_argument("--bytes", type=int, default=9000, help="the usual size of a record")
    parser.add_argument("--per-directory", type=int, help="results of each directory (default: all in one)")
    parser.add_argument("--disk", help="a fresh disk of a kind and GiB, such as xfs:24, as root")
    parser.add_argument("--dir", type=Path, help="directory for the trees or the image")
    parser.add_argument("--steps", help="measure only these, such as scan,completed")
    parser.add_argument("--tree", type=Path, help="a tree that benches/tree.py made, for the only size")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has MLflow and signac")
    parser.add_argument("--markdown", type=Path, help="also write the table for the documentation")
    parser.add_argument("--plot", type=Path, help="also draw the costs, as SVG or PNG")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        run_step(*options.step)
        return
    end_on_sigterm()
    console = console_for(options, 150)
    sizes = [int(size) for size in options.sizes.split(",")]
    wanted = options.steps.split(",") if options.steps else [*STEPS, *PEERS]
    rows: list[dict[str, Any]] = []
    with place(options) as directory:
        about = {"record": f"about {options.bytes} bytes", **machine.describe(directory)}
        warnings = print_machine(console, about)
        for size in sizes:
            tree = options.tree
            if tree is None:
                tree = make_tree(
                    directory / f"tree-{size}",
                    size,
                    per_directory=options.per_directory,
                    usual_bytes=options.bytes,
                )
            for name in wanted:
                for row in measure(name, tree, size, directory, options):
                    rows.append(row)
                    console.print(
                        f"{row['step']:>16} {size:>9,}: {row['cpu_us']:8.1f} µs of processor time each, "
                        f"{row['wall_s']:8.2f} s, peak {row['peak_mb']:4.0f} MB",
                        highlight=False,
                    )
            if options.tree is None:
                shutil.rmtree(tree)
    console.print(show(rows))
    report = {"machine": about, "warnings": warnings, "targets": [MOST_GROWTH, MOST_MB], "rows": rows}
    write_json(report, options.json)
    if options.markdown is not None:
        options.markdown.write_text(markdown(rows), encoding="utf-8")
    if options.plot is not None:
        draw(rows, options.plot)


@contextlib.contextmanager
def place(options: argparse.Namespace) -> Iterator[Path]:
    """Make the directory of the trees."""
    if options.disk is None:
        with scratch(options.dir or Path.cwd()) as directory:
            yield directory
        return
    kind, _, size = options.disk.partition(":")
    with disk(kind, options.dir or SCRATCH, size=int(size or 24) << 30) as directory:
        yield directory


def measure(
    name: str, tree: Path, size: int, directory: Path, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Measure one step on a tree, in the rounds that were asked for."""
    step = {**STEPS, **PEERS}[name]
    if step.most is not None and size > step.most:
        return
    for is_cold in (True, False) if step.reads else (False,):
        if is_cold and os.geteuid():
            continue
        runs = []
        for _ in range(options.rounds):
            target = directory / f"out-{size}"
            about = {"tree": str(tree), "target": str(target), "size": size, "bytes": options.bytes}
            runs.append(run(name, about, options.peers if step.apart else sys.executable, is_cold=is_cold))
            for left in (target, target.with_suffix(".parquet")):
                if left.is_dir():
                    shutil.rmtree(left)
                left.unlink(missing_ok=True)
        if None in runs:
            return
        found = [one for one in runs if one is not None]
        yield {
            "step": name + (" cold" if is_cold else ""),
            "results": size,
            "per": found[0]["count"],
            "is_ours": name in STEPS,
            **{
                key: statistics.median(one[key] for one in found)
                for key in ("cpu_us", "wall_s", "peak_mb", "disk_reads")
            },
        }


def run(name: str, about: dict[str, Any], python: str, *, is_cold: bool) -> dict[str, float] | None:
    """Run one step in a process; return None where it lacks a package."""
    command = [python, str(OURS), "--step", name, json.dumps(about)]
    pipe = subprocess.PIPE
    with (
        # What a command or a peer tells a person; shown where the step fails.
        tempfile.TemporaryFile() as told,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=told, text=True) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        if child.stdout.readline().strip() != "ready":
            return None
        if is_cold:
            os.sync()
            CACHES.write_text("3\n", encoding="utf-8")
        child.stdin.write("go\n")
        child.stdin.close()
        answer = child.stdout.read()
        if child.wait():
            told.seek(0)
            text = told.read().decode(errors="replace")
            raise SystemExit(f"{text}the step {name} failed with status {child.returncode}")
    measured: dict[str, float] = json.loads(answer)
    return measured


def run_step(name: str, about: str) -> None:
    """Carry out one step in this process, once the parent says so, and print what it took."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        act: Callable[[], int] = {**STEPS, **PEERS}[name].prepare(json.loads(about))
    except ImportError as absent:
        print(f"absent: {absent}", file=answer)
        return
    print("ready", file=answer, flush=True)
    sys.stdin.readline()
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    count = act()
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took = {
        "count": count,
        "cpu_us": cpu * 1e6 / max(count, 1),
        "wall_s": wall,
        "peak_mb": peak_mb(),
        "disk_reads": after.ru_inblock - before.ru_inblock,
    }
    print(json.dumps(took), file=answer, flush=True)


def peak_mb() -> float:
    """Return the peak memory of this process, in megabytes."""
    # Not getrusage: a process inherits that peak from its parent.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
