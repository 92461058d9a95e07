"""Measure scans of a tree against the bare reads, an orjson loop and DuckDB, in one run.

Everything is read from a warm cache. Ratios compare times within a round, in which all contenders take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import duckdb
import orjson
import pandas as pd
from rich.console import Console

from llenergymeasure import ExperimentResult, ResultStore, _store
from measure import Contender, Row, Times, interleave, named, show
from sample import make_result
from scale_steps import COLUMNS

THREADS = 2
FEW = 1000
LISTED = 1000


def main() -> None:
    """Measure and print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--long", action="store_true", help="add 100 000 results: time and memory")
    parser.add_argument("--dir", type=Path, help="directory for the trees, which are temporary")
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of is not None:
        print(memory_of(arguments.memory_of))
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        tree = make_tree(Path(directory, "tree"), arguments.results)
        rows = read_rows(tree, arguments.rounds)
        rows += differing_rows(tree, Path(directory, "differing"), arguments.rounds)
        rows += start_rows(make_tree(Path(directory, "listed"), LISTED), arguments.rounds)
        if arguments.long:
            few = make_tree(Path(directory, "few"), FEW)
            rows += growth_rows(few, make_tree(Path(directory, "many"), 100_000), arguments.rounds)
    console = Console(width=130)
    console.print(show(f"{arguments.results} results of {record_bytes()} bytes, warm cache", rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([row.as_json() for row in rows], indent=2))


def make_tree(root: Path, count: int) -> Path:
    """Save different results below a root."""
    base = make_result()
    results = (
        base.model_copy(update={"experiment_id": f"run-{n}", "total_energy_j": 1.5 + n}) for n in range(count)
    )
    ResultStore(root).save_many(results, durable=False)
    return root


def record_bytes() -> int:
    """Return the bytes of a record."""
    return len(make_result().model_dump_json(indent=2))


def timed(name: str, operation: Callable[[], object]) -> Contender:
    """Return a contender with its time, and with the processor time of all its threads."""

    def measure() -> dict[str, float]:
        begin, processor = time.perf_counter(), time.process_time()
        operation()
        return {
            name: (time.perf_counter() - begin) * 1e6,
            f"{name}, processor": (time.process_time() - processor) * 1e6,
        }

    return measure


def read_rows(tree: Path, rounds: int) -> list[Row]:
    """Compare the ways to read one tree."""
    store = ResultStore(tree)
    paths = sorted(str(path) for path in tree.glob("*/result.json"))
    count = len(paths)

    def scan(columns: tuple[str, ...] | None) -> None:
        assert sum(len(batch) for batch in store.scan(columns)) == count

    def verify(*, deep: bool) -> None:
        found = store.verify(deep=deep)
        assert found.ok
        assert found.complete == count

    contenders = [
        timed("baseline", lambda: _store.baseline_read(paths, THREADS)),
        timed("scan 8", lambda: scan(COLUMNS)),
        timed("pandas", lambda: store.scan(COLUMNS).to_pandas()),
        timed("scan all", lambda: scan(None)),
        timed("completed", store.completed),
        timed("verify", lambda: verify(deep=False)),
        timed("verify deep", lambda: verify(deep=True)),
        timed("orjson", lambda: with_orjson(tree)),
        timed("duckdb 8", lambda: with_duckdb(tree, DUCKDB_COLUMNS)),
        timed("duckdb all", lambda: with_duckdb(tree, "*")),
        timed("load_all", lambda: store.load_all(missing_sidecar="ignore")),
        timed("loop", lambda: [ExperimentResult.from_json(path) for path in paths]),
    ]
    times = interleave(contenders, 1)  # warm up
    times = interleave(contenders, rounds)
    return [
        Row.ratio("scan of 8 columns ÷ (open + read on 2 threads)", times["scan 8"], times["baseline"]),
        processor_row("scan of 8 columns", times, "scan 8", 1.5),
        processor_row("completed()", times, "completed"),
        Row.faster("scan of 8 columns, than an orjson loop into pandas", times["scan 8"], times["orjson"], 4),
        Row.faster("the same, into pandas", times["pandas"], times["orjson"]),
        Row.faster("scan of 8 columns, than DuckDB read_json", times["scan 8"], times["duckdb 8"], 10),
        Row.faster("scan of all, than DuckDB read_json_auto(*)", times["scan all"], times["duckdb all"], 20),
        Row.ratio("scan of all ÷ (open + read)", times["scan all"], times["baseline"]),
        Row.ratio("completed() ÷ (open + read)", times["completed"], times["baseline"], 1.6),
        Row.ratio("verify() ÷ (open + read on 2 threads)", times["verify"], times["baseline"], 3.0),
        Row.ratio("verify(deep=True) ÷ (open + read on 2 threads)", times["verify deep"], times["baseline"]),
        Row.faster("load_all(), than a loop of from_json", times["load_all"], times["loop"], 1.5),
    ]


def processor_row(metric: str, times: Times, name: str, target: float | None = None) -> Row:
    """Compare the processor time of a contender with that of the baseline."""
    metric = f"{metric} ÷ (open + read on 2 threads), processor time"
    return Row.ratio(metric, times[f"{name}, processor"], times["baseline, processor"], target)


def differing_rows(tree: Path, differing: Path, rounds: int) -> list[Row]:
    """Scan the records of a tree with another number in almost every field."""
    chance = random.Random(1)  # noqa: S311 - numbers, no secret
    paths = []

    def longer(number: re.Match[str]) -> str:
        return number[0] + str(chance.randrange(1, 10_000))

    for source in sorted(tree.glob("*/result.json")):
        path = differing / source.parent.name / source.name
        path.parent.mkdir(parents=True)
        record = re.sub(r": \d+\.\d+", longer, source.read_text())
        path.write_text(record)
        paths.append(str(path))
    store = ResultStore(differing)
    contenders = [
        timed("baseline", lambda: _store.baseline_read(paths, THREADS)),
        timed("scan 8", lambda: sum(len(batch) for batch in store.scan(COLUMNS))),
    ]
    interleave(contenders, 1)
    times = interleave(contenders, rounds)
    return [processor_row("scan of 8 columns of records without equal numbers", times, "scan 8", 1.5)]


DUCKDB_COLUMNS = ", ".join(COLUMNS)


def with_orjson(tree: Path) -> pd.DataFrame:
    """Read eight columns with the loop that people write by hand."""
    rows = []
    for path in sorted(tree.glob("*/result.json")):
        record = orjson.loads(path.read_bytes())
        rows.append(
            {
                **{name: record[name] for name in COLUMNS if "." not in name},
                "energy_breakdown.adjusted_j": (record.get("energy_breakdown") or {}).get("adjusted_j"),
            }
        )
    return pd.DataFrame(rows)


def with_duckdb(tree: Path, columns: str) -> int:
    """Read with DuckDB's own JSON reader."""
    reader = "read_json_auto" if columns == "*" else "read_json"
    query = f"select {columns} from {reader}('{tree}/*/result.json')"  # noqa: S608 - a path of ours
    connection = duckdb.connect()
    connection.execute(f"set threads = {THREADS}")
    return int(connection.sql(query).to_arrow_table().num_rows)


def start_rows(tree: Path, rounds: int) -> list[Row]:
    """Time complete processes of the program, in seconds."""

    def seconds(*arguments: str) -> list[float]:
        times = []
        for _ in range(rounds):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "llenergymeasure", *arguments], check=True, stdout=subprocess.DEVNULL
            )
            times.append(time.perf_counter() - begin)
        return times

    bare = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import pydantic, typer"], check=True)
        bare.append(time.perf_counter() - begin)
    return [
        Row(f"llem ls of {LISTED} results, complete process", seconds("ls", str(tree)), "s", 0.5),
        Row("llem --help, complete process", seconds("--help"), "s", 0.25),
        Row("python -c 'import pydantic, typer'", bare, "s"),
    ]


def growth_rows(few: Path, many: Path, rounds: int) -> list[Row]:
    """Compare a small tree with a large one per result, and measure the memory of the large one."""

    def us(tree: Path) -> float:
        begin = time.perf_counter()
        count = sum(len(batch) for batch in ResultStore(tree).scan(COLUMNS))
        return (time.perf_counter() - begin) * 1e6 / count

    contenders = [named("few", lambda: us(few)), named("many", lambda: us(many))]
    interleave(contenders, 1)
    times = interleave(contenders, rounds)
    peak = subprocess.run(
        [sys.executable, __file__, "--memory-of", os.fspath(many)], check=True, capture_output=True, text=True
    )
    return [
        Row.ratio(f"a result among 100 000 ÷ among {FEW}", times["many"], times["few"], 1.15),
        Row("peak memory of a process that scans 100 000", [float(peak.stdout)], "MB", 200),
    ]


def memory_of(tree: Path) -> float:
    """Return the peak memory of a process that reads eight columns of a tree, in megabytes."""
    for _ in ResultStore(tree).scan(COLUMNS):
        continue
    # Not getrusage: a process inherits that peak from its parent.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
