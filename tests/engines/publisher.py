"""Publish a store in a Delta table, over and over; print the number of rows of each commit."""

from __future__ import annotations

import sys

from llenergymeasure import ResultStore


def main() -> None:
    """Publish until the process is killed, or so many times."""
    root, table, times = sys.argv[1:]
    scan = ResultStore(root).scan(["experiment_id", "total_energy_j", "effective_config"])
    for _ in range(int(times)):
        sys.stdout.write(f"{scan.to_delta(table)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
