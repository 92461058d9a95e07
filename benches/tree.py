"""Make a large tree of results fast, to measure how costs grow.

    python benches/tree.py DIRECTORY --results 1000000
    python benches/tree.py DIRECTORY --results 100000 --per-directory 1000 --bytes 4000

The records are valid and differ in their identifiers, settings, energies and sizes. Processes write them
without a flush, so that a million results take minutes. `benches/disks.py` makes a disk with enough inodes.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias

from llenergymeasure import ExperimentResult
from sample import make_result

__all__ = ["NAME", "make_results", "make_tree"]

NAME = "meta-llama-llama-3.1-8b_vllm_2026-02-18T14-30"
"""The name of each result, without its suffix: one that a save gave."""
_SHAPES = 16
_IN_A_ROW = 250
"""Results of one machine, with the same packages, before those of another."""
_SPREAD = 0.35
"""The part by which sizes differ from the wanted one, at most."""
_BLOCK = 5000
"""Results that a process writes at a time."""
_MARKS = ("@experiment_id@", "@measurement_config_hash@")
Template: TypeAlias = "tuple[str, list[tuple[int, str]]]"
"""The start of a record, then the number of each value and the text after it."""
_ENERGY, _TOKENS, _SEED = 987654321.125, 987654322, 987654323


def make_results(count: int, usual_bytes: int = 9000) -> Iterator[ExperimentResult]:
    """Return different results, whose records have about the usual size."""
    for n in range(count):
        record = _record(n, usual_bytes)
        yield ExperimentResult.model_validate_json(record)


def make_tree(
    root: Path, count: int, *, per_directory: int | None = None, usual_bytes: int = 9000, processes: int = 2
) -> Path:
    """Write results below a root, in one directory or in several, without a flush."""
    root.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, per_directory or _BLOCK)
    write = partial(_write, root, count, per_directory, usual_bytes)
    with ProcessPoolExecutor(processes) as pool:
        for _ in pool.map(write, starts):
            pass
    return root


def _write(root: Path, count: int, per_directory: int | None, usual_bytes: int, start: int) -> None:
    """Write one block of results."""
    above = root
    if per_directory is not None:
        above = root / f"study-{start // per_directory:05d}"
        above.mkdir()
    for n in range(start, min(count, start + (per_directory or _BLOCK))):
        directory = f"{above}/{NAME}_{n}" if n else f"{above}/{NAME}"
        os.mkdir(directory)  # noqa: PTH102 - twice as fast
        file = os.open(f"{directory}/result.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(file, _record(n, usual_bytes))
        os.close(file)


def _record(n: int, usual_bytes: int) -> bytes:
    """Return the record of one result."""
    start, parts = _templates(usual_bytes)[n // _IN_A_ROW % _SHAPES]
    values = (
        f"run-{n:07d}",
        f"{n * 0x9E3779B97F4A7C15 % (1 << 64):016x}",
        repr(1000.0 + n % 9973 * 1.37),
        str(10_000 + n % 89_989),
        str(n % 1000),
    )
    return (start + "".join(values[field] + after for field, after in parts)).encode()


@cache
def _templates(usual_bytes: int) -> list[Template]:
    """Return records of several sizes, cut where the values of a result go."""
    choice = random.Random(1)  # noqa: S311 - sizes of records
    return [_cut(_shape(n, usual_bytes * (1 + _SPREAD * choice.uniform(-1, 1)))) for n in range(_SHAPES)]


def _shape(number: int, size: float) -> str:
    """Return the record of a result with marks in place of its values."""
    base = make_result()
    assert base.environment_snapshot is not None
    assert base.start_time is not None
    packages = list(base.environment_snapshot.installed_packages or [])
    config = base.effective_config | {
        "batch_size": 2 ** (number % 6),
        "precision": ("bfloat16", "float16", "int8")[number % 3],
        "dataset": {**base.effective_config["dataset"], "seed": _SEED},
    }
    start: datetime = base.start_time + timedelta(minutes=number)
    record = ""
    while not record or (len(record) > size and packages):
        environment = base.environment_snapshot.model_copy(update={"installed_packages": packages})
        result = base.model_copy(
            update={
                "experiment_id": _MARKS[0],
                "measurement_config_hash": _MARKS[1],
                "total_energy_j": _ENERGY,
                "total_tokens": _TOKENS,
                "start_time": start,
                "end_time": start + timedelta(seconds=61.804117),
                "effective_config": config,
                "environment_snapshot": environment,
            }
        )
        record = result.model_dump_json(indent=2)
        packages = packages[: -max(1, int(len(record) - size) // 40)]
    more = [f"package-{n}==1.{n}.0" for n in range(max(0, int(size - len(record)) // 34))]
    last = '"zipp=='
    extra = "".join(f'"{name}",\n        ' for name in more)
    return record.replace(last, extra + last, 1)


def _cut(record: str) -> Template:
    """Cut a record at its marks."""
    marks = [*_MARKS, repr(_ENERGY), str(_TOKENS), str(_SEED)]
    cuts = sorted((record.find(mark), field) for field, mark in enumerate(marks))
    ends = [place for place, _ in cuts[1:]] + [len(record)]
    pieces = [
        (field, record[place + len(marks[field]) : end])
        for (place, field), end in zip(cuts, ends, strict=True)
    ]
    return record[: cuts[0][0]], pieces


def main() -> None:
    """Make a tree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--per-directory", type=int, help="results of each directory (default: all in one)")
    parser.add_argument("--bytes", type=int, default=9000, help="the usual size of a record (default: 9000)")
    options = parser.parse_args()
    make_tree(
        options.directory, options.results, per_directory=options.per_directory, usual_bytes=options.bytes
    )


if __name__ == "__main__":
    main()
