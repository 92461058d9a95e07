"""Measure a scan on a disk whose calls take a time, against reads one after the other, as root.

python benches/slow.py --results 2000 --ms 1
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from disks import UnavailableError
from llenergymeasure import ResultStore
from output import add_options, console_for, scratch, write_json
from scale_steps import COLUMNS
from tree import make_tree

SERVER = Path(__file__).parents[1] / "tools" / "fuse_slow.py"
READ = 200
"""Results that are read one after the other."""


@contextlib.contextmanager
def slowed(source: Path, directory: Path, ms: float) -> Iterator[Path]:
    """Serve a directory on which each call takes a time.

    Raises:
        UnavailableError: This machine cannot mount it.
    """
    directory.mkdir()
    command: list[str | Path] = [sys.executable, SERVER, source, directory, "--ms", str(ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        assert server.stdout is not None
        answer = server.stdout.readline().strip()
        try:
            if answer != "ready":
                raise UnavailableError(answer or f"{SERVER.name} failed")
            yield directory
        finally:
            subprocess.run(["umount", "--lazy", directory], check=False, capture_output=True)  # noqa: S607
            server.kill()


def measure(tree: Path) -> dict[str, float]:
    """Return the milliseconds per result of both, and how many times faster the scan is."""
    paths = sorted(tree.glob("*/result.json"))[:READ]
    begin = time.perf_counter()
    for path in paths:
        path.read_bytes()
    one_by_one = (time.perf_counter() - begin) / len(paths)
    begin = time.perf_counter()
    count = sum(len(batch) for batch in ResultStore(tree).scan(COLUMNS))
    scan = (time.perf_counter() - begin) / count
    return {"one by one, ms": one_by_one * 1e3, "scan, ms": scan * 1e3, "times faster": one_by_one / scan}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add_options(parser, rounds=3)
    parser.add_argument("--results", type=int, default=2000)
    parser.add_argument("--ms", type=float, default=1, help="the milliseconds of each call")
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="directory for the tree")
    options = parser.parse_args()
    console = console_for(options)
    with scratch(options.dir) as directory:
        tree = make_tree(directory / "tree", options.results)
        try:
            with slowed(tree, directory / "slow", options.ms) as slow:
                rounds = [measure(slow) for _ in range(options.rounds)]
        except UnavailableError as lacking:
            sys.exit(f"SKIP: no slow disk can be made: {lacking}")
    for one in rounds:
        console.print(", ".join(f"{name} {value:.2f}" for name, value in one.items()), highlight=False)
    write_json(rounds, options.json)


if __name__ == "__main__":
    main()
